"""Batches: their contents, their order, and what happens when a worker fails."""

from __future__ import annotations

import json
import logging
from itertools import islice

import pytest
import torch
from torch.utils.data._utils.pin_memory import pin_memory

from internvideo.data import ClipDataset, ClipLoader, VideoData
from internvideo.data.stateless_rng import permutation
from internvideo.errors import ConfigError, TrainingError
from internvideo.values import Share
from tests.unit.data.numbered import Numbered, expected_seed, keys


def first_steps(loader, count, first_step=0):
    return list(islice(loader.batches(first_step), count))


def test_a_step_is_the_next_piece_of_the_epochs_in_a_row():
    loader = ClipLoader(Numbered(5), batch_size=3)

    seen = keys(batch for step in first_steps(loader, 5) for batch in step)

    row = [(int(i), epoch) for epoch in range(3) for i in permutation(0, epoch, 5)]
    assert seen == [(f"{i}.mp4", expected_seed(i, epoch)) for i, epoch in row]


def test_views_of_a_video_lie_side_by_side_and_count_as_clips():
    loader = ClipLoader(Numbered(8, num_views=3), batch_size=6)

    ((batch,),) = first_steps(loader, 1)

    assert len(batch) == 6
    assert batch.sources[0] == batch.sources[1] == batch.sources[2] != batch.sources[3]
    index = int(batch.frames[0, 0, 0, 0, 0])
    assert batch.seeds[:3].tolist() == [expected_seed(index, 0, view) for view in range(3)]
    assert batch.targets["label"].tolist() == [int(f[0, 0, 0, 0]) % 2 for f in batch.frames]


def test_an_epoch_is_as_many_steps_as_show_every_video():
    assert ClipLoader(Numbered(9, num_views=2), batch_size=8).steps_per_epoch == 3


@pytest.mark.parametrize(
    ("batch_size", "share", "accumulation"), [(10, Share(index=0, count=2), 2), (0, None, 1)]
)
def test_a_batch_that_cannot_be_shared_names_one_that_can(batch_size, share, accumulation):
    with pytest.raises(
        ConfigError, match=r"cannot be shared equally among .*; the nearest that can"
    ):
        ClipLoader(
            Numbered(9, num_views=2), batch_size=batch_size, share=share, accumulation=accumulation
        )


def test_loading_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()

    first_steps(ClipLoader(Numbered(5), batch_size=3), 2)

    assert torch.equal(torch.random.get_rng_state(), before)


def test_without_targets_a_batch_has_none():
    ((batch,),) = first_steps(ClipLoader(Numbered(2, targets=None), batch_size=2), 1)

    assert batch.targets == {}


def test_torch_pins_all_tensors_of_a_batch(monkeypatch):
    ((batch,),) = first_steps(ClipLoader(Numbered(2), batch_size=2), 1)
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self + 1)

    (got,) = pin_memory((batch,))

    assert len(pinned) == 3
    assert torch.equal(got.frames, batch.frames + 1)
    assert torch.equal(got.targets["label"], batch.targets["label"] + 1)
    assert got.sources == batch.sources


def test_a_clip_comes_with_one_of_its_own_captions_drawn_anew_in_every_epoch():
    loader = ClipLoader(Numbered(4, says=("a", "b"), broken=(1,)), batch_size=4)

    seen = [batch.captions for (batch,) in first_steps(loader, 8)]

    for (batch,) in first_steps(loader, 8):
        shown = batch.frames[:, 0, 0, 0, 0].tolist()
        assert [caption[2:] for caption in batch.captions] == [str(index) for index in shown]
    assert {caption[0] for captions in seen for caption in captions} == {"a", "b"}
    assert [b.captions for (b,) in first_steps(loader, 2, first_step=6)] == seen[6:]


def test_a_question_gives_its_answer_as_caption():
    loader = ClipLoader(Numbered(2, asks=("right", "wrong", "false")), batch_size=2)

    ((batch,),) = first_steps(loader, 1)

    numbers = batch.frames[:, 0, 0, 0, 0].tolist()
    assert batch.captions == tuple(f"right {number}" for number in numbers)


class Sided(Numbered):
    """Every frame is black on its left and white on its right."""

    def _window(self, index, rng):
        frames = torch.tensor((0, 255), dtype=torch.uint8).expand(1, 2, 3, 2).transpose(2, 3)
        return frames, torch.zeros(1).double()


