from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from internvideo.data import ClipDataset, ViewDataset, ViewPlan
from internvideo.errors import ConfigError
from internvideo.video import open_video
from internvideo.video.transforms import resize
from tests.unit.data.conftest import NUM_FRAMES

CLIP = {"num_frames": 3, "side_px": 16}


def views(data, plan, *, index=3):
    return ViewDataset(data.read(), data, plan, **CLIP).sample(index)


@pytest.mark.parametrize("sampling", ["dense", "segments"])
@pytest.mark.parametrize("crop", [1.0, 0.75])
def test_one_view_is_what_evaluation_sees_in_training(tiny_data, sampling, crop):
    data = replace(tiny_data, sampling=sampling, eval_crop=crop)

    usual = ClipDataset(data.read(), data, training=False, **CLIP).sample(3)

    got = views(data, ViewPlan())
    assert torch.equal(got.views, usual.views)
    assert torch.equal(got.seeds, usual.seeds)
    assert got.source == usual.source


@pytest.mark.parametrize("sampling", ["dense", "segments"])
def test_views_are_each_clip_at_each_place(tiny_data, sampling):
    data = replace(tiny_data, sampling=sampling)
    plan = ViewPlan(num_clips=2, num_crops=3)

    got = views(data, plan).views

    clips = plan.frame_numbers(NUM_FRAMES, clip_frames=3, sampling=sampling, stride_frames=1)
    with open_video(data.read().records[3]) as video:
        whole = [video.frames(clip.tolist(), short_side_px=16).frames for clip in clips]
    _, height, width, _ = whole[0].shape
    lefts = [0, (width - height) // 2, width - height]
    obvious = [resize(clip[:, :, left : left + height], 16, 16) for clip in whole for left in lefts]
    assert torch.equal(got, torch.stack(obvious))


@pytest.mark.parametrize(
    ("sampling", "protocol", "expected"),
    [
        ("dense", None, [[0, 2], [4, 6], [8, 10]]),
        ("dense", "uniformerv2", [[0, 3], [2, 5], [5, 8]]),
        ("segments", None, [[1, 7], [2, 8], [4, 10]]),
        ("segments", "videomae", [[0, 6], [2, 8], [4, 10]]),
    ],
)
def test_clips_lie_where_the_published_tests_take_them(sampling, protocol, expected):
    plan = ViewPlan(num_clips=3, protocol=protocol)

    got = plan.frame_numbers(12, clip_frames=2, sampling=sampling, stride_frames=2)

    assert got.tolist() == expected


@pytest.mark.parametrize(("height", "width"), [(32, 40), (40, 32), (32, 32)])
@pytest.mark.parametrize("share", [1.0, 0.75])
def test_crops_are_squares_from_one_end_of_the_long_side_to_the_other(height, width, share):
    crops = ViewPlan(num_crops=3).crops(height, width, share=share)

    side = round(32 * share)
    assert {(crop.height, crop.width) for crop in crops} == {(side, side)}
    first, last = crops[0], crops[-1]
    if width > height:
        assert (first.left, last.left + side) == (0, width)
        assert {crop.top for crop in crops} == {(height - side) // 2}
    else:
        assert (first.top, last.top + side) == (0, height)
        assert {crop.left for crop in crops} == {(width - side) // 2}


def test_a_single_crop_is_the_middle():
    (crop,) = ViewPlan().crops(32, 40, share=0.5)

    assert (crop.top, crop.left, crop.height) == (8, 12, 16)


def test_a_part_of_a_video_gives_frames_of_that_part(tiny_data):
    annotations = tiny_data.read()
    part = replace(annotations.records[3], start_s=0.4, end_s=0.7)
    dataset = ViewDataset(
        replace(annotations, records=(part,)), tiny_data, ViewPlan(num_clips=2), **CLIP
    )

    got = dataset.sample(0).views

    with open_video(part) as video:
        frames = video.frames([4, 5, 6], short_side_px=16).frames
    shown = {tuple(f.flatten().tolist()) for f in resize(frames[:, :, 2:18], 16, 16)}
    assert {tuple(f.flatten().tolist()) for f in got.flatten(0, 1)} <= shown


def test_a_broken_video_has_no_views_and_says_why(corrupted_videos, tiny_data):
    data = replace(tiny_data, source=str(corrupted_videos / "videos.csv"))

    got = views(data, ViewPlan(num_crops=3), index=2)

    assert got.views.shape == (0, 3, 16, 16, 3)
    assert len(got.seeds) == 0
    ((path, reason),) = got.broken
    assert path.endswith("video 2.mp4")
    assert "video 2.mp4" in reason


@pytest.mark.parametrize("name", ["num_clips", "num_crops"])
def test_no_views_at_all_are_refused(name):
    with pytest.raises(ConfigError, match=f"{name} is 0, expected 1 or more"):
        ViewPlan(**{name: 0})


def test_every_view_has_a_seed_of_its_own(tiny_data):
    seeds = views(tiny_data, ViewPlan(num_clips=2, num_crops=2)).seeds

    assert len(np.unique(seeds)) == 4
