"""Targets and losses of temporal localization against the obvious computation."""

from __future__ import annotations

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.objectives import (
    LocalizationLoss,
    assign_targets,
    distance_iou_loss,
    sigmoid_focal_loss,
    update_normaliser,
)

LEVELS = ((1.0, 0.0, 4.0), (2.0, 4.0, 1e4))  # stride, least and greatest distance


def grid(num_steps=32):
    return torch.tensor(
        [
            [time, least, greatest, stride]
            for stride, least, greatest in LEVELS
            for time in range(0, num_steps, int(stride))
        ]
    )


def obvious_target(point, segments, labels, radius):
    """Classes and distances of one point, segment by segment."""
    time, least, greatest, stride = point.tolist()
    found = []
    for (start, end), label in zip(segments.tolist(), labels.tolist(), strict=True):
        centre = (start + end) / 2
        low, high = start, end
        if radius is not None:
            low, high = max(start, centre - radius * stride), min(end, centre + radius * stride)
        if low < time < high and least <= max(time - start, end - time) <= greatest:
            found.append((end - start, label, (time - start) / stride, (end - time) / stride))
    if not found:
        return set(), None
    shortest = min(found)[0]
    return {label for length, label, *_ in found if length <= shortest + 1e-3}, min(found)[2:]


@pytest.mark.parametrize("radius", [None, 1.5])
def test_targets_are_those_of_the_obvious_loop(radius):
    generator = torch.Generator().manual_seed(3)
    start = 28 * torch.rand(12, generator=generator)
    length = 1 + 14 * torch.rand(12, generator=generator)
    segments = torch.stack([start, start + length], dim=1)
    labels = torch.randint(4, (12,), generator=generator)

    got = assign_targets(grid(), segments, labels, num_classes=4, centre_radius=radius)

    for point, classes, distances in zip(grid(), got.classes, got.distances, strict=True):
        expected, boundaries = obvious_target(point, segments, labels, radius)
        assert set(classes.nonzero()[:, 0].tolist()) == expected
        if boundaries is None:
            assert distances.tolist() == [0, 0]
        else:
            assert distances.tolist() == pytest.approx(boundaries, abs=1e-4)


def test_equally_short_segments_all_give_their_class():
    segments = torch.tensor([[2.0, 6.0], [2.0, 6.0005]])

    got = assign_targets(grid(), segments, torch.tensor([0, 2]), num_classes=3)

    assert got.classes[4].tolist() == [1, 0, 1]


def test_a_video_without_segments_has_only_negatives():
    empty = torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)

    got = assign_targets(grid(), *empty, num_classes=3)

    assert not got.positive.any()


def test_targets_do_not_change_when_everything_moves_by_the_coarsest_stride():
    segments, labels = torch.tensor([[9.0, 14.0], [8.0, 20.0]]), torch.tensor([0, 1])
    points = grid(64)
    shifted = points.clone()
    shifted[:, 0] += 16

    before = assign_targets(points, segments, labels, num_classes=2)
    after = assign_targets(shifted, segments + 16, labels, num_classes=2)

    assert torch.equal(before.classes, after.classes)
    assert torch.equal(before.distances, after.distances)


def test_the_distance_loss_is_nothing_for_the_same_segment_and_grows_with_the_offset():
    same = torch.tensor([[2.0, 3.0]])
    moved = torch.tensor([[[3.0, 2.0]], [[4.0, 1.0]], [[5.0, 0.0]]])

    assert distance_iou_loss(same, same).item() == 0
    losses = [distance_iou_loss(one, same).item() for one in moved]
    assert losses == sorted(losses)
    assert losses[0] == pytest.approx(1 - 4 / 6 + (1 / 6) ** 2)


def test_the_focal_loss_is_weighted_cross_entropy():
    logits, targets = torch.randn(50), (torch.rand(50) < 0.3).float()

    got = sigmoid_focal_loss(logits, targets, alpha=0.25, gamma=2.0)

    p = torch.where(targets == 1, logits.sigmoid(), 1 - logits.sigmoid())
    balance = torch.where(targets == 1, 0.25, 0.75)
    torch.testing.assert_close(got, -balance * (1 - p) ** 2 * p.log())


def test_the_normaliser_moves_by_a_tenth_and_counts_at_least_one():
    assert update_normaliser(torch.tensor(100.0), torch.tensor(50)).item() == pytest.approx(95)
    assert update_normaliser(torch.tensor(100.0), torch.tensor(0)).item() == pytest.approx(90.1)


def batch(num_padded=0):
    points = grid()
    padded = torch.zeros(1, len(points), dtype=torch.bool)
    if num_padded:
        padded[0, -num_padded:] = True
    target = assign_targets(
        points, torch.tensor([[4.0, 9.0]]), torch.tensor([1]), num_classes=2, centre_radius=None
    )
    logits = torch.randn(1, len(points), 2, requires_grad=True)
    distances = torch.rand(1, len(points), 2, requires_grad=True)
    return logits, distances, padded, [target], torch.tensor(10.0)


def test_padded_points_have_no_gradient():
    logits, distances, padded, targets, normaliser = batch(num_padded=20)

    LocalizationLoss()(logits, distances, padded, targets, normaliser).total.backward()

    assert logits.grad[padded].abs().max() == 0
    assert logits.grad[~padded].abs().min() > 0


def test_a_weight_of_none_balances_the_parts():
    losses = LocalizationLoss(distance_weight=None)(*batch())

    assert losses.total.item() == pytest.approx(2 * losses.classification.item(), rel=1e-5)


def test_a_batch_without_positives_has_a_loss_and_gradients():
    logits, distances, padded, targets, normaliser = batch()
    targets[0].classes.zero_()

    losses = LocalizationLoss()(logits, distances, padded, targets, normaliser)
    losses.total.backward()

    assert losses.distance.item() == 0
    assert distances.grad.abs().max() == 0
    assert losses.normaliser.item() == pytest.approx(9.1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"distance_weight": -1.0}, "expected a positive number or None"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0, expected 0 to below 1"),
        ({"momentum": 1.0}, "momentum is 1.0, expected 0 to below 1"),
    ],
)
def test_an_impossible_loss_says_so(fields, message):
    with pytest.raises(ConfigError, match=message):
        LocalizationLoss(**fields)
