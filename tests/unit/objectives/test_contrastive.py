"""Losses over pairs of videos and captions, against their formulae."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from internvideo.objectives import (
    clamp_logit_scale,
    contrastive_loss,
    matched_contrastive_loss,
    queue_contrastive_loss,
)

SCALE = torch.tensor(math.log(10.0))


def _unit(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def _pairs(count: int = 6) -> tuple[Tensor, Tensor]:
    return _unit(count, 8, seed=1), _unit(count, 8, seed=2)


def _row_cost(logits: Tensor, right: int) -> float:
    return float(torch.logsumexp(logits, 0) - logits[right])


def test_contrastive_loss_equals_the_formula():
    video, text = _pairs()

    loss = contrastive_loss(video, text, SCALE)

    logits = 10 * video @ text.T
    costs = [_row_cost(logits[i], i) + _row_cost(logits[:, i], i) for i in range(6)]
    assert float(loss) == pytest.approx(sum(costs) / 12, rel=1e-5)


def test_captions_of_equal_id_share_the_target():
    video, text = _pairs(4)
    ids = torch.tensor([5, 7, 5, 9])

    loss = matched_contrastive_loss(video, text, SCALE, ids)

    targets = torch.tensor([[0.5, 0, 0.5, 0], [0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 0, 1]])
    logits = 10 * video @ text.T
    to_text = -(targets * logits.log_softmax(1)).sum(1).mean()
    to_video = -(targets * logits.T.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss, (to_text + to_video) / 2)


def test_with_distinct_ids_the_matched_loss_is_the_plain_one():
    video, text = _pairs()

    matched = matched_contrastive_loss(video, text, SCALE, torch.arange(6))

    torch.testing.assert_close(matched, contrastive_loss(video, text, SCALE))


def test_queue_loss_equals_the_formula():
    video, text, keys, queue = (_unit(*s, seed=i) for i, s in enumerate([(3, 8)] * 3 + [(5, 8)]))

    loss = queue_contrastive_loss(video, text, keys, keys, queue, queue, SCALE)

    costs = 0.0
    for i in range(3):
        pool = torch.cat([keys[i : i + 1], queue])
        costs += _row_cost(10 * pool @ video[i], 0) + _row_cost(10 * pool @ text[i], 0)
    assert float(loss) == pytest.approx(costs / 6, rel=1e-5)


def test_queue_and_momentum_embeddings_get_no_gradient():
    tensors = [_unit(3, 8, seed=i).requires_grad_() for i in range(6)]

    queue_contrastive_loss(*tensors, SCALE).backward()

    assert [t.grad is not None for t in tensors] == [True, True, False, False, False, False]


@pytest.mark.parametrize("num_ranks", [2, 3])
@pytest.mark.parametrize("kind", ["plain", "matched"])
def test_the_mean_over_ranks_is_the_loss_of_one_process(kind: str, num_ranks: int):
    ids = torch.tensor([0, 1, 2, 0, 3, 1])

    def loss_of(video: Tensor, text: Tensor, scale: Tensor, rows: slice) -> Tensor:
        if kind == "plain":
            return contrastive_loss(video, text, scale, rank_rows=rows)
        return matched_contrastive_loss(video, text, scale, ids, rank_rows=rows)

    def run(shares: list[slice]) -> list[Tensor]:
        inputs = [t.clone().requires_grad_() for t in (*_pairs(), SCALE)]
        loss = torch.stack([loss_of(*inputs, rows) for rows in shares]).mean()
        return [loss, *torch.autograd.grad(loss, inputs)]

    size = 6 // num_ranks
    many = run([slice(first, first + size) for first in range(0, 6, size)])
    torch.testing.assert_close(many, run([slice(None)]), rtol=1e-5, atol=1e-6)


def test_bfloat16_embeddings_are_compared_in_float32():
    video, text = _unit(6, 8, seed=1).bfloat16(), _unit(6, 8, seed=2).bfloat16()

    with torch.autocast("cpu", torch.bfloat16):
        loss = contrastive_loss(video, text, SCALE)

    torch.testing.assert_close(loss, contrastive_loss(video.float(), text.float(), SCALE))


def test_gradient_of_the_scale_equals_a_finite_difference():
    video, text = _unit(3, 4, seed=1), _unit(3, 4, seed=2)
    ids = torch.tensor([0, 1, 0])
    step = 1e-2

    def total(scale: Tensor) -> Tensor:
        plain = contrastive_loss(video, text, scale)
        return plain + matched_contrastive_loss(video, text, scale, ids)

    scale = SCALE.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(scale), scale)

    difference = (total(SCALE + step) - total(SCALE - step)) / (2 * step)
    torch.testing.assert_close(gradient, difference, rtol=1e-3, atol=1e-4)


def test_scale_is_clamped_in_place():
    scales = [torch.nn.Parameter(torch.tensor(value)) for value in (-1.0, 2.0, 9.0)]

    for scale in scales:
        clamp_logit_scale(scale)

    assert [float(s.detach()) for s in scales] == pytest.approx([0, 2, math.log(100)])
