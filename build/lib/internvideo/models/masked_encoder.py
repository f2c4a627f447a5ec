"""Encoder A: a Vision Transformer that reads only the visible tubelets of a clip.

Source: Tong et al. 2022, "VideoMAE", section 3.3 (arXiv:2203.12602); InternVideo, section 3.1.
Shapes: clip (b, c, t, h, w) float, normalised -> tokens (b, k, d), k visible of n tubelets; or
tubelets (b, k, pixels), bytes or normalised floats, with their places (b, k) -> tokens (b, k, d).
Differs from the released code: a masked tubelet is not even embedded, and bytes are normalised
here, after most of them have been left out; small networks may normalise tubelets, and leave out
those in which nothing changes. State-dict keys are the official ones; a fixed position
table is a buffer and not saved.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from internvideo.errors import ConfigError
from internvideo.models.layers import Block, hidden_width, stochastic_depth_rates
from internvideo.models.positions import axes_sine_table, resize_positions, sine_table
from internvideo.models.tokens import changing_tokens, gather_tokens, patchify, place_tokens
from internvideo.values import IMAGENET_MEAN, IMAGENET_STD, TokenGrid, Tubelet


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskedEncoderConfig:
    """Encoder A; the defaults are ViT-B/16 on 16 frames."""

    num_frames: int = 16
    side_px: int = 224
    tubelet: Tubelet = field(default_factory=Tubelet)
    width: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    layer_scale_init: float = 0.0  # 0: no layer scale
    drop_path: float = 0.0  # rate of the last block; earlier ones have less
    # "sine": one sine over the flat token index (official); "sine-axes": one per axis; "learned".
    positions: Literal["sine", "sine-axes", "learned"] = "sine"
    position_base: float = 10_000.0  # about 30 suits axes of 4 to 8 places
    # Frames and side that a fixed table is made for and resized from (official where a model sees
    # other clips than those it was pretrained on); None: made for this clip.
    positions_from: tuple[int, int] | None = None
    final_norm: bool = True
    norm_eps: float = 1e-6
    # 0: the official start. Else keys start equal to queries, both scaled by it, so that tokens
    # attend to near and similar ones at once (mimetic initialisation, arXiv:2305.09828).
    aligned_attention: float = 0.0
    recompute_activations: bool = False  # spends a second forward to save memory
    pixel_mean: tuple[float, ...] = IMAGENET_MEAN
    pixel_std: tuple[float, ...] = IMAGENET_STD
    # 0: none, as published. Else what a tubelet shows is normalised before its position is added,
    # and starts so many times as large as 1: loud tubelets then do not drown where they are.
    patch_norm: float = 0.0
    # Of a clip that is read whole only so many tubelets are, those in which most changes from frame
    # to frame (in the spirit of arXiv:2411.05222); 0: all.
    num_changing: int = 0

    def __post_init__(self) -> None:
        check_blocks("encoder", self.width, self.depth, self.num_heads)
        if len(self.pixel_mean) != len(self.pixel_std) or not min(self.pixel_std, default=0) > 0:
            raise ConfigError(
                f"pixel_mean {self.pixel_mean} and pixel_std {self.pixel_std} do not give one mean "
                f"and one positive deviation for each colour channel"
            )
        if not 0 <= self.num_changing <= self.grid.num_tokens:
            raise ConfigError(
                f"num_changing is {self.num_changing}; a clip has {self.grid.num_tokens} tubelets, "
                "of which 1 or more are read (0: all)"
            )
        if self.patch_norm < 0:
            raise ConfigError(f"patch_norm is {self.patch_norm}; it must not be negative")
        _ = self.table_grid  # raise where a clip does not divide into tubelets

    @property
    def grid(self) -> TokenGrid:
        return TokenGrid.of(self.num_frames, self.side_px, self.tubelet)

    @property
    def table_grid(self) -> TokenGrid:
        """The grid that a fixed table of positions is made for."""
        return TokenGrid.of(*(self.positions_from or (self.num_frames, self.side_px)), self.tubelet)

    @property
    def num_channels(self) -> int:
        return len(self.pixel_mean)

    @property
    def num_pixels(self) -> int:
        """Values in one tubelet, over all colour channels."""
        return self.tubelet.time * self.tubelet.height * self.tubelet.width * self.num_channels

    def position_table(self, width: int) -> Float[Tensor, "n d"]:
        """The fixed table of this grid, for a network of any width (the decoder has its own)."""
        made = self.table_grid
        if self.positions == "sine-axes":
            table = axes_sine_table(made, width, self.position_base)
        else:
            table = sine_table(made.num_tokens, width, self.position_base)
        return resize_positions(table, made, self.grid)


def check_blocks(what: str, width: int, depth: int, num_heads: int) -> None:
    if min(width, depth, num_heads) < 1:
        raise ConfigError(
            f"{what} has width {width}, depth {depth}, heads {num_heads}; each is at least 1"
        )
    if width % num_heads:
        raise ConfigError(
            f"{what} width {width} is not divisible by {num_heads} heads; "
            f"choose num_heads among the divisors of {width}"
        )


class PatchEmbed(nn.Module):
    """Project tubelets to tokens: the official convolution, as the matrix product that it is."""

    def __init__(self, config: MaskedEncoderConfig) -> None:
        super().__init__()
        tubelet = config.tubelet
        extent = (tubelet.time, tubelet.height, tubelet.width)
        self.proj = nn.Conv3d(config.num_channels, config.width, extent, stride=extent)
        mean, std = torch.tensor(config.pixel_mean), torch.tensor(config.pixel_std)
        self.register_buffer("byte_scale", 1 / (255 * std), persistent=False)
        self.register_buffer("byte_shift", mean / std, persistent=False)

    def forward(self, patches: Shaped[Tensor, "b k pixels"]) -> Float[Tensor, "b k d"]:
        if patches.dtype == torch.uint8:
            pixels = patches.unflatten(2, (-1, len(self.byte_scale)))  # b k pixel c
            patches = (pixels * self.byte_scale).sub_(self.byte_shift).flatten(2)
        weight = rearrange(self.proj.weight, "d c dt dh dw -> d (dt dh dw c)")
        return F.linear(patches, weight, self.proj.bias)


class MaskedEncoder(nn.Module):
    """See the top of this file."""

    def __init__(self, config: MaskedEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.patch_norm = nn.Identity()
        if config.patch_norm:
            self.patch_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
            nn.init.constant_(self.patch_norm.weight, config.patch_norm)
        if config.positions == "learned":
            self.pos_embed = nn.Parameter(torch.empty(1, config.grid.num_tokens, config.width))
        else:
            table = config.position_table(config.width)[None]
            self.register_buffer("pos_embed", table, persistent=False)
        self.blocks = make_blocks(
            config.width,
            config.depth,
            config.num_heads,
            mlp_ratio=config.mlp_ratio,
            encoder=config,
            norm_eps=config.norm_eps,
        )
        self.norm = (
            nn.LayerNorm(config.width, eps=config.norm_eps) if config.final_norm else nn.Identity()
        )
        self.apply(initialise)
        align_attention(self.blocks, config.aligned_attention)
        if config.positions == "learned":
            nn.init.trunc_normal_(self.pos_embed, std=0.02, a=-0.02, b=0.02)

    def forward(
        self, clip: Float[Tensor, "b c t h w"], masked: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b k d"]:
        """Encode a whole normalised clip, or its tokens that are not masked, in token order.

        Every sample of `masked` hides equally many tokens. For training, `encode_patches` with
        indices made beforehand spares the embedding's input and the wait for the mask's count.
        """
        if masked is None:
            return self.encode_patches(*self.read_whole(clip))
        patches = patchify(clip, self.config.tubelet)
        index = (~masked).nonzero()[:, 1].view(len(masked), -1)
        return self.encode_patches(gather_tokens(patches, index), index)

    def on_grid(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b n d"]:
        """Encode a whole clip to one token for each place of the grid; zeros where none is read."""
        patches, index = self.read_whole(clip)
        tokens = self.encode_patches(patches, index)
        return tokens if index is None else place_tokens(tokens, index, self.config.grid.num_tokens)

    def read_whole(
        self, clip: Float[Tensor, "b c t h w"]
    ) -> tuple[Float[Tensor, "b k pixels"], Int64[Tensor, "b k"] | None]:
        """Cut a clip that is not masked into the tubelets that are read, and their places."""
        patches = patchify(clip, self.config.tubelet)
        if not self.config.num_changing:
            return patches, None
        index = changing_tokens(clip, self.config.tubelet, self.config.num_changing)
        return gather_tokens(patches, index), index

    def encode_patches(
        self,
        patches: Shaped[Tensor, "b k pixels"],
        index: Int64[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b k d"]:
        """Encode tubelets (bytes, or floats already normalised) that lie at `index` of the grid.

        Without `index` they are all tubelets of the grid, in order.
        """
        tokens = self.embed_patches(patches, index)
        for block in self.blocks:
            tokens = run_block(block, tokens, recompute=self.config.recompute_activations)
        return self.norm(tokens)

    def embed_patches(
        self, patches: Shaped[Tensor, "b k pixels"], index: Int64[Tensor, "b k"] | None
    ) -> Float[Tensor, "b k d"]:
        """Make tokens of tubelets, with their positions: what the first block reads."""
        positions = self.pos_embed if index is None else self.pos_embed[0][index]
        return self.patch_norm(self.patch_embed(patches)) + positions


def make_blocks(
    width: int,
    depth: int,
    num_heads: int,
    *,
    mlp_ratio: float,
    encoder: MaskedEncoderConfig,
    norm_eps: float,
) -> nn.ModuleList:
    """Blocks of the encoder or of its decoder, which shares all switches but the sizes."""
    return nn.ModuleList(
        Block(
            width,
            num_heads,
            hidden_width(width, mlp_ratio),
            qkv_bias=encoder.qkv_bias,
            layer_scale_init=encoder.layer_scale_init,
            drop_path=rate,
            norm_eps=norm_eps,
        )
        for rate in stochastic_depth_rates(depth, encoder.drop_path)
    )


def run_block(
    block: nn.Module, tokens: Tensor, num_kept: int | None = None, *, recompute: bool
) -> Tensor:
    """Call a block, keeping only its input for the backward pass where `recompute` says so."""
    if recompute and torch.is_grad_enabled():
        return checkpoint(block, tokens, num_kept, use_reentrant=False)
    return block(tokens, num_kept)


def initialise(module: nn.Module) -> None:
    """Pretraining's start: xavier-uniform weights, zero biases, unit norms.

    The convolution keeps torch's own start, as in the released code.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@torch.no_grad()
def align_attention(blocks: nn.ModuleList, gain: float) -> None:
    """Start keys equal to queries and scale both by `gain`; does nothing with a gain of 0."""
    if not gain:
        return
    for block in blocks:
        query, key, _ = block.attn.qkv.weight.chunk(3)
        key.copy_(query.mul_(gain))
