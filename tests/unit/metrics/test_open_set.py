from __future__ import annotations

import math

import pytest
import torch

from internvideo.metrics import (
    acceptance_threshold,
    auroc,
    negative_energy,
    open_set_metrics,
)


def sample(seed, *, levels=None):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(60, generator=generator)
    unknown = torch.rand(60, generator=generator) < 0.4
    if levels:
        scores = (scores * levels).round()
    return scores + 0.5 * unknown, unknown


def points(scores, unknown):
    """(recall, false alarms, precision) at every threshold, the obvious way."""
    for threshold in sorted(set(scores.tolist()), reverse=True):
        above = scores >= threshold
        yield (
            float(above[unknown].double().mean()),
            float(above[~unknown].double().mean()),
            float(unknown[above].double().mean()),
        )


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("seed", range(5))
def test_auroc_counts_pairs_in_order(seed, levels):
    scores, unknown = sample(seed, levels=levels)

    pairs = scores[unknown][:, None] - scores[~unknown]

    expected = float(((pairs > 0).double() + (pairs == 0).double() / 2).mean())
    assert auroc(scores, unknown) == pytest.approx(expected)


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("seed", range(5))
def test_aupr_is_the_area_under_straight_lines(seed, levels):
    scores, unknown = sample(seed, levels=levels)

    area, last = 0.0, (0.0, 0.0, 1.0)
    for point in points(scores, unknown):
        area += (point[0] - last[0]) * (point[2] + last[2]) / 2
        last = point

    assert open_set_metrics(scores, unknown)["aupr"] == pytest.approx(area)


@pytest.mark.parametrize("seed", range(20))
def test_false_alarms_are_read_at_the_corner_nearest_to_95_percent(seed):
    scores, unknown = sample(seed)

    curve = [(0.0, 0.0), *((hits, alarms) for hits, alarms, _ in points(scores, unknown))]
    inner = [
        here
        for before, here, after in zip(curve[1:], curve[2:], curve[3:], strict=False)
        if any(abs(before[i] - 2 * here[i] + after[i]) > 1e-9 for i in (0, 1))
    ]
    corners = [*curve[:2], *inner, curve[-1]]
    expected = min(corners, key=lambda corner: round(abs(corner[0] - 0.95), 9))[1]
    assert open_set_metrics(scores, unknown)["fpr95"] == pytest.approx(expected)


def test_a_perfect_score_makes_no_mistake():
    scores = torch.tensor([0.1, 0.2, 0.8, 0.9])

    got = open_set_metrics(scores, torch.tensor([False, False, True, True]))

    assert got == {"auroc": 1.0, "aupr": 1.0, "fpr95": 0.0}


def test_one_kind_alone_tells_nothing():
    assert math.isnan(auroc(torch.rand(4), torch.ones(4, dtype=torch.bool)))
    assert math.isnan(auroc(torch.rand(4), torch.zeros(4, dtype=torch.bool)))


@pytest.mark.parametrize("count", [1, 7, 20, 100, 101])
def test_the_share_accepted_is_at_least_the_one_asked_for(count):
    novelty = torch.rand(count, generator=torch.Generator().manual_seed(count))

    accepted = (novelty <= acceptance_threshold(novelty, accepted=0.95)).float().mean()

    assert 0.95 <= accepted <= 0.95 + 1 / count + 1e-6


def test_energy_rises_with_every_logit():
    low, high = negative_energy(torch.tensor([[0.0, 1.0], [0.5, 1.0]]))

    assert low < high
