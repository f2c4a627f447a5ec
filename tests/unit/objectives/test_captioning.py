"""Cross-entropy of captions, against its formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from internvideo.objectives import captioning_loss, count_targets

LENGTHS = (6, 3, 2, 4)


def _captions() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 5, 7, generator=generator)
    ids = torch.randint(7, (4, 6), generator=generator)
    padded = torch.arange(6) >= torch.tensor(LENGTHS)[:, None]
    return logits, ids, padded


def test_loss_is_the_mean_cost_of_the_tokens_that_are_not_padding():
    logits, ids, padded = _captions()

    loss = captioning_loss(logits, ids, padded)

    costs = [
        -float(logits[i, j].log_softmax(0)[ids[i, j + 1]])
        for i, length in enumerate(LENGTHS)
        for j in range(length - 1)
    ]
    assert float(loss) == pytest.approx(sum(costs) / len(costs), rel=1e-5)


def test_label_smoothing_spreads_a_share_over_the_vocabulary():
    logits, ids, padded = _captions()

    loss = captioning_loss(logits, ids, padded, label_smoothing=0.3)

    costs = logits.log_softmax(2).neg()
    right = costs.gather(2, ids[:, 1:, None])[..., 0]
    smoothed = (0.7 * right + 0.3 * costs.mean(2))[~padded[:, 1:]]
    torch.testing.assert_close(loss, smoothed.mean())


def test_what_stands_in_padding_changes_nothing():
    logits, ids, padded = _captions()
    other_ids = torch.where(padded, 3, ids)
    other_logits = torch.where(padded[:, 1:, None], 50.0, logits)

    loss = captioning_loss(other_logits, other_ids, padded)

    torch.testing.assert_close(loss, captioning_loss(logits, ids, padded))


def test_the_mean_over_unequal_ranks_is_the_loss_of_one_process():
    logits, ids, padded = _captions()
    logits.requires_grad_()
    share = count_targets(padded) / 2
    halves = (slice(0, 2), slice(2, 4))

    losses = [
        captioning_loss(logits[half], ids[half], padded[half], num_targets=share) for half in halves
    ]

    mean, whole = torch.stack(losses).mean(), captioning_loss(logits, ids, padded)
    torch.testing.assert_close(mean, whole)
    torch.testing.assert_close(
        torch.autograd.grad(mean, logits), torch.autograd.grad(whole, logits)
    )


def test_captions_without_any_target_cost_nothing():
    logits, ids, _ = _captions()
    logits.requires_grad_()

    loss = captioning_loss(logits, ids, torch.ones(4, 6, dtype=torch.bool))
    loss.backward()

    assert float(loss.detach()) == 0
    assert not logits.grad.any()
