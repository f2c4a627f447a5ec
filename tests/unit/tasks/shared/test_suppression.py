"""Suppression, voting and fusion against the released loops, written plainly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.tasks.shared import SuppressionConfig, fuse_video_scores, suppress, vote


def sample(seed, *, count=60, num_classes=3, levels=None):
    generator = torch.Generator().manual_seed(seed)
    start = 40 * torch.rand(count, generator=generator)
    segments = torch.stack([start, start + 0.5 + 20 * torch.rand(count, generator=generator)], 1)
    scores = torch.rand(count, generator=generator)
    if levels:
        scores = (scores * levels).round() / levels + 0.01
    return segments, scores, torch.randint(num_classes, (count,), generator=generator)


def overlap(one, other):
    intersection = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    lengths = one[1] - one[0] + 1e-6 + other[1] - other[0] + 1e-6
    return intersection / (lengths - intersection)


def looped_soft(segments, scores, config):
    """The released loop, which swaps the best to the front and drops from the end."""
    rows = [[*s, score, i] for i, (s, score) in enumerate(zip(segments, scores, strict=True))]
    i = 0
    while i < len(rows):
        best = i
        for place in range(i + 1, len(rows)):
            if rows[best][2] < rows[place][2]:
                best = place
        rows[i], rows[best] = rows[best], rows[i]
        place = i + 1
        while place < len(rows):
            iou = overlap(rows[i], rows[place])
            if config.method == "gaussian":
                rows[place][2] *= math.exp(-iou * iou / config.sigma)
            elif iou >= config.iou_threshold:
                rows[place][2] *= 1 - iou
            if rows[place][2] < config.min_score:
                rows[place] = rows[-1]
                rows.pop()
                continue
            place += 1
        i += 1
    rows = rows[: config.max_segments]
    return [row[3] for row in rows], [row[2] for row in rows]


def looped_hard(segments, scores, config):
    order = [i for i in np.argsort([-s for s in scores]) if scores[i] > config.min_score]
    kept = []
    for i in order:
        if all(overlap(segments[j], segments[i]) < config.iou_threshold for j in kept):
            kept.append(i)
    return kept[: config.max_segments], [scores[i] for i in kept[: config.max_segments]]


CONFIGS = [
    SuppressionConfig(method="gaussian", per_class=False, min_score=0.05, max_segments=30),
    SuppressionConfig(method="gaussian", per_class=False, sigma=0.1, min_score=0.3),
    SuppressionConfig(method="linear", per_class=False, iou_threshold=0.2, min_score=0.1),
    SuppressionConfig(method="hard", per_class=False, iou_threshold=0.4, min_score=0.1),
]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.method} {c.min_score}")
def test_what_is_kept_is_what_the_released_loop_keeps(config, seed):
    segments, scores, labels = sample(seed)

    got = suppress(segments, scores, labels, config)

    loop = looped_hard if config.method == "hard" else looped_soft
    kept, decayed = loop(segments.tolist(), scores.tolist(), config)
    torch.testing.assert_close(got[1], torch.tensor(decayed), atol=1e-5, rtol=1e-5)
    assert torch.equal(got[0], segments[kept])
    assert torch.equal(got[2], labels[kept])


@pytest.mark.parametrize("seed", range(6))
def test_equal_scores_are_taken_in_the_order_of_the_released_loop(seed):
    segments, scores, labels = sample(seed, levels=6)
    segments = segments + 1000 * torch.arange(len(segments))[:, None]  # no overlap: ties stay
    scores[::3] = 0.005
    config = SuppressionConfig(per_class=False, min_score=0.008, max_segments=len(segments))

    got = suppress(segments, scores, labels, config)

    kept, _ = looped_soft(segments.tolist(), scores.tolist(), config)
    assert sorted(got[0][:, 0].tolist()) == sorted(segments[kept][:, 0].tolist())


@pytest.mark.parametrize("method", ["hard", "linear", "gaussian"])
def test_classes_do_not_suppress_each_other(method):
    segments, scores, labels = sample(0)
    config = SuppressionConfig(method=method, max_segments=1000)

    together = suppress(segments, scores, labels, config)

    for label in range(3):
        own = labels == label
        alone = suppress(segments[own], scores[own], labels[own], config)
        assert torch.equal(together[0][together[2] == label], alone[0])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.method} {c.min_score}")
def test_moving_segments_in_time_moves_what_is_kept(config):
    segments, scores, labels = sample(3)
    segments = (segments * 8).round() / 8  # so that moving them loses nothing

    before = suppress(segments, scores, labels, config)
    after = suppress(segments + 64, scores, labels, config)

    torch.testing.assert_close(after[0], before[0] + 64)
    torch.testing.assert_close(after[1], before[1])


def test_no_segments_stay_no_segments():
    empty = torch.zeros(0, 2), torch.zeros(0), torch.zeros(0, dtype=torch.long)

    assert len(suppress(*empty, SuppressionConfig())[0]) == 0


def test_voting_is_the_weighted_mean_of_what_overlaps():
    kept = torch.tensor([[0.0, 10.0]])
    segments = torch.tensor([[0.0, 10.0], [0.0, 8.0], [9.0, 30.0]])
    scores = torch.tensor([0.9, 0.3, 0.9])

    by_score = vote(kept, segments, scores, iou_threshold=0.5)
    by_overlap = vote(kept, segments, scores, iou_threshold=0.5, by_overlap=True)

    assert by_score.tolist()[0] == pytest.approx([0, (9 + 2.4) / 1.2])
    assert by_overlap.tolist()[0] == pytest.approx([0, (9 + 0.24 * 8) / 1.14])


def test_a_segment_of_no_length_stays_where_it_is():
    kept = torch.tensor([[3.0, 3.0]])

    assert vote(kept, kept, torch.ones(1), iou_threshold=0.5).tolist() == [[3, 3]]


def test_fusion_repeats_the_best_segments_for_the_best_classes():
    scores, classes = np.array([0.25, 0.81, 0.49]), np.array([0.1, 0.64, 0.0, 0.36])

    index, labels, fused = fuse_video_scores(scores, classes, num_classes=2, max_segments=2)

    assert index.tolist() == [1, 2, 1, 2]
    assert labels.tolist() == [1, 1, 3, 3]
    np.testing.assert_allclose(fused, [0.72, 0.56, 0.54, 0.42])


def test_fusion_takes_a_softmax_of_scores_that_are_no_probabilities():
    index, labels, fused = fuse_video_scores(np.ones(1), np.array([-1.0, 3.0]), num_classes=1)

    assert (index.tolist(), labels.tolist()) == ([0], [1])
    assert fused[0] == pytest.approx((1 / (1 + math.exp(-4))) ** 0.5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"max_segments": 0}, "max_segments is 0"), ({"sigma": 0.0}, "sigma is 0.0, expected a pos")],
)
def test_an_impossible_suppression_says_so(fields, message):
    with pytest.raises(ConfigError, match=message):
        SuppressionConfig(**fields)
