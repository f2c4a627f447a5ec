"""Vectors of videos, handed over whole.

Videos are decoded in a thread while the model works; clips of several short videos share a batch.
Videos that share batches are handed over together, and the next batch starts with the next video,
so that work that was cut off and started again computes the same batches as work that never
stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.search.changes import VideoFile
from internvideo.search.decoding import Begin, End, Unit, Window, decoded_ahead
from internvideo.search.facts import NewVideo
from internvideo.search.model import SearchModel
from internvideo.search.windows import WindowPlan

_log = logging.getLogger(__name__)

# Path below the folder, size, time of change, and why a file has no place in an index.
Broken = tuple[str, int, int, str]


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


class Embedder:
    """Embeds what the decoding thread gives and hands groups of videos to `keep`.

    `decoding_s` and `tower_s` are what decoding and the visual tower have taken of a thread each.
    """

    def __init__(
        self,
        root: Path,
        plan: WindowPlan,
        model: SearchModel,
        keep: Callable[[Sequence[NewVideo], Sequence[Broken]], None],
        *,
        batch_size: int | None = None,
        progress: Callable[[Advance], None] | None = None,
    ) -> None:
        """`keep` gets videos and broken files, in order; default are 8 clips or 32 frames."""
        self._size = (32 if model.num_frames == 1 else 8) if batch_size is None else batch_size
        if self._size < 1:
            raise ConfigError(f"batch_size is {batch_size}, expected 1 or more")
        self._root, self._plan, self._model = root, plan, model
        self._keep, self._progress = keep, progress
        self.decoding_s, self.tower_s = 0.0, 0.0
        self._clear()

    def _clear(self) -> None:
        self._waiting: list[tuple[list[np.ndarray | None], int, Tensor]] = []
        self._num_units = 0
        self._done: list[tuple[Begin, list[Window], list[np.ndarray | None]]] = []
        self._broken: list[Broken] = []

    def run(self, pending: Sequence[VideoFile]) -> None:
        """Embed these files."""
        started_s, num_done, seconds = time.monotonic(), 0, 0.0
        begin, windows, vectors = None, [], []
        for event in decoded_ahead(self._root, self._plan, self._model, pending):
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
                case End(file=file, reason=reason, decoding_s=decoding_s):
                    self.decoding_s += decoding_s
                    if reason is None and begin is not None:
                        self._done.append((begin, windows, vectors))
                        seconds += begin.facts[0]
                    else:
                        _log.warning("left out: %s", reason)
                        self._broken.append((file.path, file.num_bytes, file.time_ns, str(reason)))
                    begin, num_done = None, num_done + 1
                    if self._num_units >= self._size or num_done == len(pending):
                        self._commit()
                    if self._progress is not None:
                        elapsed_s = time.monotonic() - started_s
                        self._progress(
                            Advance(
                                num_done=num_done,
                                num_total=len(pending),
                                hours_done=seconds / 3600,
                                elapsed_s=elapsed_s,
                            )
                        )

    def _embed(self) -> None:
        if not self._waiting:
            return
        started_s = time.thread_time()
        rows = self._model.embed(torch.stack([unit for _, _, unit in self._waiting])).numpy()
        self.tower_s += time.thread_time() - started_s
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
        self._keep(videos, self._broken)
        self._clear()


def _mean(vectors: list[Any]) -> np.ndarray:
    """Mean of unit vectors, of length 1 again."""
    mean = np.mean(vectors, axis=0, dtype=np.float64)
    return (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
