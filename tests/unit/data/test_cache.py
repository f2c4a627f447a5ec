"""Decoded frames in memory."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from internvideo.data import FrameCache
from internvideo.training import joined, sharing
from internvideo.values import Record
from internvideo.video import open_video


def _records(folder):
    return [Record(video=path) for path in sorted(folder.glob("*.mp4"))]


def test_it_holds_every_frame_at_the_size_asked_for(tiny_videos):
    records = _records(tiny_videos)

    cache = FrameCache.fill(records, short_side_px=16, budget_mb=10)

    assert cache is not None
    with open_video(records[3]) as video:
        expected = video.frames(range(12), short_side_px=16).frames
    assert torch.equal(cache.frames(3), expected)
    assert cache.num_bytes == 10 * 12 * 16 * 20 * 3


def test_records_of_the_same_clip_share_their_frames(tiny_videos):
    records = [replace(r, captions=(c,)) for r in _records(tiny_videos)[:3] for c in ("a", "b")]

    cache = FrameCache.fill(records, short_side_px=None, budget_mb=10)

    assert cache is not None
    assert cache.num_bytes == 3 * 12 * 32 * 40 * 3
    assert all(torch.equal(cache.frames(i), cache.frames(i ^ 1)) for i in range(6))


def test_it_holds_only_the_part_of_a_record(tiny_videos):
    record = Record(video=tiny_videos / "video 3.mp4", start_s=0.2, end_s=0.5)

    cache = FrameCache.fill([record], short_side_px=None, budget_mb=10)

    with open_video(record) as video:
        assert torch.equal(cache.frames(0), video.frames([2, 3, 4]).frames)


def test_it_tells_its_progress(tiny_videos):
    seen = []

    FrameCache.fill(
        _records(tiny_videos),
        short_side_px=None,
        budget_mb=10,
        progress=lambda done, total: seen.append((done, total)),
    )

    assert seen == [(done, 10) for done in range(1, 11)]


def test_a_set_that_does_not_fit_tells_what_it_needs(tiny_videos, caplog):
    with caplog.at_level(logging.WARNING):
        cache = FrameCache.fill(_records(tiny_videos), short_side_px=None, budget_mb=0)

    assert cache is None
    assert [r.getMessage() for r in caplog.records] == [
        "frames are not kept in memory: 10 videos need 1 MB, data.cache_mb is 0; every epoch "
        "decodes them again"
    ]


def test_a_broken_video_is_left_to_the_data_set(corrupted_videos):
    cache = FrameCache.fill(_records(corrupted_videos), short_side_px=None, budget_mb=10)

    assert [cache.frames(i) is None for i in range(10)] == [i in (2, 5) for i in range(10)]


def _fill_and_look(records: Sequence[Record], folder: Path) -> None:
    with joined("cpu") as process:
        rank, told = process.share.index, []
        cache = FrameCache.fill(
            records,
            short_side_px=None,
            budget_mb=10,
            shared=False,
            progress=lambda done, total: told.append((done, total)),
        )
        assert cache is not None
        found = [cache.frames(i) for i in range(len(records))]
        torch.save({"found": found, "told": told}, folder / f"{rank}.pt")


def test_ranks_decode_half_each_and_see_all(tmp_path, corrupted_videos):
    records = _records(corrupted_videos)
    alone = FrameCache.fill(records, short_side_px=None, budget_mb=10)
    assert alone is not None

    with sharing(2, _fill_and_look, records, tmp_path):
        _fill_and_look(records, tmp_path)

    for rank in (0, 1):
        seen = torch.load(tmp_path / f"{rank}.pt")
        assert seen["told"] == [(done, 10) for done in (2, 4, 6, 8, 10)]
        for i, frames in enumerate(seen["found"]):
            expected = alone.frames(i)
            assert frames is expected is None or torch.equal(frames, expected)
