"""The two kinds of layers that a caption decoder can be made of.

Parallel: attention and feed-forward side by side, all heads sharing one key and value, rotary
positions; from CoCa as the released InternVideo code has it, with the official parameter names.
Source: PaLM (arXiv:2204.02311, section 2), arXiv:1911.02150, RoFormer (arXiv:2104.09864).
Standard: self-attention, cross-attention and feed-forward in turn, each after a norm.
Shapes: text (b, l, d), context (b, q, d) -> text (b, l, d). Position i sees text 0..i only.
Differs: nothing in numbers; keys of the context and of earlier text can be kept (`KeyValueCache`).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from internvideo.models.attention import attend
from internvideo.models.key_values import KeyValueCache
from internvideo.models.layers import Mlp

_ROTARY_BASE = 10000.0


class BiasFreeLayerNorm(nn.Module):
    """Layer norm with a gain and no shift; the official code keeps a shift of zeros as a buffer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.register_buffer("beta", torch.zeros(width))

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return F.layer_norm(tokens, self.gamma.shape, self.gamma, self.beta)


class Residual(nn.Module):
    """Add to the tokens what `fn` makes of them."""

    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, tokens: Float[Tensor, "b l d"], *others: Any) -> Float[Tensor, "b l d"]:
        return tokens + self.fn(tokens, *others)


class SwiGLU(nn.Module):
    """SwiGLU: the first half times silu of the second half."""

    def forward(self, hidden: Float[Tensor, "b l hidden"]) -> Float[Tensor, "b l half"]:
        value, gate = hidden.chunk(2, dim=-1)
        return F.silu(gate) * value


class Rotary(nn.Module):
    """Turn pairs (i, i + e/2) of a head's channels by an angle that grows with the position."""

    def __init__(self, head_width: int) -> None:
        super().__init__()
        exponents = torch.arange(0, head_width, 2).float() / head_width
        self.register_buffer("inv_freq", _ROTARY_BASE**-exponents)

    def forward(self, heads: Float[Tensor, "b l a e"], first: int = 0) -> Float[Tensor, "b l a e"]:
        """Turn heads of tokens that stand at `first`, `first` + 1, ..."""
        positions = torch.arange(first, first + heads.shape[1], device=heads.device)
        angles = (positions[:, None] * self.inv_freq.float()).repeat(1, 2)[:, None]  # l 1 e
        left, right = heads.chunk(2, dim=-1)
        turned = heads * angles.cos() + torch.cat([-right, left], dim=-1) * angles.sin()
        return turned.to(heads.dtype)


class ParallelBlock(nn.Module):
    """Causal self-attention and feed-forward of the same normed tokens, summed."""

    def __init__(self, width: int, num_heads: int, head_width: int, ff_multiple: int) -> None:
        super().__init__()
        hidden = ff_multiple * width
        self.split = (num_heads * head_width, head_width, head_width, 2 * hidden)
        self.num_heads = num_heads
        self.norm = BiasFreeLayerNorm(width)
        self.rotary_emb = Rotary(head_width)
        self.fused_attn_ff_proj = nn.Linear(width, sum(self.split), bias=False)
        self.attn_out = nn.Linear(num_heads * head_width, width, bias=False)
        self.ff_out = nn.Sequential(SwiGLU(), nn.Linear(hidden, width, bias=False))

    def forward(
        self,
        text: Float[Tensor, "b l d"],
        cache: KeyValueCache | None = None,
        allowed: Bool[Tensor, "b l l"] | None = None,
    ) -> Float[Tensor, "b l d"]:
        """Attend to the tokens before, or to those of them that are `allowed`."""
        query, key, value, hidden = self.fused_attn_ff_proj(self.norm(text)).split(self.split, -1)
        first = cache.num_read(self) if cache is not None else 0
        query = self.rotary_emb(query.unflatten(2, (self.num_heads, -1)), first)
        key = self.rotary_emb(key[:, :, None], first)[:, :, 0]
        if cache is not None:
            key, value = cache.extend(self, key, value)
        if text.shape[1] == 1 and allowed is None:
            attended = _attend_shared(query, key, value)
        else:
            attended = _attend_causal(query, key, value, allowed)
        return self.attn_out(attended.flatten(2)) + self.ff_out(hidden)


