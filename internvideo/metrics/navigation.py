"""Metrics of vision-language navigation in continuous environments (VLN-CE).

Source: the evaluation loop of `trainer_HAMT.py` in the InternVideo release; Anderson et al. 2018,
"On Evaluation of Embodied Navigation Agents" (arXiv:1807.06757), for success weighted by path
length; Ilharco et al. 2019 (arXiv:1907.05446) for nDTW; Salvador and Chan 2007 for FastDTW.
Units: positions (p, 3) in metres, the second coordinate upwards; distances along the ground
(geodesic) in metres.
Differs from the released code: a step that only goes up or down is kept as it is, where the
released resampling divides by zero; an unreachable goal counts as a failure with SPL 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from internvideo.errors import ConfigError

Path3d = NDArray[np.float64]  # (p, 3)
Positions = Sequence[Any] | Path3d  # rows of three numbers
_Cells = Iterable[tuple[int, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Episode:
    """What an agent did: `path` after each step of the simulator, the start first.

    `distances_m` are geodesic distances to the goal at the start and after each decision; infinite
    where the goal cannot be reached. `collided` has a flag a simulator step.
    """

    path: Positions
    reference_path: Positions
    distances_m: Sequence[float]
    stopped: bool
    num_decisions: int
    collided: Sequence[float] = ()


def navigation_metrics(
    episode: Episode, *, success_distance_m: float = 3.0, step_m: float = 0.25
) -> dict[str, float]:
    """Score one episode; a split's score is the mean over its episodes.

    Returns:
        `distance_to_goal` (NE), `path_length` (TL), `success` (SR), `oracle_success` (OSR), `spl`,
        `ndtw`, `sdtw`, `collisions` and `steps_taken`, all finite but `distance_to_goal`, which is
        infinite where the goal cannot be reached.

    Raises:
        ConfigError: Without positions or distances, or where one is NaN.
    """
    path = _positions("path", episode.path)
    reference = _positions("reference path", episode.reference_path)
    distances = np.asarray(episode.distances_m, dtype=np.float64)
    if not distances.size or np.isnan(distances).any() or (distances < 0).any():
        raise ConfigError(
            f"an episode's distances are {distances.tolist()}; give one or more, from 0"
        )
    length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    success = float(episode.stopped and distances[-1] <= success_distance_m)
    shortest = float(distances[0])
    efficiency = shortest / max(shortest, length) if math.isfinite(shortest) and shortest else 1.0
    ndtw = normalised_dtw(path, reference, success_distance_m=success_distance_m, step_m=step_m)
    return {
        "distance_to_goal": float(distances[-1]),
        "path_length": length,
        "success": success,
        "oracle_success": float((distances <= success_distance_m).any()),
        "spl": success * efficiency,
        "ndtw": ndtw,
        "sdtw": success * ndtw,
        "collisions": float(np.mean(episode.collided)) if len(episode.collided) else 0.0,
        "steps_taken": float(episode.num_decisions),
    }


def normalised_dtw(
    path: Positions,
    reference: Positions,
    *,
    success_distance_m: float = 3.0,
    step_m: float = 0.25,
) -> float:
    """nDTW of the evaluation loop: both paths resampled, FastDTW of radius 1; in (0, 1].

    `path` is taken as it is: positions after each simulator step are `step_m` apart already.
    """
    moved, wanted = _positions("path", path), resample(reference, step_m=step_m)
    return math.exp(-fast_dtw(moved, wanted) / (len(wanted) * success_distance_m))


def resample(path: Positions, *, step_m: float = 0.25) -> Path3d:
    """Add positions so that neighbours are about `step_m` apart on the ground; ends are kept."""
    positions = _positions("path", path)
    resampled = [positions[0]]
    for start, end in itertools.pairwise(positions):
        ground_m = math.hypot(end[0] - start[0], end[2] - start[2])
        if ground_m:
            # As released, of times = int(1 / ratio) and not of ground_m / step_m: they round apart.
            ratio = step_m / ground_m
            for _ in range(int(1 / ratio) - 1):
                resampled.append(resampled[-1] + (end - start) * ratio)
        resampled.append(end)
    return np.stack(resampled)


def dynamic_time_warping(path: Positions, reference: Positions) -> float:
    """Least sum of Euclidean distances over all monotone alignments of two paths, in metres."""
    first, second = _positions("path", path), _positions("reference path", reference)
    costs = np.linalg.norm(first[:, None] - second[None], axis=2)
    row = np.concatenate([[0.0], np.full(len(second), np.inf)])
    for cost in costs:
        best = np.minimum(row[:-1], row[1:])  # from the row before, beside or straight
        row = np.full(len(second) + 1, np.inf)
        for j, (step, least) in enumerate(zip(cost.tolist(), best.tolist(), strict=True)):
            row[j + 1] = step + min(least, row[j])
    return float(row[-1])


def fast_dtw(path: Positions, reference: Positions, *, radius: int = 1) -> float:
    """Approximate `dynamic_time_warping` in linear time, refining the alignment of halved paths."""
    return _fast(_positions("path", path), _positions("reference path", reference), radius)[0]


def _fast(first: Path3d, second: Path3d, radius: int) -> tuple[float, list[tuple[int, int]]]:
    if min(len(first), len(second)) < radius + 2:
        return _align(
            first, second, [(i, j) for i in range(len(first)) for j in range(len(second))]
        )
    _, coarse = _fast(_halved(first), _halved(second), radius)
    return _align(first, second, _window(coarse, len(first), len(second), radius))


def _halved(path: Path3d) -> Path3d:
    even = path[: len(path) - len(path) % 2]
    return (even[0::2] + even[1::2]) / 2


def _align(first: Path3d, second: Path3d, cells: _Cells) -> tuple[float, list[tuple[int, int]]]:
    """Warp within the cells, given row by row; ties prefer the step along `first`."""
    costs: dict[tuple[int, int], float] = {(-1, -1): 0.0}
    before: dict[tuple[int, int], tuple[int, int]] = {}
    for i, j in cells:
        options = ((i - 1, j), (i, j - 1), (i - 1, j - 1))
        best = min(options, key=lambda cell: costs.get(cell, math.inf))
        distance = float(np.linalg.norm(first[i] - second[j], ord=2))
        costs[i, j], before[i, j] = costs.get(best, math.inf) + distance, best
    alignment, cell = [], (len(first) - 1, len(second) - 1)
    while cell != (-1, -1):
        alignment.append(cell)
        cell = before[cell]
    return costs[len(first) - 1, len(second) - 1], alignment[::-1]


def _window(
    coarse: list[tuple[int, int]], num_rows: int, num_columns: int, radius: int
) -> list[tuple[int, int]]:
    """Cells of the finer grid within `radius` coarse cells of an alignment, row by row.

    As in FastDTW's widespread implementation a row starts where the row before did, and ends at
    its first gap.
    """
    reach = range(-radius, radius + 1)
    wide = {(i + a, j + b) for i, j in coarse for a in reach for b in reach}
    fine = {(2 * i + a, 2 * j + b) for i, j in wide for a in (0, 1) for b in (0, 1)}
    cells: list[tuple[int, int]] = []
    start = 0
    for i in range(num_rows):
        begun = None
        for j in range(start, num_columns):
            if (i, j) in fine:
                cells.append((i, j))
                begun = j if begun is None else begun
            elif begun is not None:
                break
        start = start if begun is None else begun
    return cells


def _positions(what: str, path: Positions) -> Path3d:
    positions = np.asarray(path, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3 or not len(positions):
        raise ConfigError(f"a {what} has shape {positions.shape}; it needs positions (p, 3)")
    if not np.isfinite(positions).all():
        raise ConfigError(f"a {what} has positions that are not finite; check the episode")
    return positions
