"""Samples become batches: an order that depends on the seed alone, shared among ranks and workers.

The samples of all epochs, each epoch in its own order, form one endless row; the batch of step s is
the s-th piece of it. Rank r takes the r-th of equal parts of the piece and cuts it into
micro-batches. So every rank has the same number of batches, a run goes on from its step number
alone, also with another number of ranks, and no sample is left out at the end of an epoch.
Shapes: frames (b, t, h, w, 3) uint8, the views of one video next to each other.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections.abc import Generator, Iterable, Iterator
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, get_worker_info

from internvideo.data.broken import BrokenVideos
from internvideo.data.datasets import ClipDataset
from internvideo.data.stateless_rng import permutation, permutation_in_blocks
from internvideo.errors import ConfigError, InternVideoError, TrainingError
from internvideo.processes import end_with_parent
from internvideo.values import ClipBatch, Share

_log = logging.getLogger(__name__)

# How long a dead worker may go unnoticed.
_LIVENESS_CHECK_S = 2.0

MicroBatch = list[tuple[int, int]]  # (sample, epoch) of each of its videos


class ClipLoader:
    """Batches of clips for one rank: endless for training, once through for evaluation.

    Args:
        dataset: Samples of one split; `dataset.seed` also decides their order.
        batch_size: Clips of one optimiser step over all ranks and micro-batches; the views of a
            video count one each.
        share: Which part of every batch is this process's; all of it without.
        accumulation: Micro-batches in one optimiser step.
        num_workers: Processes that decode; 0 decodes in this one. Results are the same.
        broken_file: Where to list videos that cannot be decoded.
        pin_memory: Whether batches go to a CUDA device soon.
        prefetch: Micro-batches that each worker prepares ahead.
        timeout_s: After how long a silent worker counts as stuck.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        *,
        batch_size: int,
        share: Share | None = None,
        accumulation: int = 1,
        num_workers: int = 0,
        broken_file: str | Path | None = None,
        pin_memory: bool = False,
        prefetch: int = 2,
        timeout_s: float = 600,
    ) -> None:
        share = share or Share()
        parts = share.count * accumulation * dataset.num_views
        if accumulation < 1 or batch_size < 1 or batch_size % parts:
            raise ConfigError(
                f"batch_size {batch_size} cannot be shared equally among {share.count} ranks x "
                f"{accumulation} micro-batches x {dataset.num_views} views of a video; the nearest "
                f"that can is {max(1, round(batch_size / max(parts, 1))) * parts}"
            )
        self.dataset = dataset
        self.share = share
        self.accumulation = accumulation
        self.batch_size = batch_size
        self.broken = BrokenVideos(
            (dataset.name_of(record) for record in dataset.records),
            # A score says on how many clips it is; only training is not worth going on with.
            max_share=dataset.config.max_broken_share if dataset.training else 1.0,
            file=broken_file,
        )
        self._videos = batch_size // dataset.num_views
        self._micro = batch_size // parts
        self._timeout_s = timeout_s
        self._options: dict[str, Any] = {"num_workers": num_workers, "pin_memory": pin_memory}
        if num_workers:
            self._options |= {
                "multiprocessing_context": _workers_context(),
                "prefetch_factor": prefetch,
                "worker_init_fn": end_with_parent,
                "timeout": min(timeout_s, _LIVENESS_CHECK_S),
            }

    @property
    def steps_per_epoch(self) -> int:
        """Steps after which every record was seen once; the last one may reach into the next."""
        return -(-len(self.dataset) // self._videos)

    def batches(self, first_step: int = 0) -> Generator[list[ClipBatch], None, None]:
        """Yield this rank's micro-batches of every step from `first_step` on, without end."""
        stream = self._stream(self._micro_batches(first_step))
        while True:
            yield [next(stream) for _ in range(self.accumulation)]

    def once(self) -> Iterator[ClipBatch]:
        """Yield this rank's part of all records once, in order; the last batch may be short.

        Ranks may have different numbers of batches, and broken videos are left out (see `broken`):
        sum over clips, not over batches.
        """
        total, share = len(self.dataset), self.share
        mine = range(total * share.index // share.count, total * (share.index + 1) // share.count)
        pieces = (mine[at : at + self._micro] for at in range(0, len(mine), self._micro))
        for batch in self._stream([(index, 0) for index in piece] for piece in pieces):
            if len(batch):
                yield batch

    def _micro_batches(self, first_step: int) -> Iterator[MicroBatch]:
        dataset = self.dataset
        order = lru_cache(maxsize=2)(self._order)
        per_rank = self._videos // self.share.count
        for step in count(first_step):
            start = step * self._videos + self.share.index * per_rank
            for first in range(start, start + per_rank, self._micro):
                places = (
                    divmod(place, len(dataset)) for place in range(first, first + self._micro)
                )
                yield [(int(order(epoch)[place]), epoch) for epoch, place in places]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Records in the order of an epoch."""
        dataset, together = self.dataset, self.dataset.config.shards_at_a_time
        if dataset.shard_numbers is None or together is None:
            return permutation(dataset.seed, epoch, len(dataset))
        return permutation_in_blocks(dataset.seed, epoch, dataset.shard_numbers, together)

    def _stream(self, micro_batches: Iterable[MicroBatch]) -> Iterator[ClipBatch]:
        samples = _Samples(self.dataset, max(1, self._options["num_workers"]))
        loader = DataLoader(
            samples,  # pyrefly: ignore[bad-argument-type]
            batch_size=None,
            sampler=micro_batches,
            collate_fn=_unchanged,
            generator=torch.Generator(),  # or it would advance the global one
            **self._options,
        )
        loaded = iter(loader)
        while True:
            try:
                found = self._next(loaded, samples)
            except StopIteration:
                return
            if found.failure is not None:
                raise found.failure
            for source, reason in found.broken:
                self.broken.add(source, reason)
            assert found.batch is not None
            yield found.batch

    def _next(self, loaded: Iterator[_Loaded], samples: _Samples) -> _Loaded:
        started = time.monotonic()
        while True:
            try:
                return next(loaded)
            except RuntimeError as error:
                if not str(error).startswith("DataLoader"):
                    raise
                waited_s = time.monotonic() - started
                if "timed out" in str(error):
                    if waited_s < self._timeout_s:
                        continue  # torch looks for dead workers only between its time-outs
                    problem = f"loading workers have been silent for {waited_s:.0f} s"
                else:
                    problem = (
                        "a loading worker was killed, often for want of memory (use fewer workers "
                        "or a smaller batch)"
                    )
                raise TrainingError(f"{problem}; it was at {samples.in_progress()}") from error


class _Loaded(NamedTuple):
    """What comes back from a worker: a batch, or what went wrong."""

    batch: ClipBatch | None
    broken: tuple[tuple[str, str], ...] = ()
    failure: InternVideoError | None = None


class _Samples:
    """The data set as a worker sees it: one micro-batch at a time."""

    def __init__(self, dataset: ClipDataset, num_workers: int) -> None:
        self._dataset = dataset
        # Process and sample that each worker is at; read when one of them dies.
        self._at = torch.full((num_workers, 2), -1).share_memory_()

    def __getitem__(self, micro_batch: MicroBatch) -> _Loaded:
        samples = []
        try:
            for index, epoch in micro_batch:
                self._note(index)
                samples.append(self._dataset.sample(index, epoch))
            batch = self._dataset.collate(samples)
        except InternVideoError as error:
            return _Loaded(None, failure=error)
        except Exception as error:
            error.add_note(f"while loading {self._dataset.records[index].video}")
            raise
        self._note(-1)
        broken = tuple(found for sample in samples for found in sample.broken)
        return _Loaded(batch, broken=broken)

    def in_progress(self) -> str:
        """Name the videos of the workers that are gone, or else of all."""
        busy = [(pid, index) for pid, index in self._at.tolist() if index >= 0]
        gone = [(pid, index) for pid, index in busy if not _is_alive(pid)]
        names = [str(self._dataset.records[index].video) for _, index in gone or busy]
        return ", ".join(names) or "no video"

    def _note(self, index: int) -> None:
        worker = get_worker_info()
        self._at[worker.id if worker else 0] = torch.tensor([os.getpid(), index])


def _unchanged(batch: _Loaded) -> _Loaded:
    return batch


def _workers_context() -> multiprocessing.context.BaseContext:
    """Choose how workers start; forking a process with threads could leave locks held for ever."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # The server imports torch once, so that a worker starts in a tenth of a second, not in five.
    context.set_forkserver_preload([__name__])
    return context


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
