"""Decoded frames in memory, for sets small enough: decoded once, read by all workers and epochs.

One block of memory holds the frames of all records (t, h, w, 3) uint8, one after another, at the
size to which the data set decodes, so that a cached clip equals one decoded again. Ranks on one
machine fill and read one block together; where they have workers, each rank keeps its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float64, UInt8
from torch import Tensor

from internvideo.errors import DecodeError
from internvideo.values import Record
from internvideo.video import OpenVideo, open_video

_log = logging.getLogger(__name__)
_SHARED_MEMORY = Path("/dev/shm")
_MB = 1 << 20

Shape = tuple[int, int, int, int]
Times = Float64[np.ndarray, " _"]  # each record has its own number
Item = TypeVar("Item")


class FrameCache:
    """Frames of the records of one set; `fill` makes one.

    `places[i]` says which of the `shapes` are the frames of record i, and which of the `times`
    their timestamps in seconds: records of the same clip, one for each of its sentences, share
    them.
    """

    def __init__(
        self,
        shapes: Sequence[Shape | None],
        times: Sequence[Times | None],
        places: Sequence[int],
        allocate: Callable[[int], UInt8[Tensor, " n"]],
    ) -> None:
        self._places = list(places)
        sizes = [prod(shape) if shape else 0 for shape in shapes]
        self._shapes: list[Shape | None] = list(shapes)
        self._times = list(times)
        self._starts = [0, *np.cumsum(sizes).tolist()]
        self._bytes = allocate(self._starts[-1])

    def frames(self, index: int) -> UInt8[Tensor, "t h w 3"] | None:
        """Show the frames of a record, or None where they could not be decoded; do not write."""
        return self._at(self._places[index])

    def timestamps_s(self, index: int) -> Times:
        """When each of these frames is shown, in seconds of the video."""
        times = self._times[self._places[index]]
        if times is None:
            raise ValueError(f"record {index} is not in the cache")
        return times

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

        All ranks of a machine call it with the same records.

        Args:
            records: Those of the data set, in its order.
            short_side_px: As the data set decodes them.
            budget_mb: Most memory to take.
            num_threads: How many videos are decoded at a time.
            shared: Whether workers of this process read it too; shared memory is often small.
            progress: Called with about how many clips are done and how many there are.
        """
        ranks = _Ranks(index=0, count=1) if shared else _ranks_of_machine()
        known: dict[tuple[object, ...], int] = {}
        # Key frames of a video share its frames.
        kept = [replace(record, key_s=None) for record in records]
        places = [known.setdefault(record.clip, len(known)) for record in kept]
        clips = list({record.clip: record for record in kept}.values())
        own = range(ranks.index, len(clips), ranks.count)
        with ThreadPoolExecutor(num_threads) as pool:
            found = list(pool.map(lambda place: _measure(clips[place], short_side_px), own))
        shapes: list[Shape | None] = [None] * len(clips)
        times: list[Times | None] = [None] * len(clips)
        for index, part in enumerate(ranks.gather(found)):
            shapes[index :: ranks.count] = [shape for shape, _ in part]
            times[index :: ranks.count] = [shown for _, shown in part]
        needed_mb = -(-sum(prod(shape) for shape in shapes if shape) // _MB)
        in_shared_memory = shared or ranks.count > 1
        room_mb = min(ranks.gather(_room_mb(budget_mb) if in_shared_memory else budget_mb))
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
        cache = cls(shapes, times, places, _in_shared_memory if shared else ranks.allocate)
        with ThreadPoolExecutor(num_threads) as pool:
            jobs = [pool.submit(cache._decode, i, clips[i], short_side_px) for i in own]
            for done, job in enumerate(jobs, 1):
                job.result()
                if progress is not None:
                    progress(min(len(clips), done * ranks.count), len(clips))
        for lost in ranks.gather([place for place in own if cache._shapes[place] is None]):
            for place in lost:
                cache._shapes[place] = None
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ranks:
    """Ranks on this machine, of which this is `index`."""

    index: int
    count: int
    group: Any = None

    def gather(self, item: Item) -> list[Item]:
        """The items of all of them, in order."""
        if self.count == 1:
            return [item]
        items: list[Any] = [None] * self.count
        dist.all_gather_object(items, item, group=self.group)
        return items

    def allocate(self, num_bytes: int) -> UInt8[Tensor, " n"]:
        """Memory that all of them read and write; it is freed with the last of them."""
        if self.count == 1 or num_bytes == 0:
            return torch.empty(num_bytes, dtype=torch.uint8)
        with contextlib.ExitStack() as stack:
            name = ""
            if self.index == 0:
                folder = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
                file = stack.enter_context(tempfile.NamedTemporaryFile(dir=folder))
                file.truncate(num_bytes)
                name = file.name
            block = torch.from_file(
                self.gather(name)[0], shared=True, size=num_bytes, dtype=torch.uint8
            )
            self.gather(None)  # all have it open, so its name may go
        return block


def _ranks_of_machine() -> _Ranks:
    count = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if count == 1 or not dist.is_initialized():
        return _Ranks(index=0, count=1)
    group, _ = dist.new_subgroups(count)
    return _Ranks(index=dist.get_rank(group), count=count, group=group)


def _in_shared_memory(num_bytes: int) -> UInt8[Tensor, " n"]:
    return torch.empty(num_bytes, dtype=torch.uint8).share_memory_()


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


def _measure(record: Record, short_side_px: int | None) -> tuple[Shape, Times] | tuple[None, None]:
    """Shape of a record's frames once decoded, and their timestamps."""
    try:
        with open_video(record) as video:
            part = frames_of(record, video)
            first = video.frames(part[:1], short_side_px=short_side_px).frames
            times = video.timestamps_s[part.start : part.stop]
    except DecodeError:
        return None, None
    _, height, width, _ = first.shape
    return (len(part), height, width, 3), times


def _room_mb(budget_mb: int) -> int:
    """Limit the budget to the shared memory there is: containers often have 64 MB of it."""
    if not _SHARED_MEMORY.is_dir():
        return budget_mb
    return min(budget_mb, shutil.disk_usage(_SHARED_MEMORY).free // _MB)
