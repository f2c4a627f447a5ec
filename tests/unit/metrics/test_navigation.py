"""Navigation metrics: perfect and hopeless walks, and alignments against the obvious table."""

from __future__ import annotations

import math

import numpy as np
import pytest

from internvideo.errors import ConfigError
from internvideo.metrics import (
    Episode,
    dynamic_time_warping,
    fast_dtw,
    navigation_metrics,
    resample,
)


def _line(num_steps: int, step_m: float = 0.25) -> list[list[float]]:
    return [[i * step_m, 0.0, 0.0] for i in range(num_steps + 1)]


def _episode(**changes) -> Episode:
    path = _line(16)
    usual = {
        "path": path,
        "reference_path": path,
        "distances_m": [4.0, 2.0, 0.0],
        "stopped": True,
        "num_decisions": 3,
    }
    return Episode(**usual | changes)


def test_walking_the_reference_scores_one():
    scores = navigation_metrics(_episode())

    assert [scores[name] for name in ("success", "oracle_success", "spl", "ndtw", "sdtw")] == [
        1
    ] * 5
    assert (scores["path_length"], scores["distance_to_goal"]) == (4.0, 0.0)


def test_a_detour_costs_its_share_of_the_length():
    there_and_back = [*_line(16), *_line(16)[::-1], *_line(16)]

    assert navigation_metrics(_episode(path=there_and_back))["spl"] == pytest.approx(4 / 12.5, 0.05)


def test_only_stopping_near_the_goal_is_a_success():
    assert navigation_metrics(_episode(stopped=False))["success"] == 0
    passed = navigation_metrics(_episode(distances_m=[4.0, 1.0, 3.5]))
    assert (passed["success"], passed["oracle_success"], passed["spl"]) == (0, 1, 0)


def test_an_unreachable_goal_is_a_failure_with_finite_scores():
    scores = navigation_metrics(_episode(distances_m=[math.inf, math.inf]))

    assert scores.pop("distance_to_goal") == math.inf
    assert all(map(math.isfinite, scores.values()))
    assert (scores["success"], scores["spl"]) == (0, 0)


def test_starting_at_the_goal_and_stopping_is_a_success():
    scores = navigation_metrics(_episode(path=_line(0), distances_m=[0.0], num_decisions=1))

    assert (scores["success"], scores["spl"], scores["path_length"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"path": []}, r"a path has shape \(0,\)"),
        ({"path": [[0.0, 0.0]]}, "a path has shape"),
        ({"reference_path": [[0.0, math.nan, 0.0]]}, "not finite"),
        ({"distances_m": []}, "distances are"),
        ({"distances_m": [1.0, math.nan]}, "distances are"),
    ],
)
def test_an_episode_that_cannot_be_scored_is_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        navigation_metrics(_episode(**changes))


def test_resampling_keeps_corners_and_climbs():
    corners = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 2.0, 0.0], [1.0, 2.0, 0.6]]

    found = resample(corners)

    assert all((found == corner).all(1).any() for corner in corners)
    assert np.linalg.norm(np.diff(found, axis=0)[:, [0, 2]], axis=1).max() < 0.5


def _obvious(first: np.ndarray, second: np.ndarray) -> float:
    table = np.full((len(first) + 1, len(second) + 1), np.inf)
    table[0, 0] = 0
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            least = min(table[i, j], table[i, j + 1], table[i + 1, j])
            table[i + 1, j + 1] = np.linalg.norm(a - b) + least
    return table[-1, -1]


@pytest.mark.parametrize("seed", range(8))
def test_alignment_equals_the_obvious_table(seed):
    random = np.random.default_rng(seed)
    first, second = (random.normal(size=(random.integers(1, 30), 3)).cumsum(0) for _ in range(2))

    exact = dynamic_time_warping(first, second)

    assert exact == pytest.approx(_obvious(first, second))
    assert exact <= fast_dtw(first, second) + 1e-9
    assert fast_dtw(first, second, radius=30) == pytest.approx(exact)
