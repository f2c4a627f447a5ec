"""Colour and depth of small views to features, learned with the policy; for the generated houses.

The published agent takes frozen encoders of millions of photographs here; at 32 pixels, in a world
of plain colours, three convolutions serve. Each halves the view, but none below 4 x 4 cells.
Shapes: colours (b, h, w, 3) uint8 -> (b, i); depth (b, h, w) in metres -> (b, z, 4, 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from internvideo.errors import ConfigError

_FAR_M = 10.0
_MEAN, _SPREAD = 167.0, 52.0  # of the pixels of generated houses


@dataclass(frozen=True, kw_only=True, slots=True)
class TinyPanoramaConfig:
    """Sizes of the features; views are `side_px` square, a multiple of 8 from 16 on."""

    side_px: int = 32
    image_width: int = 64
    depth_channels: int = 8
    hidden: int = 32

    def __post_init__(self) -> None:
        if self.side_px < 16 or self.side_px % 8:
            raise ConfigError(f"side_px is {self.side_px}; views have a multiple of 8 from 16 on")

    @property
    def cells(self) -> int:
        """Cells along a side of the last map."""
        return 4 if self.side_px == 16 else self.side_px // 8


class TinyPanoramaEncoder(nn.Module):
    """See the top of this file."""

    def __init__(self, config: TinyPanoramaConfig) -> None:
        super().__init__()
        self.config = config
        self.colour = _convolutions(3, config.hidden, config.side_px)
        last = config.cells**2 * config.hidden
        self.image = nn.Sequential(nn.Flatten(), nn.Linear(last, config.image_width))
        self.distance = _convolutions(1, config.hidden, config.side_px)
        self.depth = nn.Sequential(
            nn.Conv2d(config.hidden, config.depth_channels, 1), nn.AdaptiveAvgPool2d(4)
        )

    def encode_colour(self, frames: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b i"]:
        pixels = (rearrange(frames, "b h w c -> b c h w").float() - _MEAN) / _SPREAD
        return self.image(self.colour(pixels))

    def encode_depth(self, depth_m: Float[Tensor, "b h w"]) -> Float[Tensor, "b z 4 4"]:
        near = torch.log1p(depth_m.clamp(0, _FAR_M))[:, None] - 1
        return self.depth(self.distance(near))


def _convolutions(channels: int, hidden: int, side_px: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for width in (hidden // 2, hidden, hidden):
        stride = 2 if side_px != 4 else 1
        parts += [nn.Conv2d(channels, width, 3, stride, padding=1), nn.GELU()]
        channels, side_px = width, side_px // stride
    return nn.Sequential(*parts)
