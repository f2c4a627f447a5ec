"""Encoder A, frozen but for temporal adapters, and an ActionFormer on what it sees, end to end.

Source: Liu et al. 2024, "End-to-End Temporal Action Detection with 1B Parameters Across 1000
Frames" (AdaTAD, arXiv:2311.17241) and its released `vit_adapter.py`: after each block a quarter of
the width, a depthwise convolution over time across all clips, a pointwise one, zero start.
Shapes: a step is a tubelet's frames as bytes, (b, f, dt * h * w * 3), with padded (b, f).
Differs: steps of padding are zero before the convolution, so that padding changes no detection;
steps are not interpolated to the number of frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.models import MaskedEncoderConfig
from internvideo.models.actionformer import ActionFormer, ActionFormerConfig
from internvideo.tiny import MaskedFrontEndConfig, build_masked_encoder
from internvideo.values import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptedEncoderConfig:
    """Encoder A on clips that follow one another at `rate_fps`, with an adapter after each block.

    An adapter works in `width // reduction` channels and convolves over `kernel` steps.
    """

    encoder: MaskedEncoderConfig = field(
        default_factory=lambda: MaskedEncoderConfig(final_norm=False)
    )
    front_end: MaskedFrontEndConfig | None = None
    rate_fps: float = 8.0
    reduction: int = 4
    kernel: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.rate_fps < float("inf"):
            raise ConfigError(f"rate_fps is {self.rate_fps}, expected frames per second")
        if not 1 <= self.reduction <= self.encoder.width or self.kernel % 2 == 0:
            raise ConfigError(
                f"reduction {self.reduction}, kernel {self.kernel}: a reduction is from 1 to the "
                f"width {self.encoder.width}, a kernel is odd"
            )
        if self.front_end is not None and self.front_end.num_salient_tubelets:
            raise ConfigError("adapters need all tubelets; set front_end.num_salient_tubelets to 0")

    @property
    def steps_per_clip(self) -> int:
        return self.encoder.grid.time

    @property
    def step_width(self) -> int:
        """Bytes of one step."""
        return self.encoder.tubelet.time * self.encoder.side_px**2 * 3


class TemporalAdapter(nn.Module):
    """x + scale * up(h + conv(h)), h = gelu(down(x)); at first the identity."""

    def __init__(self, width: int, *, reduction: int, kernel: int) -> None:
        super().__init__()
        inner = width // reduction
        self.down, self.up = nn.Linear(width, inner), nn.Linear(inner, width)
        self.depthwise = nn.Conv1d(inner, inner, kernel, padding=kernel // 2, groups=inner)
        self.pointwise = nn.Conv1d(inner, inner, 1)
        self.scale = nn.Parameter(torch.ones(1))
        nn.init.trunc_normal_(self.down.weight, std=0.02)
        nn.init.normal_(self.depthwise.weight, std=math.sqrt(2 / kernel))
        nn.init.normal_(self.pointwise.weight, std=math.sqrt(2 / inner))
        nn.init.zeros_(self.up.weight)
        for part in (self.down, self.up, self.depthwise, self.pointwise):
            assert part.bias is not None
            nn.init.zeros_(part.bias)

    def forward(
        self, tokens: Float[Tensor, "b f n d"], padded: Bool[Tensor, "b f"]
    ) -> Float[Tensor, "b f n d"]:
        """Mix each patch's tokens over time."""
        inner = F.gelu(self.down(tokens)) * ~padded[..., None, None]
        series = rearrange(inner, "b f n e -> (b n) e f")
        mixed = self.pointwise(self.depthwise(series))
        inner = inner + rearrange(mixed, "(b n) e f -> b f n e", b=len(tokens))
        return tokens + self.scale * self.up(inner)


class AdaptedDetector(nn.Module):
    """See the top of this file; adapters and network are trained. `config` is the network's."""

    def __init__(self, adapted: AdaptedEncoderConfig, network: ActionFormerConfig) -> None:
        super().__init__()
        if network.input_width != adapted.encoder.width:
            raise ConfigError(
                f"the encoder has width {adapted.encoder.width}, model.input_width is "
                f"{network.input_width}; make them equal"
            )
        self.adapted, self.config = adapted, network
        self.encoder = build_masked_encoder(adapted.encoder, adapted.front_end)
        self.encoder.requires_grad_(False)
        self.adapters = nn.ModuleList(
            TemporalAdapter(
                adapted.encoder.width, reduction=adapted.reduction, kernel=adapted.kernel
            )
            for _ in self.encoder.blocks
        )
        self.detector = ActionFormer(network)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD), persistent=False)

    def forward(self, frames: Float[Tensor, "b f pixels"], padded: Bool[Tensor, "b f"]) -> Any:
        """What the network gives, for steps of bytes."""
        return self.detector(self.features(frames, padded), padded)

    def features(
        self, frames: Float[Tensor, "b f pixels"], padded: Bool[Tensor, "b f"]
    ) -> Float[Tensor, "b f d"]:
        """Mean of each step's tokens, after all blocks and adapters."""
        num_steps, encoder = frames.shape[1], self.adapted.encoder
        missing = -num_steps % self.adapted.steps_per_clip
        frames, hidden = F.pad(frames, (0, 0, 0, missing)), F.pad(padded, (0, missing), value=True)
        clips = rearrange(
            frames,
            "b (clips t) (dt h w c) -> (b clips) (t dt) h w c",
            t=self.adapted.steps_per_clip,
            dt=encoder.tubelet.time,
            h=encoder.side_px,
            w=encoder.side_px,
        )
        clips = rearrange((clips / 255 - self.mean) / self.std, "b t h w c -> b c t h w")
        patches, _ = self.encoder.patch_embed.select_tubelets(clips)
        tokens = self.encoder.embed_patches(patches, None)
        apart = {"b": len(frames), "t": self.adapted.steps_per_clip}
        for block, adapter in zip(self.encoder.blocks, self.adapters, strict=True):
            line = rearrange(block(tokens), "(b clips) (t n) d -> b (clips t) n d", **apart)
            line = adapter(line, hidden)
            tokens = rearrange(line, "b (clips t) n d -> (b clips) (t n) d", **apart)
        tokens = self.encoder.norm(tokens)
        line = rearrange(tokens, "(b clips) (t n) d -> b (clips t) n d", **apart)
        return line.mean(2)[:, :num_steps]

    def train(self, mode: bool = True) -> AdaptedDetector:
        """Switch between training and evaluation; the encoder stays in the latter."""
        super().train(mode)
        self.encoder.eval()
        return self
