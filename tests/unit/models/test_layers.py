"""Blocks, attention and the work that a block may leave out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from internvideo.models import Attention, Block, Mlp
from internvideo.models.attention import attend
from internvideo.models.layers import StochasticDepth, hidden_width, stochastic_depth_rates


def _block(**switches: float) -> Block:
    torch.manual_seed(0)
    return Block(32, 2, 64, **switches)


def test_attention_equals_softmax_written_out():
    torch.manual_seed(0)
    attention = Attention(32, 4)
    torch.nn.init.normal_(attention.q_bias)
    torch.nn.init.normal_(attention.v_bias)
    tokens = torch.randn(2, 5, 32)

    got = attention(tokens)

    query, key, value = (tokens @ attention.qkv.weight.T).chunk(3, dim=2)
    heads = [
        part.view(2, 5, 4, 8).transpose(1, 2)
        for part in (query + attention.q_bias, key, value + attention.v_bias)
    ]
    weights = torch.softmax(heads[0] @ heads[1].mT / 8**0.5, dim=-1)
    merged = (weights @ heads[2]).transpose(1, 2).reshape(2, 5, 32)
    torch.testing.assert_close(got, attention.proj(merged))


def test_block_that_keeps_the_last_tokens_gives_the_same_numbers():
    block = _block(layer_scale_init=0.1)
    tokens = torch.randn(2, 9, 32)

    torch.testing.assert_close(block(tokens, 4), block(tokens)[:, -4:])


def test_mlp_and_its_gradients_equal_the_layers_written_out():
    torch.manual_seed(0)
    mlp = Mlp(8, 24).double()
    tokens = torch.randn(2, 5, 8, dtype=torch.float64, requires_grad=True)
    inputs = [tokens, *mlp.parameters()]

    got = mlp(tokens)
    expected = mlp.fc2(F.gelu(mlp.fc1(tokens)))

    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(
        torch.autograd.grad(got.square().sum(), inputs),
        torch.autograd.grad(expected.square().sum(), inputs),
    )


def test_layer_scale_of_zero_means_no_such_parameter():
    names = {name for name, _ in _block().named_parameters()}

    assert "gamma_1" not in names and "gamma_2" not in names


def test_attention_without_bias_has_no_bias_parameters():
    names = {name for name, _ in Attention(32, 4, qkv_bias=False).named_parameters()}

    assert names == {"qkv.weight", "proj.weight", "proj.bias"}


def test_stochastic_depth_drops_whole_samples_and_scales_the_others():
    torch.manual_seed(0)
    dropped = StochasticDepth(0.5)(torch.ones(64, 3, 2))

    assert {tuple(sample.flatten().tolist()) for sample in dropped} == {(0.0,) * 6, (2.0,) * 6}


def test_stochastic_depth_does_nothing_in_evaluation():
    ones = torch.ones(8, 3, 2)

    assert StochasticDepth(0.9).eval()(ones) is ones


def test_stochastic_depth_grows_linearly_to_the_last_block():
    assert stochastic_depth_rates(3, 0.2) == pytest.approx([0.0, 0.1, 0.2])
    assert stochastic_depth_rates(1, 0.2) == [0.0]


@pytest.mark.parametrize(
    ("width", "ratio", "hidden"), [(1408, 48 / 11, 6144), (512, 48 / 11, 2234)]
)
def test_hidden_width_is_the_official_one(width: int, ratio: float, hidden: int):
    assert hidden_width(width, ratio) == hidden


def test_long_bfloat16_attention_agrees_with_float32_forwards_and_backwards():
    torch.manual_seed(0)
    exact = torch.randn(3, 2, 2, 700, 16, requires_grad=True)
    rounded = exact.detach().bfloat16().requires_grad_()
    gradient = torch.randn(2, 2, 700, 16)

    expected = F.scaled_dot_product_attention(*exact)
    expected.backward(gradient)
    got = attend(*rounded)
    got.backward(gradient.bfloat16())

    assert (got - expected).norm() < 0.02 * expected.norm()
    assert (rounded.grad - exact.grad).norm() < 0.02 * exact.grad.norm()
