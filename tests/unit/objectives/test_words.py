"""Cross-entropy of the words of captions, against its formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from internvideo.objectives import word_loss, word_rarity

START, END = 6, 7
CAPTIONS = ([0, 2, 2], [0, 1], [0, 3, 1])


def _captions() -> tuple[Tensor, Tensor]:
    rows = [[START, *caption, END] for caption in CAPTIONS]
    ids = torch.tensor([row + [0] * (5 - len(row)) for row in rows])
    padded = torch.arange(5) >= torch.tensor([len(row) for row in rows])[:, None]
    return ids, padded


def test_rarity_is_the_inverse_document_frequency():
    rarity = word_rarity(*_captions(), vocabulary_size=8)

    assert rarity[[0, START, END]].tolist() == [0, 0, 0]  # in all captions
    assert rarity[1] == 0  # log(3 / (1 + 2))
    assert rarity[[2, 3]].tolist() == pytest.approx([math.log(3 / 2)] * 2)
    assert rarity[4] == pytest.approx(math.log(3))


def test_loss_is_the_mean_cost_of_words_by_their_shares_of_rarity():
    ids, padded = _captions()
    logits = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    rarity = torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 0.0, 0.0])

    loss = word_loss(logits, ids, padded, rarity)

    costs = logits.log_softmax(1).neg()
    expected = [
        sum(rarity[word] * cost[word] for word in set(caption))
        / sum(rarity[word] for word in set(caption))
        for caption, cost in zip(CAPTIONS, costs, strict=True)
    ]
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_order_repetition_and_padding_do_not_matter():
    ids, padded = _captions()
    logits = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    rarity = torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 0.0, 0.0])
    other = torch.tensor([[START, 2, 0, END], [END, START, 1, 0], [1, 3, 0, END]])

    loss = word_loss(logits, ids, padded, rarity)
    same = word_loss(logits, other, torch.zeros_like(other).bool(), rarity)

    torch.testing.assert_close(loss, same)


def test_captions_of_words_without_weight_cost_nothing():
    ids, padded = _captions()
    logits = torch.zeros(3, 8, requires_grad=True)

    loss = word_loss(logits, ids, padded, torch.zeros(8))
    loss.backward()

    assert loss == 0 and logits.grad is not None and not logits.grad.any()
