"""A front end of our own for tiny encoders A: what they read of a clip, and where they start.

Source: none of a release; choosing salient tubelets is in the spirit of run-length tokenisation
(arXiv:2411.05222), the start of attention is mimetic initialisation (arXiv:2305.09828).
Shapes: clip (b, c, t, h, w), normalised -> tubelets (b, k, pixels), with frame differences
(b, k, 2 * pixels), and their token index (b, k) -> tokens (b, k, d).
docs/explanation/deviations.md says what each part is for; the published encoder knows of none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from einops import repeat
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.models import (
    DecoderConfig,
    MaskedAutoencoder,
    MaskedEncoder,
    MaskedEncoderConfig,
    PatchEmbed,
    gather_tokens,
    patchify,
    project_tubelets,
    sine_table,
)
from internvideo.values import TokenGrid, Tubelet

# Added to a clip's deviation, and to that of its differences, in deviations of ImageNet: noise of
# a blank or still clip is not blown up to the size of a picture.
_CLIP_EPS, _DIFFERENCE_EPS = 0.04, 0.018


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskedFrontEndConfig:
    """What stands between a clip and a tiny encoder A, besides the encoder's own configuration."""

    kind: Literal["masked-front-end"] = "masked-front-end"
    # Of a sine table for each axis. The published 10000, made for 1,568 tokens, leaves most
    # channels constant on axes of 4 to 8 positions; 30 tells neighbours apart.
    position_base: float = 30.0
    # What a tubelet shows is normalised before its position is added, and starts at this scale:
    # tubelets of high contrast then do not drown where they are.
    patch_scale: float = 0.25
    # Differences of each frame from the one before are read beside the frames.
    frame_differences: bool = False
    # Of an unmasked clip only so many tubelets are read, those that change most; 0: all.
    num_salient_tubelets: int = 0
    # Keys start equal to queries, both times this, so that attention starts local; 0: published.
    mimetic_init_scale: float = 1.5

    def __post_init__(self) -> None:
        if self.position_base <= 1 or self.patch_scale <= 0:
            raise ConfigError(
                f"front_end: position_base {self.position_base} must be above 1 and patch_scale "
                f"{self.patch_scale} above 0"
            )
        if self.num_salient_tubelets < 0 or self.mimetic_init_scale < 0:
            raise ConfigError(
                f"front_end: num_salient_tubelets {self.num_salient_tubelets} and "
                f"mimetic_init_scale {self.mimetic_init_scale} must not be negative"
            )

    def check(self, encoder: MaskedEncoderConfig) -> None:
        """Raise `ConfigError` where this front end does not fit an encoder."""
        if encoder.positions != "sine":
            raise ConfigError(
                f"a front end has a sine table of its own, and encoder.positions is "
                f"{encoder.positions!r}; set it to 'sine', or front_end to none"
            )
        if self.num_salient_tubelets > encoder.grid.num_tokens:
            raise ConfigError(
                f"front_end.num_salient_tubelets is {self.num_salient_tubelets}; a clip has "
                f"{encoder.grid.num_tokens} tubelets, of which 1 or more are read (0: all)"
            )

    def check_pretraining(self) -> None:
        """Raise `ConfigError` where this front end needs whole clips, which are hidden there."""
        if self.frame_differences or self.num_salient_tubelets:
            raise ConfigError(
                "front_end.frame_differences and front_end.num_salient_tubelets need whole clips, "
                "of which masked pretraining shows a part; turn them on in the classifier after it"
            )


class MaskedFrontEnd(PatchEmbed):
    """Patch embedding in units of the clip, normalised, of the tubelets that change most."""

    def __init__(self, config: MaskedFrontEndConfig, encoder: MaskedEncoderConfig) -> None:
        super().__init__(encoder)
        config.check(encoder)
        self.config, self.num_channels = config, encoder.num_channels
        self.difference_proj: nn.Conv3d | None = None
        if config.frame_differences:
            extent = self.proj.kernel_size
            self.difference_proj = nn.Conv3d(
                self.num_channels, encoder.width, extent, stride=extent, bias=False
            )
        self.norm = nn.LayerNorm(encoder.width, eps=encoder.norm_eps)
        nn.init.constant_(self.norm.weight, config.patch_scale)

    def select_tubelets(
        self, clip: Float[Tensor, "b c t h w"], masked: Bool[Tensor, "b n"] | None = None
    ) -> tuple[Float[Tensor, "b k pixels"], Int64[Tensor, "b k"] | None]:
        """Cut a clip into the tubelets that are read, in units of the clip, and their index."""
        change = frame_differences(clip)
        centred = clip - clip.mean((2, 3, 4), keepdim=True)
        parts = [patchify(_in_own_units(centred, _CLIP_EPS), self.tubelet)]
        if self.config.frame_differences:
            parts.append(patchify(_in_own_units(change, _DIFFERENCE_EPS), self.tubelet))
        patches, index = torch.cat(parts, dim=2), None
        if masked is not None:
            index = (~masked).nonzero()[:, 1].view(len(masked), -1)
        elif self.config.num_salient_tubelets:
            index = salient_tubelets(change, self.tubelet, self.config.num_salient_tubelets)
        return (patches if index is None else gather_tokens(patches, index)), index

    def forward(self, patches: Shaped[Tensor, "b k pixels"]) -> Float[Tensor, "b k d"]:
        """Embed bytes, in units of those that are visible, or floats of `select_tubelets`."""
        if patches.dtype == torch.uint8:
            pixels = self.normalise(patches).unflatten(2, (-1, self.num_channels))  # b k pixel c
            centred = pixels - pixels.mean((1, 2), keepdim=True)
            power = centred.square().mean((1, 2, 3), keepdim=True)
            patches = (centred / (power.sqrt() + _CLIP_EPS)).flatten(2)
        if self.difference_proj is None:
            return self.norm(project_tubelets(self.proj, patches))
        frames, change = patches.chunk(2, dim=2)
        tokens = project_tubelets(self.proj, frames)
        return self.norm(tokens + project_tubelets(self.difference_proj, change))


