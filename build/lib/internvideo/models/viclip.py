"""ViCLIP: a video tower where all tokens of a clip attend to each other, and CLIP's text tower.

Source: Wang et al. 2023, "InternVid" (arXiv:2307.06942), section 4, and its released code.
Shapes: clip (b, c, t, h, w) float, normalised -> tokens (b, 1 + k, d), k visible of t h w patches,
time-major, after one class token -> embedding (b, e) of length 1.
Differs from the released code: tokens are time-major (there time runs fastest); the temperature is
kept as `logit_scale`, minus its logarithm, as in the other encoders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from internvideo.errors import ConfigError
from internvideo.models.clip_blocks import Activation, ClipBlock, initialise_blocks
from internvideo.models.layers import hidden_width, stochastic_depth_rates
from internvideo.models.masked_encoder import check_blocks
from internvideo.models.multimodal_encoder import TextEmbedding, unit_length
from internvideo.models.text_encoder import TextEncoder, TextEncoderConfig
from internvideo.models.tokens import gather_tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class JointEncoderConfig:
    """Joint space-time video tower; the defaults are ViCLIP-B/16."""

    num_frames: int = 8
    side_px: int = 224
    patch_px: int = 16
    width: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    activation: Activation = "quick-gelu"
    norm_eps: float = 1e-5
    drop_path: float = 0.0
    recompute_activations: bool = False  # spends a second forward to save memory

    def __post_init__(self) -> None:
        check_blocks("joint video tower", self.width, self.depth, self.num_heads)
        if self.num_frames < 1 or self.side_px < self.patch_px or self.side_px % self.patch_px:
            raise ConfigError(
                f"joint video tower has {self.num_frames} frames of {self.side_px} px in patches "
                f"of {self.patch_px} px; take a frame at least, and a side that patches divide"
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches in a frame."""
        return (self.side_px // self.patch_px,) * 2


class JointEncoder(nn.Module):
    """CLIP's image tower over all patches of a clip, with a table of positions in time."""

    def __init__(self, config: JointEncoderConfig) -> None:
        super().__init__()
        self.config = config
        width, patch = config.width, config.patch_px
        self.patch_embed = nn.Conv3d(3, width, (1, patch, patch), bias=False)
        self.class_token = nn.Parameter(torch.randn(width) * width**-0.5)
        num_places = config.grid[0] * config.grid[1]
        self.positions = nn.Parameter(torch.randn(1 + num_places, width) * width**-0.5)
        self.time_positions = nn.Parameter(torch.zeros(config.num_frames, width))
        self.norm_pre = nn.LayerNorm(width, eps=config.norm_eps)
        self.blocks = nn.ModuleList(
            ClipBlock(
                width,
                config.num_heads,
                hidden_width(width, config.mlp_ratio),
                activation=config.activation,
                drop_path=rate,
                norm_eps=config.norm_eps,
            )
            for rate in stochastic_depth_rates(config.depth, config.drop_path)
        )
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)
        initialise_blocks(self.blocks, width)

    def forward(
        self, clip: Float[Tensor, "b c t h w"], visible_index: Int64[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Encode a clip, or an image of one frame, or only the patches at `visible_index`."""
        tokens = self.embed(clip, visible_index)
        for block in self.blocks:
            if self.config.recompute_activations and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
        return self.norm(tokens)

    def embed(
        self, clip: Float[Tensor, "b c t h w"], visible_index: Int64[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Turn patches into tokens that know their place and time, after the class token."""
        config, t = self.config, clip.shape[2]
        if t not in (1, config.num_frames) or clip.shape[3:] != (config.side_px, config.side_px):
            raise ConfigError(
                f"clip has {t} frames of {tuple(clip.shape[3:])} pixels, this tower was made for "
                f"{config.num_frames} frames, or one, of {config.side_px} x {config.side_px}"
            )
        h, w = config.grid
        pixels = rearrange(clip, "b c t (h dh) (w dw) -> b (t h w) (c dh dw)", h=h, w=w)
        # An image stands at no moment in particular: at the mean of all.
        times = self.time_positions if t > 1 else self.time_positions.mean(0, keepdim=True)
        positions = (times[:, None] + self.positions[1:]).flatten(0, 1)
        if visible_index is not None:
            pixels, positions = gather_tokens(pixels, visible_index), positions[visible_index]
        patches = F.linear(pixels, self.patch_embed.weight.flatten(1)) + positions
        first = (self.class_token + self.positions[0]).to(patches.dtype)
        return self.norm_pre(torch.cat([first.expand(clip.shape[0], 1, -1), patches], dim=1))


@dataclass(frozen=True, kw_only=True, slots=True)
class ViclipConfig:
    """ViCLIP; the defaults are B/16, whose texts have 32 tokens."""

    video: JointEncoderConfig = field(default_factory=JointEncoderConfig)
    text: TextEncoderConfig = field(default_factory=lambda: TextEncoderConfig(context_length=32))
    embed_dim: int = 512


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class JointVideoEmbedding:
    """A clip in the shared space (length 1), and all its tokens after the last norm."""

    embedding: Float[Tensor, "b e"]
    tokens: Float[Tensor, "b n d"]


class Viclip(nn.Module):
    """See the top of this file."""

    def __init__(self, config: ViclipConfig) -> None:
        super().__init__()
        self.config = config
        video, text = config.video.width, config.text.width
        self.video = JointEncoder(config.video)
        self.video_projection = nn.Parameter(torch.randn(video, config.embed_dim) * video**-0.5)
        self.text = TextEncoder(config.text)
        self.text_projection = nn.Parameter(torch.randn(text, config.embed_dim) * text**-0.5)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(100.0)))

    def encode_video(
        self, clip: Float[Tensor, "b c t h w"], visible_index: Int64[Tensor, "b k"] | None = None
    ) -> JointVideoEmbedding:
        """Place clips, or images of one frame, in the shared space."""
        tokens = self.video(clip, visible_index)
        embedding = unit_length(tokens[:, 0] @ self.video_projection)
        return JointVideoEmbedding(embedding=embedding, tokens=tokens)

    def encode_text(self, ids: Int64[Tensor, "b l"]) -> TextEmbedding:
        """Place texts in the shared space."""
        output = self.text(ids)
        return TextEmbedding(
            embedding=unit_length(output.pooled @ self.text_projection), tokens=output.tokens
        )
