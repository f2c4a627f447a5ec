"""A patch embedding for small UniFormers: salient patches of a convolutional stem, differences.

Sources: the stem follows Xiao et al. 2021, "Early Convolutions Help Transformers See Better"
(arXiv:2106.14881); the start of attention Trockman and Kolter 2023, "Mimetic Initialization of
Self-Attention Layers" (arXiv:2305.09828); frame differences the temporal stream of Simonyan and
Zisserman 2014 (arXiv:1406.2199) in its simplest form. Salient patches are ours.
Shapes: clip (b, c, t, h, w) float, normalised -> patches (b, slots, k, d), k salient patches of the
(rows x columns) positions, and the start of each slot's class token (b, slots, 1, d).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.models import (
    EmbeddedPatches,
    MultimodalEncoder,
    MultimodalEncoderConfig,
    UniFormer,
    UniFormerConfig,
    uniformer_macs,
)

_LEAST_DEVIATION = 0.015  # of normalised pixels, about one step of 256: noise is not enlarged


@dataclass(frozen=True, kw_only=True, slots=True)
class UniFormerFrontEndConfig:
    """What stands before a small UniFormer in place of the published patch embedding."""

    kind: Literal["uniformer-front-end"] = "uniformer-front-end"
    stem_width: int = 32  # channels of the first convolution; later ones have up to four times more
    # Patches of a clip that are read, those that vary most over its frames; 0: all. An image is
    # always read as a whole.
    num_salient_patches: int = 0
    # The tower sees how each frame differs from the one before, in units of the clip's own changes,
    # and not the frame: of a few hundred clips it learns rooms otherwise, not what is done in them.
    frame_differences: bool = False
    # Attention starts with keys equal to queries, scaled by this, so that tokens attend to their
    # like from the first step; 0: the published start.
    mimetic_init_scale: float = 1.5

    def __post_init__(self) -> None:
        if self.stem_width < 1 or self.num_salient_patches < 0 or self.mimetic_init_scale < 0:
            raise ConfigError(
                f"front_end: stem_width {self.stem_width} must be positive, num_salient_patches "
                f"{self.num_salient_patches} and mimetic_init_scale {self.mimetic_init_scale} not "
                "negative"
            )

    def check(self, encoder: UniFormerConfig) -> None:
        """Raise `ConfigError` where it does not fit an encoder."""
        patch, num_patches = encoder.patch_px, encoder.grid[0] * encoder.grid[1]
        if patch < 2 or patch & (patch - 1):
            raise ConfigError(
                f"encoder.patch_px is {patch}; the stem of front_end halves frames until a patch "
                "is one position: choose patch_px as 2, 4, 8 or 16, or front_end=none"
            )
        if self.num_salient_patches > num_patches:
            raise ConfigError(
                f"front_end.num_salient_patches is {self.num_salient_patches}; a frame has "
                f"{num_patches} patches, and 0 reads all"
            )

    def stem_layers(self, patch_px: int) -> list[tuple[int, int, int]]:
        """Channels in, channels out and stride of each convolution of the stem.

        Rows and columns are halved until a patch is one position; the second and third halving
        double the channels, and after the second one convolution keeps both.
        """
        layers, narrow = [], 3
        for i in range(patch_px.bit_length() - 1):
            wide = self.stem_width * 2 ** min(i, 2)
            layers += [(narrow, wide, 2), *([(wide, wide, 1)] if i == 1 else [])]
            narrow = wide
        return layers


class UniFormerFrontEnd(nn.Module):
    """See the top of this file.

    With a `temporal_patch_size` of the encoder above 1, a slot is its middle frame and how the
    others differ from it: where a clip stands still its tokens are those of an image. The maximum
    over patches, of middle frames and of differences apart, starts the slot's class token.
    """

    def __init__(self, config: UniFormerFrontEndConfig, encoder: UniFormerConfig) -> None:
        super().__init__()
        config.check(encoder)
        self.grid, self.num_salient = encoder.grid, config.num_salient_patches
        self.num_frames = encoder.temporal_patch_size
        self.frame_differences = config.frame_differences
        layers = config.stem_layers(encoder.patch_px)
        self.stem = ConvolutionalStem(layers)
        stem_width = layers[-1][1]
        self.appearance = nn.Linear(stem_width, encoder.width, bias=False)
        self.motion: nn.Linear | None = None
        if self.num_frames > 1:
            others = (self.num_frames - 1) * stem_width
            self.motion = nn.Linear(others, encoder.width, bias=False)

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> EmbeddedPatches:
        index = None
        if self.num_salient and clip.shape[2] > 1:
            index = salient_patches(clip, self.grid, self.num_salient)
        if self.frame_differences:
            clip = differences(clip)
        frames = rearrange(self.stem(clip), "b d t h w -> b t (h w) d")
        if index is not None:
            where = index[:, None, :, None].expand(-1, frames.shape[1], -1, frames.shape[3])
            frames = frames.gather(2, where)
        if self.motion is None:
            patches = self.appearance(frames)
            return EmbeddedPatches(
                patches=patches, index=index, class_start=patches.amax(2, keepdim=True)
            )
        middle, others = self._slots(frames)
        appearance = self.appearance(middle)
        motion = self.motion((others - middle[..., None]).flatten(3))
        return EmbeddedPatches(
            patches=appearance + motion,
            index=index,
            class_start=appearance.amax(2, keepdim=True) + motion.amax(2, keepdim=True),
        )

    def _slots(
        self, frames: Float[Tensor, "b t k d"]
    ) -> tuple[Float[Tensor, "b slots k d"], Float[Tensor, "b slots k d others"]]:
        """Every second frame, and those around it; beyond the ends the first and last repeat."""
        margin = self.num_frames // 2
        first, last = frames[:, :1], frames[:, -1:]
        padded = torch.cat([*[first] * margin, frames, *[last] * margin], dim=1)
        windows = padded.unfold(1, self.num_frames, 2)
        before, after = windows[..., :margin], windows[..., margin + 1 :]
        return windows[..., margin], torch.cat([before, after], dim=-1)


class ConvolutionalStem(nn.Module):
    """Overlapping 3 x 3 convolutions on every frame: (b, c, t, h, w) -> (b, d, t, rows, columns).

    Every channel of a frame is normalised by itself, so samples do not mix.
    """

    def __init__(self, layers: list[tuple[int, int, int]]) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for narrow, wide, stride in layers:
            self.layers.append(Convolution(narrow, wide, stride))
            self.layers.append(FrameNorm(wide))
            self.layers.append(nn.GELU())

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t rows columns"]:
        frames = rearrange(clip, "b c t h w -> (b t) c h w")
        maps = self.layers(frames.contiguous(memory_format=torch.channels_last))
        return rearrange(maps, "(b t) d h w -> b d t h w", t=clip.shape[2])


class Convolution(nn.Linear):
    """A 3 x 3 convolution, its kernel kept as a matrix (out, in x 3 x 3) that Muon can move."""

    def __init__(self, narrow: int, wide: int, stride: int) -> None:
        super().__init__(narrow * 9, wide)
        self.stride = stride

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d rows columns"]:
        kernel = self.weight.unflatten(1, (-1, 3, 3))
        return F.conv2d(maps, kernel, self.bias, self.stride, padding=1)


class FrameNorm(nn.Module):
    """Normalise every channel of a frame.

    It is written out: torch's instance norm gives wrong gradients of a single frame whose channels
    lie last (2.13, on processors). The first pixel is subtracted so that an empty frame gives zeros
    everywhere; rounding errors of its mean would be divided by almost nothing.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.eps = 1e-5
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, maps: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        maps = maps - maps[:, :, :1, :1].detach()
        centred = maps - maps.mean((2, 3), keepdim=True)
        scale = torch.rsqrt(centred.square().mean((2, 3), keepdim=True) + self.eps)
        return centred * scale * self.weight[:, None, None] + self.bias[:, None, None]