@dataclass(frozen=True, kw_only=True, slots=True)
class TinyAutoencoderConfig:
    """Encoder A behind a front end, with the decoder of its pretraining."""

    encoder: MaskedEncoderConfig = field(default_factory=MaskedEncoderConfig)
    front_end: MaskedFrontEndConfig = field(default_factory=MaskedFrontEndConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)


def build_masked_encoder(
    config: MaskedEncoderConfig, front_end: MaskedFrontEndConfig | None
) -> MaskedEncoder:
    """Make an encoder A, behind a front end where there is one, with the start of pretraining."""
    if front_end is None:
        return MaskedEncoder(config)
    encoder = MaskedEncoder(config, patch_embed=MaskedFrontEnd(front_end, config))
    encoder.pos_embed = axes_sine_table(config.grid, config.width, front_end.position_base)[None]
    mimetic_init(encoder.blocks, front_end.mimetic_init_scale)
    return encoder


def build_masked_autoencoder(
    encoder: MaskedEncoderConfig, decoder: DecoderConfig, front_end: MaskedFrontEndConfig | None
) -> MaskedAutoencoder:
    """Make VideoMAE; behind a front end, both position tables and starts of attention are its."""
    if front_end is None:
        return MaskedAutoencoder(encoder, decoder)
    front_end.check_pretraining()
    model = MaskedAutoencoder(encoder, decoder, patch_embed=MaskedFrontEnd(front_end, encoder))
    for part, blocks, width in (
        (model.encoder, model.encoder.blocks, encoder.width),
        (model, model.decoder.blocks, decoder.width),
    ):
        part.pos_embed = axes_sine_table(encoder.grid, width, front_end.position_base)[None]
        mimetic_init(blocks, front_end.mimetic_init_scale)
    return model


def axes_sine_table(grid: TokenGrid, width: int, base: float) -> Float[Tensor, "n d"]:
    """A sine table for each of time, rows and columns, side by side.

    Rows and columns get an even third of the width each, time the rest.
    """
    across = 2 * (width // 6)
    time = sine_table(grid.time, width - 2 * across, base)
    row = sine_table(grid.height, across, base)
    column = sine_table(grid.width, across, base)
    return torch.cat(
        [
            repeat(time, "t d -> (t h w) d", h=grid.height, w=grid.width),
            repeat(row, "h d -> (t h w) d", t=grid.time, w=grid.width),
            repeat(column, "w d -> (t h w) d", t=grid.time, h=grid.height),
        ],
        dim=1,
    )


@torch.no_grad()
def mimetic_init(blocks: nn.ModuleList, scale: float) -> None:
    """Start keys equal to queries and scale both; does nothing with a scale of 0."""
    if not scale:
        return
    for block in blocks:
        query, key, _ = block.attn.qkv.weight.chunk(3)
        key.copy_(query.mul_(scale))


def frame_differences(clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
    """What each frame differs by from the one before; zeros for the first."""
    return F.pad(clip.diff(dim=2), (0, 0, 0, 0, 1, 0))


def salient_tubelets(
    change: Float[Tensor, "b c t h w"], tubelet: Tubelet, count: int
) -> Int64[Tensor, "b count"]:
    """Find the tubelets with most power in their frame differences, in token order."""
    power = patchify(change.square(), tubelet).mean(2)
    return power.topk(count, dim=1).indices.sort(dim=1).values


def _in_own_units(signal: Float[Tensor, "b c t h w"], eps: float) -> Float[Tensor, "b c t h w"]:
    """Divide a signal by its own root mean square over the clip."""
    # In two steps: other programs than torch sum one by one, and lose digits in long sums.
    power = signal.square().mean((3, 4), keepdim=True).mean((1, 2), keepdim=True)
    return signal / (power.sqrt() + eps)
