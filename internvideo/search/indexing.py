"""Keeping an index in step with its folder: new, changed, renamed and removed videos.

Videos are decoded in a thread while the model works; clips of several short videos share a batch.
Videos that share batches are committed together, and the next batch starts with the next video, so
that a run that was killed and started again computes the same batches as one that never stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.processes import sole_use
from internvideo.search.changes import VideoFile, compare
from internvideo.search.decoding import Begin, End, Unit, Window, decoded_ahead
from internvideo.search.facts import NewVideo
from internvideo.search.index import Index
from internvideo.search.model import SearchModel
from internvideo.search.vectors import decode_rows, encode_rows
from internvideo.tasks import FailedVideo

_log = logging.getLogger(__name__)

# Vectors by which the loss of int8 is measured.
_NUM_KEPT = 5_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Advance:
    """How far an update is: videos done of all, hours of video done of those known so far."""

    num_done: int
    num_total: int
    hours_done: float
    elapsed_s: float

    @property
    def hours_per_hour(self) -> float:
        """Hours of video indexed in an hour."""
        return self.hours_done * 3600 / max(self.elapsed_s, 1e-9)

    @property
    def left_s(self) -> float:
        """Seconds left, if the other videos are like those done."""
        if not self.num_done:
            return float("inf")
        return self.elapsed_s / self.num_done * (self.num_total - self.num_done)


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """What an update did; `failed` holds all broken files of the folder, also those of before.

    `int8_recall` is the share of the ten nearest that vectors in int8 keep, among new ones.
    """

    num_new: int
    num_changed: int
    num_renamed: int
    num_removed: int
    num_unchanged: int
    failed: tuple[FailedVideo, ...]
    num_videos: int
    num_windows: int
    num_bytes: int
    hours: float
    elapsed_s: float
    int8_recall: float | None = None

    @property
    def has_changed(self) -> bool:
        return bool(self.num_new + self.num_changed + self.num_renamed + self.num_removed)


def update_index(
    index: Index,
    model: SearchModel,
    *,
    batch_size: int | None = None,
    settle_s: float | int = 0.0,
    progress: Callable[[Advance], None] | None = None,
) -> Update:
    """Bring an index in step with its folder; what is there and unchanged is not read again.

    Args:
        index: Of this model.
        model: That the index was made with.
        batch_size: Clips or frames at a time; default 8 clips or 32 frames.
        settle_s: Leave files alone that changed within so many seconds: somebody still writes them.
        progress: Called after every video.

    Raises:
        ConfigError: The model is another one, the folder is gone or empty, or a second process
            is at work on this index.
        CheckpointError: The index cannot be written.
    """
    if model.sha256 != index.settings.model_sha256:
        raise ConfigError(
            f"{index.folder}: was made with other weights ({index.settings.model}); give that "
            "model, or another --out for a new index"
        )
    started_s = time.monotonic()
    with sole_use(index.folder):
        changes = compare(index, settle_s)
        if changes.moves:
            index.relocate(changes.moves)
        if changes.removed:
            index.remove(changes.removed)
        size = batch_size or (32 if model.num_frames == 1 else 8)
        worker = _Worker(index, model, size, progress)
        worker.run(changes.pending)
        index.compact()
    num_failed_now = worker.num_failed
    windows = index.windows()
    num_new = len(changes.pending) - changes.num_changed - num_failed_now
    return Update(
        num_new=max(0, num_new),
        num_changed=changes.num_changed,
        num_renamed=sum(old != new for old, new, _ in changes.moves),
        num_removed=len(changes.removed),
        num_unchanged=changes.num_unchanged,
        failed=tuple(FailedVideo(path=path, reason=why) for path, why in index.failed()),
        num_videos=len(index.videos()),
        num_windows=len(windows),
        num_bytes=sum(path.stat().st_size for path in index.folder.iterdir() if path.is_file()),
        hours=worker.seconds / 3600,
        elapsed_s=time.monotonic() - started_s,
        int8_recall=int8_recall(worker.kept) if worker.kept else None,
    )


def int8_recall(vectors: Sequence[np.ndarray], *, count: int = 10) -> float:
    """Share of each vector's `count` nearest that are the same when all are stored in int8."""
    exact = np.stack(vectors)
    stored = decode_rows(encode_rows(exact, "int8"))
    count = min(count, len(exact))
    shared = 0
    for query in exact[:: max(1, len(exact) // 100)]:
        right = set(np.argsort(-(exact @ query), kind="stable")[:count].tolist())
        shared += len(right.intersection(np.argsort(-(stored @ query), kind="stable")[:count]))
    return shared / (count * len(exact[:: max(1, len(exact) // 100)]))


class _Worker:
    """Embeds what the decoding thread gives and commits groups of videos."""

    def __init__(
        self,
        index: Index,
        model: SearchModel,
        batch_size: int,
        progress: Callable[[Advance], None] | None,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}, expected 1 or more")
        self._index, self._model, self._size = index, model, batch_size
        self._progress = progress
        self.num_failed, self.seconds = 0, 0.0
        self.kept: list[np.ndarray] = []  # vectors before they became int8
        self._clear()

    def _clear(self) -> None:
        self._waiting: list[tuple[list[np.ndarray | None], int, Tensor]] = []
        self._num_units = 0
        self._done: list[tuple[Begin, list[Window], list[np.ndarray | None]]] = []
        self._broken: list[tuple[str, int, int, str]] = []

    def run(self, pending: Sequence[VideoFile]) -> None:
        started_s, num_done = time.monotonic(), 0
        begin, windows, vectors = None, [], []
        for event in decoded_ahead(self._index, self._model, pending):
            match event:
                case Begin():
                    begin, windows, vectors = event, [], []
                case Unit(prepared=prepared):
                    vectors.append(None)
                    self._waiting.append((vectors, len(vectors) - 1, prepared))
                    self._num_units += 1
                    if len(self._waiting) == self._size:
                        self._embed()
                case Window():
                    windows.append(event)
                case End(file=file, reason=reason):
                    if reason is None and begin is not None:
                        self._done.append((begin, windows, vectors))
                        self.seconds += begin.facts[0]
                    else:
                        _log.warning("left out: %s", reason)
                        self._broken.append((file.path, file.num_bytes, file.time_ns, str(reason)))
                        self.num_failed += 1
                    begin, num_done = None, num_done + 1
                    if self._num_units >= self._size or num_done == len(pending):
                        self._commit()
                    if self._progress is not None:
                        elapsed_s = time.monotonic() - started_s
                        self._progress(
                            Advance(
                                num_done=num_done,
                                num_total=len(pending),
                                hours_done=self.seconds / 3600,
                                elapsed_s=elapsed_s,
                            )
                        )

    def _embed(self) -> None:
        if not self._waiting:
            return
        rows = self._model.embed(torch.stack([unit for _, _, unit in self._waiting])).numpy()
        for (vectors, place, _), row in zip(self._waiting, rows, strict=True):
            vectors[place] = row
        self._waiting.clear()

    def _commit(self) -> None:
        self._embed()
        videos = []
        for begin, windows, vectors in self._done:
            rows = np.stack([_mean([vectors[i] for i in window.units]) for window in windows])
            if not np.isfinite(rows).all():
                reason = f"{begin.file.path}: its vectors are not finite; is the model damaged?"
                file = begin.file
                self._broken.append((file.path, file.num_bytes, file.time_ns, reason))
                self.num_failed += 1
                continue
            duration_s, rate_fps, width, height = begin.facts
            videos.append(
                NewVideo(
                    path=begin.file.path,
                    sha256=begin.sha256,
                    num_bytes=begin.file.num_bytes,
                    time_ns=begin.file.time_ns,
                    duration_s=duration_s,
                    rate_fps=rate_fps,
                    width=width,
                    height=height,
                    windows=[(w.start_s, w.end_s, w.shot, w.thumbnail) for w in windows],
                    vectors=rows,
                )
            )
        self._index.add(videos, self._broken)
        if self._index.settings.vectors == "int8" and len(self.kept) < _NUM_KEPT:
            self.kept += [row for video in videos for row in video.vectors]
        self._clear()


def _mean(vectors: list[Any]) -> np.ndarray:
    """Mean of unit vectors, of length 1 again."""
    mean = np.mean(vectors, axis=0, dtype=np.float64)
    return (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
