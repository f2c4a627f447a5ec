"""What an index knows: how it was made, its videos, their windows and names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from internvideo.search.vectors import VectorType
from internvideo.search.windows import WindowPlan


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexSettings:
    """What an index was made with, which does not change as long as it exists."""

    folder: str
    model: str
    model_sha256: str
    width: int
    trained_on_generated: bool
    plan: WindowPlan
    vectors: VectorType = "float16"


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexedVideo:
    """Facts of one video of an index; `id` is its own in this index for ever."""

    id: int
    path: str
    sha256: str
    num_bytes: int
    time_ns: int
    duration_s: float
    rate_fps: float
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """What a track says of a part of a video."""

    track: str
    video: int
    start_s: float
    end_s: float
    name: str
    score: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WindowTable:
    """All windows of an index, in the order of their rows in the file of vectors."""

    row: Int64[np.ndarray, " n"]
    video: Int64[np.ndarray, " n"]
    start_s: Float[np.ndarray, " n"]
    end_s: Float[np.ndarray, " n"]
    shot: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.row)

    def places_by_video(self) -> dict[int, Int64[np.ndarray, " w"]]:
        """Where in this table each video has its windows, by their start."""
        order = np.lexsort((self.start_s, self.video))
        numbers = self.video[order]
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))
        parts = np.split(order, starts[1:]) if len(order) else []
        return {int(numbers[s]): part for s, part in zip(starts, parts, strict=True)}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NewVideo:
    """A video with its windows, on its way into an index."""

    path: str
    sha256: str
    num_bytes: int
    time_ns: int
    duration_s: float
    rate_fps: float
    width: int
    height: int
    windows: Sequence[tuple[float, float, int, bytes]]
    vectors: Float[np.ndarray, "n e"]
