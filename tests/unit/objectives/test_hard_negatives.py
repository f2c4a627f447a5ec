from __future__ import annotations

import math

import pytest
import torch

from internvideo.objectives import hard_negative_loss

TRUE = torch.tensor([2.0, 0.0, 1.0])
FALSE = torch.tensor([[1.0, 0.5], [0.0, 9.0], [7.0, 7.0]])
PADDED = torch.tensor([[False, False], [False, True], [True, True]])


def test_it_is_the_cross_entropy_among_a_clips_own_sentences():
    first = -2 + math.log(math.exp(2) + math.exp(1) + math.exp(0.5))
    second = math.log(2)  # what is padded does not count, and the third has no false sentence

    assert float(hard_negative_loss(TRUE, FALSE, PADDED)) == pytest.approx((first + second) / 2)


def test_a_count_over_all_ranks_takes_the_place_of_the_own():
    own = hard_negative_loss(TRUE, FALSE, PADDED)

    assert hard_negative_loss(TRUE, FALSE, PADDED, count=torch.tensor(0.5)) == 4 * own


def test_without_false_sentences_there_is_nothing_to_lose():
    true = TRUE.clone().requires_grad_()

    loss = hard_negative_loss(true, FALSE, torch.ones(3, 2, dtype=torch.bool))
    loss.backward()

    assert loss == 0
    assert not true.grad.any()
