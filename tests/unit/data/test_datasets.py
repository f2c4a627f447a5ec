"""What a configuration reads and selects, and what a sample is made of."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from internvideo.data import ClipDataset, FrameCache, VideoData
from internvideo.data.cache import frames_of
from internvideo.errors import ConfigError, DecodeError, TrainingError
from internvideo.values import Record
from internvideo.video import open_video


def dataset(data, *, training=True, **options):
    options = {"num_frames": 4, "side_px": 16, "seed": 0} | options
    return ClipDataset(
        data.select(data.read(), training=training), data, training=training, **options
    )


def grey_level(frames):
    """Which of the tiny videos frames are from."""
    return round((frames.float().mean().item() - 9.5) / 20)


def test_splits_are_selected_by_name(tiny_data):
    read = tiny_data.read()

    train, evaluation = (tiny_data.select(read, training=training) for training in (True, False))

    assert [r.video.stem for r in evaluation.records] == ["video 8", "video 9"]
    assert len(train.records) == 8


def test_a_split_of_none_is_everything(tiny_data):
    data = replace(tiny_data, train_split=None)

    assert len(data.select(data.read(), training=True).records) == 10


def test_an_unknown_split_names_those_there_are(tiny_data):
    data = replace(tiny_data, train_split="trian")

    with pytest.raises(ConfigError, match=r"unknown split of .*'trian'; did you mean 'train'"):
        data.select(data.read(), training=True)


@pytest.mark.parametrize(
    ("format", "source"),
    [("manifest", "videos.csv"), ("videos", "."), ("folder", "classes")],
)
def test_a_folder_given_relative_to_the_working_directory_is_read(
    tiny_videos, tmp_path, monkeypatch, format, source
):
    (tmp_path / "own/classes").mkdir(parents=True)
    (tmp_path / "own/classes/noise").symlink_to(tiny_videos)
    (tmp_path / "own/classes/around").symlink_to(tmp_path / "own")
    for path in tiny_videos.iterdir():
        (tmp_path / "own" / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)

    records = VideoData(source=source, format=format, root="own").read().records

    assert len(records) >= 10
    assert all(r.video.exists() and r.video.is_relative_to("own") for r in records)


def test_a_root_that_is_not_there_is_named_and_nothing_else_read(
    tiny_videos, tmp_path, monkeypatch
):
    monkeypatch.chdir(tiny_videos)

    with pytest.raises(ConfigError, match=r"nowhere: there is no such folder.*--data"):
        VideoData(source=".", format="videos", root="nowhere").read()


def test_without_splits_a_fixed_share_of_the_videos_is_held_back(tiny_videos):
    data = VideoData(source=str(tiny_videos), format="folder", held_back_share=0.3)
    records = tuple(Record(video=tiny_videos / f"{i}.mp4") for i in range(10))
    annotations = replace(VideoData(source=str(tiny_videos / "videos.csv")).read(), records=records)
    shuffled = replace(annotations, records=records[::-1])

    train, held_back = (set(data.select(annotations, training=t).records) for t in (True, False))

    assert len(held_back) == 3
    assert train | held_back == set(records)
    assert not train & held_back
    assert set(data.select(shuffled, training=False).records) == held_back


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "manifets"}, "unknown annotation format 'manifets'; did you mean 'manifest'"),
        ({"stride_frames": 0}, "data.stride_frames is 0, expected 1 or more"),
        ({"eval_crop": 0.0}, "data.eval_crop is 0.0, expected above 0 and at most 1"),
        ({"views_per_video": 0}, "data.views_per_video is 0, expected 1 or more"),
        (
            {"stride_range": (3, 2)},
            "data.stride_range is 3 to 2 with dense sampling, expected 1 or",
        ),
        ({"stride_range": (1, 2), "sampling": "segments"}, "expected 1 or more, .* dense windows"),
        ({"max_broken_share": 1.5}, "data.max_broken_share is 1.5, expected a share below 1"),
        ({"options": {"fold": 1}}, "unknown option of the manifest reader 'fold'"),
        ({"format": "ucf101", "columns": {"path": "f"}}, "option of the ucf101 reader 'columns'"),
    ],
)
def test_an_impossible_configuration_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        VideoData(source="videos.csv", **options)


def test_videos_that_are_not_where_they_should_be_are_named(tiny_data, tmp_path):
    (tmp_path / "videos.csv").write_text("path\nmissing.mp4\n")

    with pytest.raises(ConfigError, match=r"none of its first 1 videos exists, such as .*missing"):
        VideoData(source=str(tmp_path / "videos.csv")).read()


def test_a_sample_has_the_views_asked_for(tiny_data):
    sample = dataset(replace(tiny_data, views_per_video=3)).sample(5)

    assert sample.views.shape == (3, 4, 16, 16, 3)
    assert grey_level(sample.views) == 5
    assert sample.source.endswith("video 5.mp4")


def test_the_views_of_a_video_are_different_crops_of_the_same_frames(tiny_data, monkeypatch):
    opened = []
    monkeypatch.setattr(
        "internvideo.data.datasets.open_video", lambda r: opened.append(r) or open_video(r)
    )

    sample = dataset(replace(tiny_data, views_per_video=2)).sample(5)

    assert len(opened) == 1
    assert not torch.equal(*sample.views)
    assert len(set(sample.seeds.tolist())) == 2


def test_another_epoch_gives_other_views_and_seeds(tiny_data):
    first, second = (dataset(tiny_data).sample(5, epoch) for epoch in (0, 1))

    assert not torch.equal(first.views, second.views)
    assert first.seeds.tolist() != second.seeds.tolist()


def test_a_sample_is_the_same_in_another_process(tiny_data):
    here = dataset(tiny_data)

    there = pickle.loads(pickle.dumps(here))

    assert torch.equal(here.sample(3, 2).views, there.sample(3, 2).views)


def test_evaluation_takes_the_middle_of_time_and_space(tiny_data):
    data = replace(tiny_data, views_per_video=3)

    sample = dataset(data, training=False, num_frames=4, side_px=32).sample(0)

    with open_video(data.select(data.read(), training=False).records[0]) as video:
        expected = video.frames(range(4, 8)).frames[:, :, 4:36]
    assert torch.equal(sample.views[0], expected)
    assert len(sample.views) == 1


@pytest.mark.parametrize("training", [True, False])
def test_segments_give_one_frame_of_each_equal_part_of_the_video(tiny_data, training):
    data = replace(tiny_data, sampling="segments")

    numbers = [
        dataset(data, training=training)._frame_numbers(41, np.random.default_rng(seed))
        for seed in range(20)
    ]

    assert all(10 * i <= picks[i] <= 10 * (i + 1) for picks in numbers for i in range(4))
    assert (len(set(map(tuple, numbers))) > 1) == training


def test_segments_of_evaluation_are_seen_at_their_middles(tiny_data):
    data = replace(tiny_data, sampling="segments")

    assert dataset(data, training=False)._frame_numbers(41, np.random.default_rng(0)) == [
        *(5, 15, 25, 35)
    ]


@pytest.mark.parametrize("training", [True, False])
def test_shuffled_frames_are_those_of_the_clip_in_another_order(tiny_data, training):
    data = replace(tiny_data, shuffled=True)

    mixed, plain = (
        [dataset(one, training=training, num_frames=8).sample(i).views[0] for i in (0, 1, 0)]
        for one in (data, replace(data, shuffled=False))
    )

    def levels(clip):
        return [round(frame.float().mean().item(), 2) for frame in clip]

    assert [sorted(levels(clip)) for clip in mixed] == [sorted(levels(clip)) for clip in plain]
    assert [levels(clip) for clip in mixed] != [levels(clip) for clip in plain]
    assert torch.equal(mixed[0], mixed[2])


def test_a_video_shorter_than_its_clip_repeats_frames(tiny_data):
    data = replace(tiny_data, sampling="segments")

    assert dataset(data, training=False)._frame_numbers(2, np.random.default_rng(0)) == [0, 0, 0, 1]


def test_segments_of_an_epoch_come_from_the_samples_own_draws(tiny_data):
    data = replace(tiny_data, sampling="segments")

    first, again, later = (dataset(data).sample(5, epoch) for epoch in (0, 0, 1))

    assert torch.equal(first.views, again.views)
    assert not torch.equal(first.views, later.views)


def test_evaluation_can_be_restricted_to_the_middle_of_the_frame(tiny_data):
    data = replace(tiny_data, eval_crop=0.5)

    sample = dataset(data, training=False, num_frames=4, side_px=16).sample(0)

    with open_video(data.select(data.read(), training=False).records[0]) as video:
        expected = video.frames(range(4, 8)).frames[:, 8:24, 12:28]
    assert torch.equal(sample.views[0], expected)


def test_a_part_of_a_video_restricts_its_frames(tiny_videos):
    record = Record(video=tiny_videos / "video 0.mp4", start_s=0.2, end_s=0.5)

    with open_video(record) as video:
        part = frames_of(record, video)

    assert part == range(2, 5)


def test_a_part_beyond_the_end_is_named(tiny_videos):
    record = Record(video=tiny_videos / "video 0.mp4", start_s=5.0)

    with (
        open_video(record) as video,
        pytest.raises(DecodeError, match=r"no frame from 5.00 to inf"),
    ):
        frames_of(record, video)


@pytest.mark.parametrize("crop", ["multi-scale", "random-resized", "centre"])
def test_the_cache_changes_nothing(tiny_data, crop):
    plain = dataset(replace(tiny_data, crop=crop, views_per_video=2, flip=True))
    cache = FrameCache.fill(plain.records, short_side_px=plain.short_side_px, budget_mb=10)
    assert cache is not None

    with_cache = dataset(plain.config, cache=cache)

    for index in range(len(plain)):
        assert torch.equal(plain.sample(index, 1).views, with_cache.sample(index, 1).views)


def test_a_broken_video_is_replaced_and_named(corrupted_videos):
    broken = dataset(VideoData(source=str(corrupted_videos / "videos.csv"), stride_frames=1))

    sample = broken.sample(2)

    assert grey_level(sample.views) not in (2, 5)
    assert sample.broken[0][0].endswith("video 2.mp4")
    assert "video 2.mp4" in sample.broken[0][1]


def test_replacements_differ_between_epochs(corrupted_videos):
    broken = dataset(VideoData(source=str(corrupted_videos / "videos.csv"), stride_frames=1))

    assert len({broken.sample(2, epoch).source for epoch in range(20)}) > 2


def test_a_broken_video_is_not_replaced_in_evaluation(corrupted_videos):
    data = VideoData(
        source=str(corrupted_videos / "videos.csv"), stride_frames=1, eval_split="train"
    )

    sample = dataset(data, training=False).sample(2)

    assert len(sample.views) == 0
    assert len(sample.broken) == 1


def test_a_set_of_broken_videos_alone_stops(tmp_path):
    rows = [f"{i}.mp4" for i in range(3)]
    for row in rows:
        (tmp_path / row).write_text("no video")
    (tmp_path / "videos.csv").write_text("\n".join(["path", *rows]))
    broken = dataset(VideoData(source=str(tmp_path / "videos.csv"), train_split=None))

    with pytest.raises(
        TrainingError, match=r"none of 200 videos drawn .* can be decoded; the first"
    ):
        broken.sample(0)