class CrossAttention(nn.Module):
    """Attention to a context whose key and value all heads share; no norm of its own result.

    With `ff_multiple` a feed-forward of the normed tokens is added to it.
    """

    def __init__(
        self,
        width: int,
        context_width: int,
        num_heads: int,
        head_width: int,
        *,
        ff_multiple: int = 0,
        context_normed: bool = False,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = BiasFreeLayerNorm(width)
        self.context_norm = BiasFreeLayerNorm(context_width) if context_normed else nn.Identity()
        self.to_q = nn.Linear(width, num_heads * head_width, bias=False)
        self.to_kv = nn.Linear(context_width, 2 * head_width, bias=False)
        self.to_out = nn.Linear(num_heads * head_width, width, bias=False)
        self.ff: nn.Sequential | None = None
        if ff_multiple:
            hidden = ff_multiple * width
            self.ff = nn.Sequential(
                nn.Linear(width, 2 * hidden, bias=False),
                SwiGLU(),
                nn.Linear(hidden, width, bias=False),
            )

    def forward(
        self,
        tokens: Float[Tensor, "b l d"],
        context: Float[Tensor, "b q context"],
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "b l d"]:
        tokens = self.norm(tokens)
        query = self.to_q(tokens).unflatten(2, (self.num_heads, -1))
        key, value = (
            cache.once(self, lambda: self._read(context))
            if cache is not None
            else self._read(context)
        )
        result = self.to_out(_attend_shared(query, key, value).flatten(2))
        return result if self.ff is None else result + self.ff(tokens)

    def _read(self, context: Tensor) -> tuple[Tensor, Tensor]:
        key, value = self.to_kv(self.context_norm(context)).chunk(2, dim=-1)
        return key, value


class ParallelLayer(nn.Sequential):
    """A parallel block, then cross-attention with its feed-forward; both residual."""

    def __init__(
        self, width: int, context_width: int, num_heads: int, head_width: int, ff_multiple: int
    ) -> None:
        super().__init__(
            Residual(ParallelBlock(width, num_heads, head_width, ff_multiple)),
            Residual(
                CrossAttention(width, context_width, num_heads, head_width, ff_multiple=ff_multiple)
            ),
        )

    def forward(
        self,
        text: Float[Tensor, "b l d"],
        context: Float[Tensor, "b q context"],
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "b l d"]:
        return self[1](self[0](text, cache), context, cache)


class HeadAttention(nn.Module):
    """Attention with a key and value per head: to a context, or causal to the tokens themselves."""

    def __init__(self, width: int, context_width: int, num_heads: int, head_width: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_q = nn.Linear(width, num_heads * head_width)
        self.to_kv = nn.Linear(context_width, 2 * num_heads * head_width)
        self.to_out = nn.Linear(num_heads * head_width, width)

    def forward(
        self,
        tokens: Float[Tensor, "b l d"],
        context: Float[Tensor, "b q context"] | None = None,
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "b l d"]:
        query = self.to_q(tokens).unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # b a l e
        if context is None:
            key, value = self._read(tokens)
            if cache is not None:
                key, value = cache.extend(self, key, value)
            attended = attend(query, key, value, causal=True)
        else:
            key, value = (
                cache.once(self, lambda: self._read(context))
                if cache is not None
                else self._read(context)
            )
            attended = attend(query, key, value)
        return self.to_out(attended.transpose(1, 2).flatten(2))

    def _read(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        pairs = self.to_kv(tokens).unflatten(2, (2, self.num_heads, -1))
        key, value = pairs.permute(2, 0, 3, 1, 4)  # b l 2 a e -> 2 b a l e
        return key, value


class StandardLayer(nn.Module):
    """Pre-norm layer of a transformer decoder."""

    def __init__(
        self, width: int, context_width: int, num_heads: int, head_width: int, ff_multiple: int
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = HeadAttention(width, width, num_heads, head_width)
        self.norm2 = nn.LayerNorm(width)
        self.cross_attn = HeadAttention(width, context_width, num_heads, head_width)
        self.norm3 = nn.LayerNorm(width)
        self.mlp = Mlp(width, ff_multiple * width)

    def forward(
        self,
        text: Float[Tensor, "b l d"],
        context: Float[Tensor, "b q context"],
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "b l d"]:
        text = text + self.attn(self.norm1(text), None, cache)
        text = text + self.cross_attn(self.norm2(text), context, cache)
        return text + self.mlp(self.norm3(text))


def _attend_shared(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of queries (b, l, a, e) to keys (b, n, e) that all heads share, without a mask.

    Heads become rows of one product, so that the shared keys are neither copied nor read twice.
    """
    rows = query.flatten(1, 2)[:, None]  # b 1 (l a) e
    attended = F.scaled_dot_product_attention(rows, key[:, None], value[:, None])
    return attended[:, 0].unflatten(1, query.shape[1:3])


def _attend_causal(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None) -> Tensor:
    """Attention of the last tokens' queries (b, l, a, e) to shared keys (b, n, e) up to their own.

    `allowed` (b, l, l) narrows what may be attended to; then nothing has been read before.
    """
    query = query.transpose(1, 2)
    key, value = (x[:, None].expand(-1, query.shape[1], -1, -1) for x in (key, value))
    if allowed is None:
        return attend(query, key, value, causal=True).transpose(1, 2)
    mask = allowed.tril()[:, None]
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2)