def differences(clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
    """Each frame less the one before, in units of their own deviation; zeros for the first."""
    change = F.pad(clip.diff(dim=2), (0, 0, 0, 0, 1, 0))
    # In two steps: other programs than torch sum one by one, and lose digits in long sums.
    power = change.square().mean((3, 4), keepdim=True).mean((1, 2), keepdim=True)
    return change / (power.sqrt() + _LEAST_DEVIATION)


@torch.no_grad()
def salient_patches(
    clip: Float[Tensor, "b c t h w"], grid: tuple[int, int], count: int
) -> Int64[Tensor, "b k"]:
    """Find the positions of a `grid` whose pixels vary most over the frames, in order."""
    variance = clip.float().var(2, correction=0).mean(1)
    of_patches = F.adaptive_avg_pool2d(variance, grid).flatten(1)
    return of_patches.topk(count, dim=1).indices.sort(dim=1).values


def build_uniformer(
    config: UniFormerConfig, front_end: UniFormerFrontEndConfig | None
) -> UniFormer:
    """A UniFormer behind its front end; without one, as published."""
    if front_end is None:
        return UniFormer(config)
    model = UniFormer(config, patch_embed=UniFormerFrontEnd(front_end, config))
    if front_end.mimetic_init_scale:
        with torch.no_grad():
            for block in model.blocks:
                query, key, _ = block.attn.qkv.weight.chunk(3)
                key.copy_(query.mul_(front_end.mimetic_init_scale))
    return model


@dataclass(frozen=True, kw_only=True, slots=True)
class TinyMultimodalConfig:
    """Encoder B whose video tower stands behind a front end."""

    encoder: MultimodalEncoderConfig = field(default_factory=MultimodalEncoderConfig)
    front_end: UniFormerFrontEndConfig = field(default_factory=UniFormerFrontEndConfig)

    def __post_init__(self) -> None:
        self.front_end.check(self.encoder.video)


def build_multimodal(
    config: MultimodalEncoderConfig, front_end: UniFormerFrontEndConfig | None
) -> MultimodalEncoder:
    """Encoder B behind a front end; without one, as published."""
    return MultimodalEncoder(config, video=build_uniformer(config.video, front_end))


def front_end_macs(
    config: UniFormerConfig, front_end: UniFormerFrontEndConfig | None, num_frames: int
) -> int:
    """Forward of a UniFormer behind its front end, in multiply-adds a clip."""
    if front_end is None:
        return uniformer_macs(config, num_frames)
    h, w = config.grid
    num_patches = front_end.num_salient_patches if num_frames > 1 else 0
    num_patches = num_patches or h * w
    side, stem, wide = config.side_px, 0, 0
    for narrow, wide, stride in front_end.stem_layers(config.patch_px):
        side //= stride
        stem += num_frames * side**2 * 9 * narrow * wide
    slots = config.num_slots(num_frames)
    embedding = stem + slots * num_patches * wide * config.temporal_patch_size * config.width
    return uniformer_macs(config, num_frames, num_patches=num_patches, embedding_macs=embedding)
