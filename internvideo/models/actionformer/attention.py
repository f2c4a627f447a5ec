"""Local attention of ActionFormer: a depthwise convolution before each projection, then a window.

Source: Zhang et al. 2022 (arXiv:2202.07925), section 3.2; `LocalMaskedMHCA`, `MaskedMHCA` of the
release; the sliding window after Beltagy et al. 2020, "Longformer" (arXiv:2004.05150).
Shapes: sequence (b, f, d) with padded (b, f), True for steps past the end -> (b, f / stride, d).
Differs: one gather of overlapping key blocks instead of Longformer's diagonals; same numbers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn


def windowed_attention(
    query: Float[Tensor, "b a f e"],
    key: Float[Tensor, "b a f e"],
    value: Float[Tensor, "b a f e"],
    padded: Bool[Tensor, "b f"],
    *,
    half_window: int,
    relative_bias: Float[Tensor, "a offsets"] | None = None,
) -> Float[Tensor, "b a f e"]:
    """Attend from each step to those at most `half_window` before and after it.

    Queries are taken in blocks of twice the half window, each with its own keys, so that memory
    grows with `f` and not with its square. A padded step attends to itself.

    Args:
        query: One row a step; scaled here.
        key: As `query`.
        value: As `query`.
        padded: Steps that nobody attends to.
        half_window: Reach to either side in steps, at least 1.
        relative_bias: Added to the score at each offset from -half_window to half_window.
    """
    num_steps, size = query.shape[2], 2 * half_window
    after = -num_steps % size
    reach = size + 2 * half_window  # keys that the queries of one block may read
    blocks = rearrange(F.pad(query, (0, 0, 0, after)), "b a (c i) e -> b a c i e", i=size)
    around = (0, 0, half_window, half_window + after)
    keys = F.pad(key, around).unfold(2, reach, size)  # b a c e j
    values = F.pad(value, around).unfold(2, reach, size)
    absent = F.pad(padded, around[2:], value=True).unfold(1, reach, size)  # b c j

    # Key j of a block is `offset` steps after query i of it.
    row = torch.arange(size, device=query.device)[:, None]
    offset = torch.arange(reach, device=query.device) - half_window - row
    within = offset.abs() <= half_window
    allowed = (within & ~absent[:, :, None]) | (offset == 0)  # b c i j

    scores = (blocks * query.shape[-1] ** -0.5) @ keys
    if relative_bias is not None:
        bias = relative_bias[:, (offset + half_window).clamp(0, 2 * half_window)]  # a i j
        scores = scores + bias[:, None]
    scores = scores.masked_fill(~allowed[:, None], float("-inf"))
    attended = scores.softmax(-1) @ values.mT
    return rearrange(attended, "b a c i e -> b a (c i) e")[:, :, :num_steps]


class MaskedConv(nn.Conv1d):
    """Convolution over steps that leaves zeros at padded ones."""

    def __init__(
        self,
        in_width: int,
        width: int,
        kernel: int,
        *,
        stride: int = 1,
        depthwise: bool = False,
        bias: bool = True,
    ) -> None:
        groups = in_width if depthwise else 1
        super().__init__(in_width, width, kernel, stride, kernel // 2, groups=groups, bias=bias)

    def forward(  # pyrefly: ignore[bad-override]  # takes the padding beside the sequence
        self, sequence: Float[Tensor, "b f d"], padded: Bool[Tensor, "b f"]
    ) -> Float[Tensor, "b f_out d_out"]:
        """Convolve; `padded` is that of the input."""
        out = super().forward(sequence.mT).mT
        return out.masked_fill(padded[:, :: self.stride[0], None], 0)


class ConvAttention(nn.Module):
    """Self-attention, local where `window` is above 1, with a stride for down-sampling."""

    def __init__(
        self,
        width: int,
        num_heads: int,
        *,
        window: int,
        stride: int = 1,
        relative_positions: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_heads, self.stride = num_heads, stride
        self.half_window = window // 2 if window > 1 else None
        kernel = stride + 1 if stride > 1 else 3
        for part in ("query", "key", "value"):
            conv = MaskedConv(width, width, kernel, stride=stride, depthwise=True, bias=False)
            self.add_module(f"{part}_conv", conv)
            self.add_module(f"{part}_norm", nn.LayerNorm(width))
            self.add_module(part, nn.Linear(width, width))
        self.proj = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.relative_bias: nn.Parameter | None = None
        if relative_positions and self.half_window is not None:
            self.relative_bias = nn.Parameter(torch.empty(num_heads, window))
            nn.init.trunc_normal_(self.relative_bias, std=(2 / width) ** 0.5)

    def forward(
        self, sequence: Float[Tensor, "b f d"], padded: Bool[Tensor, "b f"]
    ) -> Float[Tensor, "b f_out d"]:
        """Return zeros at padded steps of the output, which are every `stride`-th of the input."""
        query, key, value = (
            self._part(name, sequence, padded) for name in ("query", "key", "value")
        )
        left = padded[:, :: self.stride]
        if self.half_window is None:
            seen = ~left[:, None, None]
            attended = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        else:
            attended = windowed_attention(
                *(query, key, value, left),
                half_window=self.half_window,
                relative_bias=self.relative_bias,
            )
        out = self.dropout(self.proj(rearrange(attended, "b a f e -> b f (a e)")))
        return out.masked_fill(left[..., None], 0)

    def _part(self, name: str, sequence: Tensor, padded: Tensor) -> Tensor:
        """Query, key or value of every head."""
        convolved = self.get_submodule(f"{name}_conv")(sequence, padded)
        projected = self.get_submodule(name)(self.get_submodule(f"{name}_norm")(convolved))
        return rearrange(projected, "b f (a e) -> b a f e", a=self.num_heads)
