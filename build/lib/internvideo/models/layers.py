"""Attention, feed-forward and the pre-norm block that encoder A and its decoder are made of.

Source: Dosovitskiy et al. 2021 (ViT), as used by VideoMAE; parameters have the official names.
Shapes: tokens (b, n, d) -> (b, n, d), or (b, m, d) for the last m tokens where only they are read.
Differs: a block can leave out the work whose result nobody reads (`num_kept`); the numbers are the
same. How attention is computed is chosen in attention.py.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from internvideo.models.attention import attend


class Attention(nn.Module):
    """Self-attention with one weight for query, key and value; the key has no bias.

    A key bias would add the same number to all logits of a query, which softmax ignores.
    """

    def __init__(self, width: int, num_heads: int, *, qkv_bias: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width)) if qkv_bias else None
        self.v_bias = nn.Parameter(torch.zeros(width)) if qkv_bias else None
        self.proj = nn.Linear(width, width)

    def forward(
        self, tokens: Float[Tensor, "b n d"], num_kept: int | None = None
    ) -> Float[Tensor, "b m d"]:
        """Attend from every token, or from the last `num_kept`, to every token."""
        weight, bias = self.qkv.weight, self._bias()
        if num_kept is None:
            query, key, value = self._heads(F.linear(tokens, weight, bias), 3)
        else:
            d = tokens.shape[2]
            q_bias, kv_bias = (None, None) if bias is None else (bias[:d], bias[d:])
            (query,) = self._heads(F.linear(tokens[:, -num_kept:], weight[:d], q_bias), 1)
            key, value = self._heads(F.linear(tokens, weight[d:], kv_bias), 2)
        attended = attend(query, key, value)
        return self.proj(attended.transpose(1, 2).flatten(2))  # b a n e -> b n (a e)

    def _bias(self) -> Tensor | None:
        if self.q_bias is None:
            return None
        return torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])

    def _heads(self, projected: Tensor, parts: int) -> tuple[Tensor, ...]:
        split = projected.unflatten(2, (parts, self.num_heads, -1))  # b n (parts a e)
        return split.permute(2, 0, 3, 1, 4).unbind(0)  # each b a n e


class Mlp(nn.Module):
    """Two linear layers around the exact GELU."""

    def __init__(self, width: int, hidden_width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden_width)
        self.fc2 = nn.Linear(hidden_width, width)

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        hidden = self.fc1(tokens)
        learns = torch.is_grad_enabled() and self.fc2.weight.requires_grad
        if hidden.device.type != "cpu" or not learns:  # a frozen layer keeps `hidden` alone anyway
            return self.fc2(F.gelu(hidden))
        return _GeluLinear.apply(hidden, self.fc2.weight, self.fc2.bias)


class _GeluLinear(torch.autograd.Function):
    """linear(gelu(hidden)), computing the GELU again in the backward pass instead of storing it.

    On a processor, where it is used, the widest activation of every block is then kept once and not
    twice; on CUDA the compiler makes this choice.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.parameter_dtype = weight.dtype  # wider than `hidden` under autocast
        weight = weight.to(hidden.dtype)
        ctx.save_for_backward(hidden, weight)
        return F.linear(F.gelu(hidden), weight, bias.to(hidden.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden, weight = ctx.saved_tensors
        rows = gradient.flatten(0, -2)
        to_weight = rows.mT @ F.gelu(hidden).flatten(0, -2)
        to_hidden = torch.ops.aten.gelu_backward(gradient @ weight, hidden)
        dtype = ctx.parameter_dtype
        return to_hidden, to_weight.to(dtype), rows.sum(0, dtype=dtype)


class StochasticDepth(nn.Module):
    """Drop a residual branch for whole samples while training, and scale up the others."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Float[Tensor, "b *axes d"]) -> Float[Tensor, "b *axes d"]:
        if not self.training or self.rate == 0:
            return branch
        kept = branch.new_empty(len(branch), *[1] * (branch.ndim - 1)).bernoulli_(1 - self.rate)
        return branch * (kept / (1 - self.rate))


class Block(nn.Module):
    """Pre-norm block: x + attention(norm1(x)), then x + mlp(norm2(x)).

    With `layer_scale_init` above 0 each branch has a learned factor per channel.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        hidden_width: int,
        *,
        qkv_bias: bool = True,
        layer_scale_init: float = 0.0,
        drop_path: float = 0.0,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=norm_eps)
        self.attn = Attention(width, num_heads, qkv_bias=qkv_bias)
        self.norm2 = nn.LayerNorm(width, eps=norm_eps)
        self.mlp = Mlp(width, hidden_width)
        self.drop_path = StochasticDepth(drop_path)
        self.gamma_1: nn.Parameter | None = None
        self.gamma_2: nn.Parameter | None = None
        if layer_scale_init > 0:
            self.gamma_1 = nn.Parameter(torch.full((width,), layer_scale_init))
            self.gamma_2 = nn.Parameter(torch.full((width,), layer_scale_init))

    def forward(
        self, tokens: Float[Tensor, "b n d"], num_kept: int | None = None
    ) -> Float[Tensor, "b m d"]:
        """Return all tokens, or only the last `num_kept` (which still attend to all)."""
        branch = self.attn(self.norm1(tokens), num_kept)
        if num_kept is not None:
            tokens = tokens[:, -num_kept:]
        tokens = tokens + self.drop_path(_scaled(branch, self.gamma_1))
        branch = self.mlp(self.norm2(tokens))
        return tokens + self.drop_path(_scaled(branch, self.gamma_2))


def _scaled(branch: Tensor, gamma: Tensor | None) -> Tensor:
    return branch if gamma is None else branch * gamma


def hidden_width(width: int, mlp_ratio: float) -> int:
    """Width between the two layers of an `Mlp`: int(width * ratio), as the official code has it.

    The millionth guards ratios that came from a division of two widths.
    """
    return int(width * mlp_ratio + 1e-6)


def stochastic_depth_rates(depth: int, last: float) -> list[float]:
    """Rates that grow linearly from 0 at the first block to `last` at the last one."""
    return [last * i / max(1, depth - 1) for i in range(depth)]
