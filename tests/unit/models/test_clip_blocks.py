"""Blocks of CLIP's towers against torch's own modules."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from internvideo.models.clip_blocks import ClipAttention, ClipBlock, ClipMlp


def _tokens(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def _seeded(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.1, generator=generator)
    return module


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_torchs_multihead_attention(causal: bool):
    ours = _seeded(ClipAttention(32, 4, causal=causal))
    theirs = nn.MultiheadAttention(32, 4, batch_first=True)
    theirs.in_proj_weight, theirs.in_proj_bias = ours.qkv.weight, ours.qkv.bias
    theirs.out_proj = ours.proj
    tokens = _tokens(2, 7, 32)
    hidden = nn.Transformer.generate_square_subsequent_mask(7) if causal else None

    expected = theirs(tokens, tokens, tokens, attn_mask=hidden, need_weights=False)[0]

    torch.testing.assert_close(ours(tokens), expected)


def test_quick_gelu_and_its_gradients_are_the_plain_formula():
    mlp = _seeded(ClipMlp(16, 48)).double()
    tokens = _tokens(3, 5, 16).double().requires_grad_()
    hidden = mlp.fc1(tokens)
    plain = mlp.fc2(hidden * torch.sigmoid(1.702 * hidden))
    wanted = [tokens, *mlp.parameters()]
    expected = torch.autograd.grad(plain.square().sum(), wanted)

    got = mlp(tokens)

    torch.testing.assert_close(got, plain)
    torch.testing.assert_close(torch.autograd.grad(got.square().sum(), wanted), expected)


def test_leading_axes_are_batch_axes():
    block = _seeded(ClipBlock(32, 4, 64))
    tokens = _tokens(2, 3, 5, 32)

    together = block(tokens)

    torch.testing.assert_close(together.flatten(0, 1), block(tokens.flatten(0, 1)))


def test_a_block_runs_in_bfloat16_near_float32():
    block = _seeded(ClipBlock(32, 4, 64))
    tokens = _tokens(2, 5, 32).requires_grad_()
    (expected,) = torch.autograd.grad(block(tokens).square().mean(), tokens)

    with torch.autocast("cpu", torch.bfloat16):
        loss = block(tokens).float().square().mean()
    (got,) = torch.autograd.grad(loss, tokens)

    assert (got - expected).norm() / expected.norm() < 0.02
