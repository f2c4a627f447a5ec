"""The pre-norm block of CLIP's towers, for images, clips and texts.

Source: Radford et al. 2021, "CLIP" (arXiv:2103.00020), and its released code.
Shapes: tokens (..., n, d) -> (..., n, d); all leading axes are batch axes.
Differs from layers.py: keys have a bias, the activation is x * sigmoid(1.702 x), attention may be
causal. Differs from the released code: biases of the feed-forward start at zero.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from internvideo.models.attention import attend
from internvideo.models.key_values import KeyValueCache
from internvideo.models.layers import StochasticDepth

_SLOPE = 1.702  # x * sigmoid(1.702 x) is close to the GELU

Activation = Literal["quick-gelu", "gelu"]


class ClipAttention(nn.Module):
    """Self-attention with one weight and one bias for query, key and value."""

    def __init__(self, width: int, num_heads: int, *, causal: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.causal = causal
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(
        self, tokens: Float[Tensor, "*batch n d"], cache: KeyValueCache | None = None
    ) -> Float[Tensor, "*batch n d"]:
        """With a cache, attend also to the tokens that it was called with before."""
        batch, (n, d) = tokens.shape[:-2], tokens.shape[-2:]
        split = self.qkv(tokens).view(-1, n, 3, self.num_heads, d // self.num_heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)  # each b a n e
        if cache is not None:
            key, value = cache.extend(self, key, value)
        attended = attend(query, key, value, causal=self.causal)
        return self.proj(attended.transpose(1, 2).reshape(*batch, n, d))  # b a n e -> b n (a e)


class ClipMlp(nn.Module):
    """Two linear layers around the activation, with dropout after it."""

    def __init__(
        self,
        width: int,
        hidden_width: int,
        *,
        activation: Activation = "quick-gelu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.quick = activation == "quick-gelu"
        self.dropout = dropout
        self.fc1 = nn.Linear(width, hidden_width)
        self.fc2 = nn.Linear(hidden_width, width)

    def forward(self, tokens: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        hidden = self.fc1(tokens)
        exporting = torch.compiler.is_exporting()  # a file knows torch's own operations alone
        if self.quick and not self.dropout and hidden.device.type == "cpu" and not exporting:
            return _QuickGeluLinear.apply(hidden, self.fc2.weight, self.fc2.bias)
        hidden = hidden * torch.sigmoid(_SLOPE * hidden) if self.quick else F.gelu(hidden)
        return self.fc2(F.dropout(hidden, self.dropout, self.training))


class _QuickGeluLinear(torch.autograd.Function):
    """linear(hidden * sigmoid(1.702 hidden)), keeping `hidden` alone for the backward pass.

    It is silu(1.702 hidden) / 1.702, a function that processors compute in one pass; the division
    moves to the smaller factor. On CUDA the compiler joins these steps by itself.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.parameter_dtype = weight.dtype  # wider than `hidden` under autocast
        weight = weight.to(hidden.dtype)
        ctx.save_for_backward(hidden, weight)
        active = F.silu(hidden * _SLOPE, inplace=True)
        if active.numel() < weight.numel():  # as in generation, a token at a time
            active.div_(_SLOPE)
        else:
            weight = weight / _SLOPE
        return F.linear(active, weight, bias.to(hidden.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden, weight = ctx.saved_tensors
        scaled = hidden * _SLOPE
        rows = gradient.flatten(0, -2)
        to_hidden = torch.ops.aten.silu_backward(gradient @ weight, scaled)
        active = F.silu(scaled, inplace=True).flatten(0, -2)
        to_weight = (rows.mT @ active).div_(_SLOPE)
        dtype = ctx.parameter_dtype
        return to_hidden, to_weight.to(dtype), rows.sum(0, dtype=dtype)


class ClipBlock(nn.Module):
    """x + attention(norm1(x)), then x + mlp(norm2(x))."""

    def __init__(
        self,
        width: int,
        num_heads: int,
        hidden_width: int,
        *,
        causal: bool = False,
        activation: Activation = "quick-gelu",
        drop_path: float = 0.0,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=norm_eps)
        self.attn = ClipAttention(width, num_heads, causal=causal)
        self.norm2 = nn.LayerNorm(width, eps=norm_eps)
        self.mlp = ClipMlp(width, hidden_width, activation=activation)
        self.drop_path = StochasticDepth(drop_path)

    def forward(
        self, tokens: Float[Tensor, "b *axes d"], cache: KeyValueCache | None = None
    ) -> Float[Tensor, "b *axes d"]:
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens), cache))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


def initialise_blocks(blocks: nn.ModuleList, width: int) -> None:
    """CLIP's start: normal weights, smaller where a branch joins the residual stream."""
    inner = width**-0.5
    outer = inner * (2 * max(1, len(blocks))) ** -0.5
    for block in blocks:
        nn.init.normal_(block.attn.qkv.weight, std=inner)
        nn.init.normal_(block.attn.proj.weight, std=outer)
        nn.init.normal_(block.mlp.fc1.weight, std=(2 * width) ** -0.5)
        nn.init.normal_(block.mlp.fc2.weight, std=outer)
        for layer in (block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2):
            nn.init.zeros_(layer.bias)
