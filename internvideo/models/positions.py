"""Position tables (n, d), one row per token of the grid, and their change of size.

Source: the released VideoMAE code. Its table is a sine over the *flat* token index and not one per
axis; since time is the slowest axis, more frames only add rows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from internvideo.values import TokenGrid


def sine_table(num_rows: int, width: int, base: float = 10_000.0) -> Float[Tensor, "n d"]:
    """Sine in even columns, cosine in odd ones; computed in float64, returned in float32."""
    row = torch.arange(num_rows, dtype=torch.float64)[:, None]
    column = torch.arange(width, dtype=torch.float64)[None]
    angle = row / base ** (2 * (column // 2) / width)
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).float()


def resize_positions(
    table: Float[Tensor, "n d"], old: TokenGrid, new: TokenGrid
) -> Float[Tensor, "m d"]:
    """Fit a table to another grid: bicubic within each slot, then linear over time.

    An axis that keeps its size is not touched, so an unchanged grid returns the table itself.
    """
    if (old.height, old.width) != (new.height, new.width):
        slots = rearrange(table, "(t h w) d -> t d h w", t=old.time, h=old.height, w=old.width)
        slots = F.interpolate(
            slots, size=(new.height, new.width), mode="bicubic", align_corners=False
        )
        table = rearrange(slots, "t d h w -> (t h w) d")
    if old.time != new.time:
        places = rearrange(table, "(t p) d -> p d t", t=old.time)
        places = F.interpolate(places, size=new.time, mode="linear", align_corners=False)
        table = rearrange(places, "p d t -> (t p) d")
    return table
