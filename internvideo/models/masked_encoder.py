"""Encoder A: a Vision Transformer that reads only the visible tubelets of a clip.

Source: Tong et al. 2022, "VideoMAE", section 3.3 (arXiv:2203.12602); InternVideo, section 3.1.
Shapes: clip (b, c, t, h, w) float, normalised -> tokens (b, k, d), k visible of n tubelets; or
tubelets (b, k, pixels), bytes or normalised floats, with their token index (b, k) -> (b, k, d).
Differs from the released code: a masked tubelet is not even embedded, and bytes are normalised
here, after most of them have been left out. State-dict keys are the official ones; a fixed position
table is a buffer and not saved. Another patch embedding may be handed in.
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
from internvideo.models.positions import resize_positions, sine_table
from internvideo.models.tokens import gather_tokens, patchify
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
    positions: Literal["sine", "learned"] = "sine"  # "sine": over the flat token index
    # Frames and side that a fixed table is made for and resized from (official where a model sees
    # other clips than those it was pretrained on); None: made for this clip.
    positions_from: tuple[int, int] | None = None
    final_norm: bool = True
    norm_eps: float = 1e-6
    recompute_activations: bool = False  # spends a second forward to save memory
    pixel_mean: tuple[float, ...] = IMAGENET_MEAN
    pixel_std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        check_blocks("encoder", self.width, self.depth, self.num_heads)
        if len(self.pixel_mean) != len(self.pixel_std) or not min(self.pixel_std, default=0) > 0:
            raise ConfigError(
                f"pixel_mean {self.pixel_mean} and pixel_std {self.pixel_std} do not give one mean "
                f"and one positive deviation for each colour channel"
            )
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
        table = sine_table(self.table_grid.num_tokens, width)
        return resize_positions(table, self.table_grid, self.grid)


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
        self.tubelet = config.tubelet
        extent = (self.tubelet.time, self.tubelet.height, self.tubelet.width)
        self.proj = nn.Conv3d(config.num_channels, config.width, extent, stride=extent)
        mean, std = torch.tensor(config.pixel_mean), torch.tensor(config.pixel_std)
        self.register_buffer("byte_scale", 1 / (255 * std), persistent=False)
        self.register_buffer("byte_shift", mean / std, persistent=False)

    def select_tubelets(
        self, clip: Float[Tensor, "b c t h w"], masked: Bool[Tensor, "b n"] | None = None
    ) -> tuple[Float[Tensor, "b k pixels"], Int64[Tensor, "b k"] | None]:
        """Cut a clip into the tubelets that are read, as `forward` takes them, and their index.

        These are the tubelets that are not masked, equally many of every sample; without a mask
        all of them, and the index is None.
        """
        patches = patchify(clip, self.tubelet)
        if masked is None:
            return patches, None
        index = (~masked).nonzero()[:, 1].view(len(masked), -1)
        return gather_tokens(patches, index), index

    def forward(self, patches: Shaped[Tensor, "b k pixels"]) -> Float[Tensor, "b k d"]:
        return project_tubelets(self.proj, self.normalise(patches))

    def normalise(self, patches: Shaped[Tensor, "b k pixels"]) -> Float[Tensor, "b k pixels"]:
        """Normalise tubelets that are bytes; floats are normalised already."""
        if patches.dtype != torch.uint8:
            return patches
        pixels = patches.unflatten(2, (-1, len(self.byte_scale)))  # b k pixel c
        return (pixels * self.byte_scale).sub_(self.byte_shift).flatten(2)


def project_tubelets(
    projection: nn.Conv3d, patches: Float[Tensor, "b k pixels"]
) -> Float[Tensor, "b k d"]:
    """Apply a convolution whose stride is its kernel to tubelets that are cut already."""
    weight = rearrange(projection.weight, "d c dt dh dw -> d (dt dh dw c)")
    return F.linear(patches, weight, projection.bias)


class MaskedEncoder(nn.Module):
    """See the top of this file.

    `patch_embed` replaces the published patch embedding: it embeds tubelets, and may choose which
    ones of an unmasked clip are read.
    """

    def __init__(
        self, config: MaskedEncoderConfig, *, patch_embed: PatchEmbed | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = patch_embed or PatchEmbed(config)
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
        if config.positions == "learned":
            nn.init.trunc_normal_(self.pos_embed, std=0.02, a=-0.02, b=0.02)

    def forward(
        self, clip: Float[Tensor, "b c t h w"], masked: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b k d"]:
        """Encode a whole normalised clip, or its tokens that are not masked, in token order.

        Every sample of `masked` hides equally many tokens. For training, `encode_patches` with
        indices made beforehand spares the embedding's input and the wait for the mask's count.
        """
        return self.encode_patches(*self.patch_embed.select_tubelets(clip, masked))

    def encode_patches(
        self,
        patches: Shaped[Tensor, "b k pixels"],
        index: Int64[Tensor, "b k"] | None = None,
        *,
        positions: Float[Tensor, "k d"] | None = None,
    ) -> Float[Tensor, "b k d"]:
        """Encode tubelets (bytes, or floats of `select_tubelets`) that lie at `index` of the grid.

        Without `index` they are all tubelets of the grid, in order, or of another grid whose
        table of `positions` is given.
        """
        if positions is None:
            tokens = self.embed_patches(patches, index)
        else:
            tokens = self.patch_embed(patches) + positions
        for block in self.blocks:
            tokens = run_block(block, tokens, recompute=self.config.recompute_activations)
        return self.norm(tokens)

    def embed_patches(
        self, patches: Shaped[Tensor, "b k pixels"], index: Int64[Tensor, "b k"] | None
    ) -> Float[Tensor, "b k d"]:
        """Make tokens of tubelets, with their positions: what the first block reads."""
        positions = self.pos_embed if index is None else self.pos_embed[0][index]
        return self.patch_embed(patches) + positions


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
