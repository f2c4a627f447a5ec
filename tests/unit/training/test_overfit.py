"""The overfit check: a few clips memorised, or why not."""

from __future__ import annotations

import torch
from torch import nn

from internvideo.training import overfit_check

LABELS = torch.tensor([0, 1, 2, 0])


def learned(inputs: torch.Tensor, *, lr=0.1, factor=1.0, **options):
    torch.manual_seed(0)
    model = nn.Linear(inputs.shape[1], 3)
    return overfit_check(
        lambda: factor * model(inputs), model.parameters(), LABELS, lr=lr, **options
    )


def test_different_clips_are_memorised():
    found = learned(torch.eye(4))

    assert found.succeeded
    assert found.last_loss < found.first_loss
    assert str(found).startswith("memorised 4 clips: loss 1.")


def test_equal_clips_with_different_labels_are_not():
    found = learned(torch.ones(4, 2))

    assert not found.succeeded
    assert found.num_steps == 100
    assert "check that they differ and that their labels are right" in str(found)


def test_slow_learning_is_told_from_none():
    found = learned(torch.cat([torch.eye(3), torch.tensor([[0, 1.0, 0]])]) * 5)

    assert "it was still learning" in str(found)


def test_a_loss_that_is_not_finite_is_told():
    found = learned(torch.eye(4), factor=float("nan"))

    assert found.num_steps == 0
    assert "the loss is not finite" in str(found)


def test_lack_of_time_is_told():
    assert "its time was up" in str(learned(torch.ones(4, 2), limit_s=-1.0))


def test_frozen_parameters_stay_as_they_are():
    frozen = nn.Linear(4, 3).requires_grad_(False)
    head = nn.Linear(3, 3)
    before = frozen.weight.clone()

    overfit_check(
        lambda: head(frozen(torch.eye(4))),
        [*frozen.parameters(), *head.parameters()],
        LABELS,
        lr=0.1,
    )

    assert torch.equal(frozen.weight, before)
