"""Decoded frames in memory, for sets small enough: decoded once, read by all workers and epochs.

One block of shared memory holds the frames of all records (t, h, w, 3) uint8, one after another,
at the size to which the data set decodes, so that a cached clip equals one decoded again.
Several ranks on one machine keep one cache each.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from internvideo.errors import DecodeError
from internvideo.values import Record
from internvideo.video import OpenVideo, open_video

_log = logging.getLogger(__name__)
_SHARED_MEMORY = Path("/dev/shm")
_MB = 1 << 20

Shape = tuple[int, int, int, int]


class FrameCache:
    """Frames of the records of one set; `fill` makes one.

    `places[i]` says which of the `shapes` are the frames of record i: records of the same clip,
    one for each of its sentences, share them.
    """

    def __init__(
        self, shapes: Sequence[Shape | None], places: Sequence[int], *, shared: bool = True
    ) -> None:
        self._places = list(places)
        sizes = [prod(shape) if shape else 0 for shape in shapes]
        self._shapes: list[Shape | None] = list(shapes)
        self._starts = [0, *np.cumsum(sizes).tolist()]
        self._bytes = torch.empty(self._starts[-1], dtype=torch.uint8)
        if shared:
            self._bytes.share_memory_()

    def frames(self, index: int) -> UInt8[Tensor, "t h w 3"] | None:
        """Show the frames of a record, or None where they could not be decoded; do not write."""
        return self._at(self._places[index])

    def _at(self, place: int) -> UInt8[Tensor, "t h w 3"] | None:
        shape = self._shapes[place]
        if shape is None:
            return None
        return self._bytes[self._starts[place] : self._starts[place + 1]].view(shape)

    @property
    def num_bytes(self) -> int:
        return self._starts[-1]

    @classmethod
    def fill(
        cls,
        records: Sequence[Record],
        *,
        short_side_px: int | None,
        budget_mb: int,
        num_threads: int = 1,
        shared: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> FrameCache | None:
        """Decode all records; None, with a warning, where they do not fit.

        Args:
            records: Those of the data set, in its order.
            short_side_px: As the data set decodes them.
            budget_mb: Most memory to take.
            num_threads: How many videos are decoded at a time.
            shared: Whether other processes read it too; their memory is often small.
            progress: Called with how many clips are done and how many there are.
        """
        known: dict[tuple[object, ...], int] = {}
        places = [known.setdefault(record.clip, len(known)) for record in records]
        clips = list({record.clip: record for record in records}.values())
        with ThreadPoolExecutor(num_threads) as pool:
            shapes = list(pool.map(lambda clip: _shape(clip, short_side_px), clips))
        needed_mb = -(-sum(prod(shape) for shape in shapes if shape) // _MB)
        room_mb = _room_mb(budget_mb) if shared else budget_mb
        if needed_mb > room_mb:
            _log.warning(
                "frames are not kept in memory: %d videos need %d MB, %s; every epoch decodes "
                "them again",
                len(clips),
                needed_mb,
                f"data.cache_mb is {budget_mb}"
                if room_mb == budget_mb
                else f"{_SHARED_MEMORY} has {room_mb}",
            )
            return None
        cache = cls(shapes, places, shared=shared)
        with ThreadPoolExecutor(num_threads) as pool:
            jobs = [
                pool.submit(cache._decode, place, clip, short_side_px)
                for place, clip in enumerate(clips)
            ]
            for done, job in enumerate(jobs, 1):
                job.result()
                if progress is not None:
                    progress(done, len(clips))
        return cache

    def _decode(self, place: int, record: Record, short_side_px: int | None) -> None:
        frames = self._at(place)
        if frames is None:
            return
        try:
            with open_video(record) as video:
                part = frames_of(record, video)
                frames.copy_(video.frames(part, short_side_px=short_side_px).frames)
        except DecodeError:
            # Damaged somewhere: left to the data set, which finds out for each window and reports.
            self._shapes[place] = None


def frames_of(record: Record, video: OpenVideo) -> range:
    """Give the numbers of the frames that lie in the record's part of its video."""
    if record.start_s is None and record.end_s is None:
        return range(video.num_frames)
    times = video.timestamps_s
    span = (record.start_s or 0.0, np.inf if record.end_s is None else record.end_s)
    first, last = np.searchsorted(times, span).tolist()
    if first == last:
        raise DecodeError(
            f"{record.video}: no frame from {span[0]:.2f} to {span[1]:.2f} s, its last one is at "
            f"{times[-1]:.2f} s; correct the times in the annotations"
        )
    return range(first, last)


def _shape(record: Record, short_side_px: int | None) -> Shape | None:
    try:
        with open_video(record) as video:
            part = frames_of(record, video)
            first = video.frames(part[:1], short_side_px=short_side_px).frames
    except DecodeError:
        return None
    _, height, width, _ = first.shape
    return len(part), height, width, 3


def _room_mb(budget_mb: int) -> int:
    """Limit the budget to the shared memory there is: containers often have 64 MB of it."""
    if not _SHARED_MEMORY.is_dir():
        return budget_mb
    return min(budget_mb, shutil.disk_usage(_SHARED_MEMORY).free // _MB)