def test_a_mirrored_clip_and_what_is_said_of_it_name_the_same_side():
    loader = ClipLoader(
        Sided(8, asks=("left", "Right"), num_views=2, flip=True, crop="centre"), batch_size=16
    )

    batches = [batch for step in first_steps(loader, 4) for batch in step]

    dark = [
        (tuple(frame[0, 0, :, 0].tolist()), caption.split()[0])
        for batch in batches
        for frame, caption in zip(batch.frames, batch.captions, strict=True)
    ]
    mirrored = ((255, 0), "right")
    assert set(dark) == {((0, 255), "left"), mirrored}
    assert 16 <= dark.count(mirrored) <= 48
    assert all(one == other for one, other in zip(dark[::2], dark[1::2], strict=True))


def test_evaluation_takes_the_first_caption():
    loader = ClipLoader(Numbered(3, says=("a", "b"), training=False), batch_size=2)

    assert [c for batch in loader.once() for c in batch.captions] == ["a 0", "a 1", "a 2"]


def test_evaluation_goes_through_all_records_once_in_order():
    loader = ClipLoader(Numbered(7, training=False), batch_size=3)

    batches = list(loader.once())

    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert keys(batches) == [(f"{i}.mp4", expected_seed(i, 0)) for i in range(7)]


def test_evaluation_leaves_broken_videos_out_and_names_them(caplog):
    loader = ClipLoader(Numbered(7, training=False, broken={1, 3, 4}), batch_size=2)

    with caplog.at_level(logging.WARNING):
        batches = list(loader.once())

    assert [s for batch in batches for s in batch.sources] == ["0.mp4", "2.mp4", "5.mp4", "6.mp4"]
    assert len(loader.broken) == 3
    assert len(caplog.records) == 3


def test_a_fifth_of_broken_videos_trains_on_and_lists_each_once(tmp_path, caplog):
    loader = ClipLoader(
        Numbered(20, broken={3, 7, 11, 19}), batch_size=4, broken_file=tmp_path / "broken.jsonl"
    )

    with caplog.at_level(logging.WARNING):
        steps = first_steps(loader, 30)

    assert all(len(batch) == 4 for (batch,) in steps)
    listed = [json.loads(line) for line in (tmp_path / "broken.jsonl").read_text().splitlines()]
    assert sorted(entry["path"] for entry in listed) == ["11.mp4", "19.mp4", "3.mp4", "7.mp4"]
    assert listed[0]["reason"].endswith(".mp4: is broken")
    assert len(caplog.records) == 4


def test_more_broken_videos_than_allowed_stop_training():
    loader = ClipLoader(Numbered(20, broken=range(6), max_broken_share=0.25), batch_size=4)

    with pytest.raises(
        TrainingError, match=r"6 of 20 videos are broken, more than the share of 0.25"
    ):
        first_steps(loader, 30)


def test_a_bug_in_loading_names_the_video():
    loader = ClipLoader(Numbered(4, trouble="bug"), batch_size=4)

    with pytest.raises(KeyError) as caught:
        first_steps(loader, 1)

    assert caught.value.__notes__ == ["while loading 1.mp4"]


def test_workers_change_nothing(corrupted_videos):
    data = VideoData(
        source=str(corrupted_videos / "videos.csv"), stride_frames=1, views_per_video=2
    )
    part = data.select(data.read(), training=True)
    dataset = ClipDataset(part, data, num_frames=4, side_px=16, training=True, seed=1)
    options = {"batch_size": 8, "accumulation": 2}

    alone, shared = (
        first_steps(ClipLoader(dataset, num_workers=n, **options), 4, first_step=3) for n in (0, 2)
    )

    for one, other in zip(alone, shared, strict=True):
        for a, b in zip(one, other, strict=True):
            assert torch.equal(a.frames, b.frames)
            assert torch.equal(a.seeds, b.seeds)
            assert a.sources == b.sources


def test_a_worker_names_the_video_of_a_bug():
    loader = ClipLoader(Numbered(4, trouble="bug"), batch_size=4, num_workers=1)

    with pytest.raises(KeyError, match=r"while loading 1\.mp4"):
        first_steps(loader, 1)


def test_a_worker_that_dies_is_named_with_its_video():
    loader = ClipLoader(Numbered(4, trouble="death"), batch_size=4, num_workers=1)

    with pytest.raises(TrainingError, match=r"a loading worker was killed.* it was at 1\.mp4"):
        first_steps(loader, 1)


def test_a_worker_that_hangs_is_named_with_its_video():
    loader = ClipLoader(Numbered(4, trouble="hang"), batch_size=4, num_workers=1, timeout_s=2.0)

    with pytest.raises(TrainingError, match=r"silent for \d s; it was at 1\.mp4"):
        first_steps(loader, 1)


def test_the_limit_on_broken_videos_holds_with_workers():
    dataset = Numbered(20, broken=range(6), max_broken_share=0.25)

    with pytest.raises(TrainingError, match="6 of 20 videos are broken"):
        first_steps(ClipLoader(dataset, batch_size=4, num_workers=1), 30)
