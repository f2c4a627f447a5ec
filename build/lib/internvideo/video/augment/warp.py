"""Shears, shifts and turns of all frames of a clip, as one sparse product.

Source: `Image.transform` and `Image.rotate` of Pillow. Shapes: frames (t, h, w, 3) uint8.
Each new pixel is a weighted sum of at most 16 old ones, the same in all frames and colours. With
frames and colours innermost that is a sum of rows, which `embedding_bag` takes at the speed of
memory.
Differs from Pillow by at most one grey level: it sums in float64 and we in float32.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

Interpolation = Literal["bilinear", "bicubic"]
# Row by row, by what (x, y, 1) of a new pixel are multiplied to find the old one's x and y.
Matrix = tuple[float, float, float, float, float, float]
Frames = UInt8[Tensor, "t h w 3"]


def shear_x(part: float) -> Matrix:
    """Move each row to the left by `part` of its distance from the top."""
    return (1.0, part, 0.0, 0.0, 1.0, 0.0)


def shear_y(part: float) -> Matrix:
    """Move each column up by `part` of its distance from the left."""
    return (1.0, 0.0, 0.0, part, 1.0, 0.0)


def shift(left_px: float, up_px: float) -> Matrix:
    """Move everything."""
    return (1.0, 0.0, left_px, 0.0, 1.0, up_px)


def turn(degrees: float, height: int, width: int) -> Matrix:
    """Turn around the middle, anticlockwise."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = width / 2, height / 2
    return (cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y)


def warp(
    frames: Frames, matrix: Matrix, *, fill: tuple[int, int, int], interpolation: Interpolation
) -> Frames:
    """Look up each pixel where the matrix says, or paint it where that lies outside."""
    num_frames, height, width, _ = frames.shape
    a, b, c, d, e, f = matrix
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) + 0.5,
        torch.arange(width, dtype=torch.float64) + 0.5,
        indexing="ij",
    )
    old_x, old_y = (a * x + b * y + c).flatten(), (d * x + e * y + f).flatten()
    columns, column_weights = _taps(old_x, width, interpolation)
    rows, row_weights = _taps(old_y, height, interpolation)
    sums = F.embedding_bag(
        (rows[:, :, None] * width + columns[:, None]).flatten(1),
        rearrange(frames, "t h w c -> (h w) (t c)").float(),
        per_sample_weights=(row_weights[:, :, None] * column_weights[:, None]).flatten(1),
        mode="sum",
    )
    # Pillow cuts off what follows the point; a whole number must not lose 1 by rounding.
    pixels = sums.add_(1e-3).clamp_(0, 255).to(torch.uint8).view(-1, num_frames, 3)
    outside = (old_x < 0) | (old_x >= width) | (old_y < 0) | (old_y >= height)
    pixels[outside] = torch.tensor(fill, dtype=torch.uint8)
    return rearrange(pixels, "(h w) t c -> t h w c", h=height).contiguous()


def _taps(
    old: Float[Tensor, " n"], size: int, interpolation: Interpolation
) -> tuple[Int64[Tensor, "n k"], Float[Tensor, "n k"]]:
    """Which pixels along one axis count, and how much; beyond the border those at the border."""
    place = old - 0.5
    before = place.floor()
    d = (place - before)[:, None].float()
    if not d.any():
        offsets, weights = [0], torch.ones_like(d)
    elif interpolation == "bilinear":
        offsets, weights = [0, 1], torch.cat([1 - d, d], dim=1)
    else:
        # Cubic convolution (Keys 1981) with a = -1, where torch's own has -0.75.
        d2, d3 = d**2, d**3
        cubic = [2 * d2 - d - d3, 1 - 2 * d2 + d3, d + d2 - d3, d3 - d2]
        offsets, weights = [-1, 0, 1, 2], torch.cat(cubic, dim=1)
    places = before.long()[:, None] + torch.tensor(offsets)
    return places.clamp(0, size - 1), weights
