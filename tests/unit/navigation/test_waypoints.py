"""Waypoints: suppression equals an obvious implementation on random maps."""

from __future__ import annotations

import math

import pytest
import torch

from internvideo.navigation import decode_waypoints, suppress


def _obvious(scores: list[list[float]], max_peaks: int, angles: int, distances: int):
    rows, columns = len(scores), len(scores[0])
    left = [list(row) for row in scores]
    kept = {}
    for _ in range(max_peaks):
        best = max((left[i][j], -i, -j) for i in range(rows) for j in range(columns))
        row, column = -best[1], -best[2]
        kept[row, column] = scores[row][column]
        exact = (row * columns + column) / columns
        for i in range(rows):
            for j in range(columns):
                apart = min(abs(j - column), abs(j - column + columns))
                if abs(i - exact) <= angles and apart <= distances:
                    left[i][j] = 0.0
    return kept


@pytest.mark.parametrize("seed", range(6))
def test_suppression_equals_the_obvious_one(seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(2, 20, 12, generator=generator)

    kept = suppress(scores, max_peaks=4, angles=3, distances=4)

    for of_map, found in zip(scores, kept, strict=True):
        expected = _obvious(of_map.tolist(), 4, 3, 4)
        assert {tuple(cell) for cell in found.nonzero().tolist()} == set(expected)


def test_a_single_peak_becomes_a_single_waypoint_ahead_of_the_others():
    scores = torch.full((1, 120, 12), -20.0)
    scores[0, 30, 7] = 10.0

    (found,) = decode_waypoints(scores, max_peaks=1)

    (waypoint,) = found
    assert waypoint.angle == pytest.approx(math.tau / 4)
    assert (waypoint.distance_m, waypoint.view) == (2.0, 3)
    assert waypoint.score == pytest.approx(1, abs=1e-3)


def test_at_most_so_many_waypoints_are_given():
    found = decode_waypoints(torch.randn(3, 120, 12), max_peaks=5)

    assert all(1 <= len(of_map) <= 5 for of_map in found)
