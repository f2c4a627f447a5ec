"""Scaled dot-product attention, with a path of our own for bfloat16 on processors.

Shapes: query (b, a, m, e), key and value (b, a, n, e) -> (b, a, m, e).

On a processor torch's fused attention runs bfloat16 no faster than float32, and backward slower.
The plain products do run twice as fast, so there we take those, a piece at a time so that the
scores stay in the cache, and compute the scores again in the backward pass instead of storing them.
Differs from the fused kernel: scores are rounded to bfloat16 before the softmax, as they are in
attention written out under autocast. benchmarks/masked_pretraining_step.py measures what it gains.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_ROWS = 392  # queries of one sample at a time
_SCORES = 392 * 1568  # and of several samples together, scores of one head

_fused_only: ContextVar[bool] = ContextVar("fused_only", default=False)


@contextlib.contextmanager
def fused_attention_only() -> Iterator[None]:
    """Take torch's fused attention on a processor as well, as to plan what a GPU would store."""
    token = _fused_only.set(True)
    try:
        yield
    finally:
        _fused_only.reset(token)


def attend(
    query: Float[Tensor, "b a m e"],
    key: Float[Tensor, "b a n e"],
    value: Float[Tensor, "b a n e"],
    *,
    causal: bool = False,
) -> Float[Tensor, "b a m e"]:
    """Softmax of query-key products times the values, over all keys or only the earlier ones.

    Fewer causal queries than keys are those of the last tokens; the earlier ones were read before.
    """
    m, n = query.shape[2], key.shape[2]
    if causal and 1 < m < n:
        earlier = torch.ones(m, n, dtype=torch.bool, device=query.device).tril(n - m)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=earlier)
    if (
        not causal  # texts, which are short
        and query.device.type == "cpu"
        and query.dtype == torch.bfloat16
        and not torch.compiler.is_compiling()
        and not _fused_only.get()
    ):
        return _PlainAttention.apply(query, key, value)
    causal = causal and m == n
    if causal and query.device.type == "cpu" and query.dtype == torch.bfloat16:
        # Short texts: the fused kernel's backward is several times slower in bfloat16.
        query, key, value = query.float(), key.float(), value.float()
        return F.scaled_dot_product_attention(query, key, value, is_causal=True).bfloat16()
    return F.scaled_dot_product_attention(query, key, value, is_causal=causal)


class _PlainAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        b, a, m, e = query.shape
        attended = query.new_empty(b, m, a, e).transpose(1, 2)  # heads side by side once merged
        with torch.autocast("cpu", enabled=False):
            scaled, key_, value_ = (
                query.contiguous() * e**-0.5,
                key.contiguous(),
                value.contiguous(),
            )
            for samples, rows in _pieces(b, m, key.shape[2]):
                weights = torch.softmax(scaled[samples, :, rows] @ key_[samples].mT, dim=-1)
                attended[samples, :, rows] = weights @ value_[samples]
        ctx.save_for_backward(query, key, value, attended)
        return attended

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value, attended = ctx.saved_tensors
        b, a, m, e = query.shape
        to_query = query.new_empty(b, m, a, e).transpose(1, 2)
        to_key = torch.zeros(key.shape, dtype=torch.float32)
        to_value = torch.zeros(value.shape, dtype=torch.float32)
        # What a row of scores shares: d softmax = weights * (d weights - this).
        shared = (gradient.float() * attended.float()).sum(3, keepdim=True).to(query.dtype)
        scaled, key_, value_ = query.contiguous() * e**-0.5, key.contiguous(), value.contiguous()
        gradient = gradient.contiguous()
        for samples, rows in _pieces(b, m, key.shape[2]):
            asked, wanted = scaled[samples, :, rows], gradient[samples, :, rows]
            weights = torch.softmax(asked @ key_[samples].mT, dim=-1)
            to_value[samples] += weights.mT @ wanted
            to_scores = wanted @ value_[samples].mT
            to_scores.sub_(shared[samples, :, rows]).mul_(weights)
            to_query[samples, :, rows] = to_scores @ key_[samples]
            to_key[samples] += to_scores.mT @ asked
        return to_query.mul_(e**-0.5), to_key.to(key.dtype), to_value.to(value.dtype)


def _pieces(num_samples: int, num_rows: int, num_keys: int) -> Iterator[tuple[slice, slice]]:
    """Cut the work into pieces of some samples, or of some rows of one sample."""
    group = max(1, _SCORES // (num_rows * num_keys))
    rows = num_rows if group > 1 else _ROWS
    for first in range(0, num_samples, group):
        for start in range(0, num_rows, rows):
            yield slice(first, first + group), slice(start, start + rows)
