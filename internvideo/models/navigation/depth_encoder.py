"""Depth pictures to maps of features: the ResNet-50 of a point-goal agent trained with DD-PPO.

Source: Wijmans et al. 2020, "DD-PPO" (arXiv:1911.00357); `ResNetEncoder` of habitat-baselines
0.1.7, as the InternVideo release uses it (base width 32, group norm). Parameters have its names,
below `actor_critic.net.visual_encoder.` in the published checkpoint.
Shapes: depth (b, h, w) in [0, 1] (`depth_range`) -> (b, c, h / 64, w / 64).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from internvideo.errors import ConfigError

_EXPANSION = 4
PUBLISHED_PREFIX = "actor_critic.net.visual_encoder."


@dataclass(frozen=True, kw_only=True, slots=True)
class DepthEncoderConfig:
    """The defaults are those of the released agent, on depth of 256 x 256."""

    base_width: int = 32
    num_groups: int = 16
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    side_px: int = 256
    output_size: int = 2048  # numbers that are left of a picture

    def __post_init__(self) -> None:
        if self.side_px % 64 or self.side_px < 64 or self.base_width % self.num_groups:
            raise ConfigError(
                f"depth of {self.side_px} px, width {self.base_width} in {self.num_groups} groups; "
                "the side is a multiple of 64, the width one of the groups"
            )

    @property
    def channels(self) -> int:
        return round(self.output_size / (self.side_px // 64) ** 2)


class Bottleneck(nn.Module):
    """A narrow 3 x 3 convolution between two of 1 x 1, beside a shortcut."""

    def __init__(self, inner: int, outer: int, groups: int, stride: int) -> None:
        super().__init__()
        wide = inner * _EXPANSION
        self.convs = nn.Sequential(
            nn.Conv2d(outer, inner, 1, bias=False),
            nn.GroupNorm(groups, inner),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False),
            nn.GroupNorm(groups, inner),
            nn.ReLU(),
            nn.Conv2d(inner, wide, 1, bias=False),
            nn.GroupNorm(groups, wide),
        )
        self.downsample = None
        if stride != 1 or outer != wide:
            self.downsample = nn.Sequential(
                nn.Conv2d(outer, wide, 1, stride, bias=False), nn.GroupNorm(groups, wide)
            )

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        shortcut = maps if self.downsample is None else self.downsample(maps)
        return F.relu(self.convs(maps) + shortcut)


class DepthEncoder(nn.Module):
    """See the top of this file."""

    def __init__(self, config: DepthEncoderConfig) -> None:
        super().__init__()
        self.config = config
        width, groups = config.base_width, config.num_groups
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["conv1"] = nn.Sequential(
            nn.Conv2d(1, width, 7, 2, padding=3, bias=False), nn.GroupNorm(groups, width), nn.ReLU()
        )
        parts["maxpool"] = nn.MaxPool2d(3, 2, padding=1)
        outer = width
        for place, count in enumerate(config.blocks):
            inner = width * 2**place
            blocks = []
            for number in range(count):
                stride = 2 if place and not number else 1
                blocks.append(Bottleneck(inner, outer, groups, stride))
                outer = inner * _EXPANSION
            parts[f"layer{place + 1}"] = nn.Sequential(*blocks)
        self.backbone = nn.Sequential(parts)
        self.compression = nn.Sequential(
            nn.Conv2d(outer, config.channels, 3, padding=1, bias=False),
            nn.GroupNorm(1, config.channels),
            nn.ReLU(),
        )

    def forward(self, depth: Float[Tensor, "b h w"]) -> Float[Tensor, "b c h2 w2"]:
        return self.compression(self.backbone(F.avg_pool2d(depth[:, None], 2)))
