"""Candidate waypoints from a map of where one can go: 120 angles x 12 distances around the agent.

Source: Hong et al. 2022, "Bridging the Gap Between Learning in Discrete and Continuous Environments
for Vision-and-Language Navigation" (arXiv:2203.02764), section 4, and `waypoint_pred/utils.py` of
the InternVideo release. Shapes: scores (b, a, r), angles clockwise, distances (r + 1) * 0.25 m.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

NUM_ANGLES = 120
NUM_DISTANCES = 12
DISTANCE_STEP_M = 0.25
_ANGLES_PER_VIEW = NUM_ANGLES // 12


class Waypoint(NamedTuple):
    """A candidate: `angle` clockwise from the heading, the view (clockwise) that shows it."""

    angle: float
    distance_m: float
    view: int
    score: float


def suppress(
    scores: Float[Tensor, "b a r"], *, max_peaks: int = 5, angles: int = 5, distances: int = 7
) -> Float[Tensor, "b a r"]:
    """Keep the highest cells, each of which hides all within some angles and distances of it.

    Both axes are as released: distances count as a circle on the side of the larger ones, angles do
    not, which is why `decode_waypoints` wraps the map. Nothing is kept where all scores are 0.
    """
    kept, left = torch.zeros_like(scores), scores.clone()
    rows = torch.arange(scores.shape[1], device=scores.device)
    columns = torch.arange(scores.shape[2], device=scores.device)
    batch = torch.arange(len(scores), device=scores.device)
    for _ in range(max_peaks):
        peak = left.flatten(1).argmax(1)
        row, column = peak // scores.shape[2], peak % scores.shape[2]
        kept[batch, row, column] = scores[batch, row, column]
        apart = columns - column[:, None]
        apart = torch.minimum(apart.abs(), (apart + scores.shape[2]).abs())
        # The released code divides without rounding: a peak lies between its row and the next.
        exact = peak.float() / scores.shape[2]
        near_row = (rows - exact[:, None]).abs() <= angles
        left = left * ~(near_row[:, :, None] & (apart <= distances)[:, None])
    return kept.clamp(min=0)


def decode_waypoints(scores: Float[Tensor, "b a r"], *, max_peaks: int = 5) -> list[list[Waypoint]]:
    """Softmax over all cells, suppression on the map wrapped by a row at both ends, candidates.

    Returns:
        For each map its candidates, by angle and then distance; at most `max_peaks`.
    """
    shares = scores.flatten(1).softmax(1).view_as(scores)
    wrapped = torch.cat([shares[:, -1:], shares, shares[:, :1]], dim=1)
    peaks = suppress(wrapped, max_peaks=max_peaks)[:, 1:-1]
    found = []
    for of_map in peaks:
        cells = of_map.nonzero().tolist()
        found.append(
            [
                Waypoint(
                    angle=i * math.tau / NUM_ANGLES,
                    distance_m=(j + 1) * DISTANCE_STEP_M,
                    view=(i + _ANGLES_PER_VIEW // 2) // _ANGLES_PER_VIEW % 12,
                    score=float(of_map[i, j]),
                )
                for i, j in cells
            ]
        )
    return found


def resample_waypoints(
    scores: Float[Tensor, "b a r"], found: list[list[Waypoint]], generator: torch.Generator
) -> list[list[Waypoint]]:
    """Replace each candidate by one drawn from its view's part of the map, as training does.

    `waypoint_aug` of the release; a view's part are the ten angles around its heading.
    """
    parts = scores.float().roll(_ANGLES_PER_VIEW // 2, dims=1).unflatten(1, (12, _ANGLES_PER_VIEW))
    shares = parts.flatten(2).softmax(2)
    drawn = []
    for of_map, candidates in zip(shares, found, strict=True):
        again = []
        for candidate in candidates:
            share = of_map[candidate.view]
            cell = int(torch.multinomial(share, 1, generator=generator))
            row, column = divmod(cell, NUM_DISTANCES)
            angle = candidate.view * _ANGLES_PER_VIEW - _ANGLES_PER_VIEW // 2 + row
            again.append(
                candidate._replace(
                    angle=angle % NUM_ANGLES * math.tau / NUM_ANGLES,
                    distance_m=(column + 1) * DISTANCE_STEP_M,
                )
            )
        drawn.append(again)
    return drawn


def waypoint_targets(
    points: Iterable[Iterable[tuple[float, float]]],
    *,
    spread_angles: float = 2.0,
    spread_distances: float = 1.0,
) -> Float[Tensor, "b a r"]:
    """What a predictor should answer: a hill on each point, all cells of a map summing to 1.

    `points` are angles (clockwise, radians) and distances (m) of each map; a map without any is 0.
    """
    rows, columns = torch.arange(NUM_ANGLES), torch.arange(NUM_DISTANCES)
    maps = []
    for of_map in points:
        total = torch.zeros(NUM_ANGLES, NUM_DISTANCES)
        for angle, distance_m in of_map:
            row = angle * NUM_ANGLES / math.tau
            apart = ((rows - row + NUM_ANGLES / 2) % NUM_ANGLES - NUM_ANGLES / 2) / spread_angles
            column = min(distance_m / DISTANCE_STEP_M, NUM_DISTANCES) - 1
            beyond = (columns - column) / spread_distances
            hill = torch.exp(-(apart[:, None] ** 2 + beyond[None] ** 2) / 2)
            total = torch.maximum(total, hill)
        maps.append(total / total.sum().clamp(min=1e-9))
    return torch.stack(maps)
