"""Cross-entropy of classes and of shares of classes, against its formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.objectives import balanced_class_weights, classification_loss


def _batch() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 5, generator=generator)
    labels = torch.randint(5, (6,), generator=generator)
    shares = torch.rand(6, 5, generator=generator).softmax(1)
    return logits, labels, shares


def test_loss_of_labels_is_the_mean_cost_of_the_right_class():
    logits, labels, _ = _batch()

    loss = classification_loss(logits, labels)

    costs = [-float(row.log_softmax(0)[label]) for row, label in zip(logits, labels, strict=True)]
    assert float(loss) == pytest.approx(sum(costs) / 6, rel=1e-6)


def test_loss_of_shares_sums_the_costs_of_all_classes():
    logits, _, shares = _batch()

    loss = classification_loss(logits, shares)

    torch.testing.assert_close(loss, -(shares * logits.log_softmax(1)).sum(1).mean())


def test_smoothed_labels_are_the_smoothed_shares():
    logits, labels, _ = _batch()

    loss = classification_loss(logits, labels, label_smoothing=0.1)

    shares = torch.eye(5)[labels] * 0.9 + 0.1 / 5
    torch.testing.assert_close(loss, classification_loss(logits, shares))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_class_weights_multiply_the_cost_of_each_class(smoothing):
    logits, labels, _ = _batch()
    weights = torch.tensor([0.5, 2.0, 1.0, 0.0, 3.0])

    loss = classification_loss(logits, labels, label_smoothing=smoothing, class_weights=weights)

    shares = torch.eye(5)[labels] * (1 - smoothing) + smoothing / 5
    torch.testing.assert_close(loss, -(weights * shares * logits.log_softmax(1)).sum(1).mean())


def test_the_mean_over_ranks_is_the_loss_of_one_whatever_the_class_weights():
    logits, labels, _ = _batch()
    weights = torch.tensor([0.5, 2.0, 1.0, 0.1, 3.0])

    halves = [
        classification_loss(logits[part], labels[part], class_weights=weights)
        for part in (slice(3), slice(3, 6))
    ]

    torch.testing.assert_close(
        sum(halves) / 2, classification_loss(logits, labels, class_weights=weights)
    )


def test_loss_is_computed_in_float32_under_autocast():
    logits, _, shares = _batch()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = classification_loss(logits, shares)

    assert torch.equal(loss, classification_loss(logits, shares))


def test_balanced_weights_let_each_class_that_occurs_count_the_same():
    counts = [30, 10, 0, 2]

    weights = balanced_class_weights(counts)

    torch.testing.assert_close(weights * torch.tensor(counts), torch.tensor([14.0, 14, 0, 14]))


def test_counts_without_a_clip_are_refused():
    with pytest.raises(ConfigError, match="counts of 2 classes hold no clip"):
        balanced_class_weights([0, 0])
