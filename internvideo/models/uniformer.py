"""UniFormerV2, the video tower of encoder B: CLIP on every frame, and a token that reads the clip.

Source: Li et al. 2022, "UniFormerV2" (arXiv:2211.09552); the `vit_only_global` variant of
InternVideo's released code is this network without local MHRA and without temporal down-sampling.
Shapes: clip (b, c, t, h, w) float, normalised -> pooled (b, d) and tokens (b, t, 1 + k, d), of each
frame its class token and k patches. Any number of frames; one frame is an image.
Differs from the released code: stochastic depth drops a branch for whole clips; a local MHRA may
normalise each token by itself; another patch embedding can be handed in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from internvideo.errors import ConfigError
from internvideo.models.clip_blocks import Activation, initialise_blocks
from internvideo.models.layers import hidden_width, stochastic_depth_rates
from internvideo.models.masked_encoder import check_blocks
from internvideo.models.uniformer_blocks import (
    GlobalBlock,
    LocalBlock,
    LocalMHRA,
    LocalNorm,
    scatter_patches,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class UniFormerConfig:
    """UniFormerV2; the defaults are InternVideo's B/16. Without `global_layers` it is CLIP."""

    side_px: int = 224
    patch_px: int = 16
    width: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    activation: Activation = "quick-gelu"
    norm_eps: float = 1e-5
    drop_path: float = 0.0  # rate of the last backbone block; earlier ones have less
    # Frames that a patch spans. Above 1 time is down-sampled: every second frame starts a patch.
    temporal_patch_size: int = 1
    # Backbone layers, counted from 0, whose output a global block reads (`return_list`).
    global_layers: tuple[int, ...] = (8, 9, 10, 11)
    num_global_heads: int = 12
    global_mlp_ratio: float = 4.0
    global_dropout: float = 0.5
    global_drop_path: float = 0.0
    # Local MHRA of each backbone block: none, before attention, before feed-forward as well.
    num_local: int = 0
    local_reduction: float = 1.5
    # "layer" does not mix samples, so that ranks and micro-batches do not change the result.
    local_norm: LocalNorm = "batch"
    # Freeze all that came from CLIP; the pooled vector is then the video token alone.
    frozen_backbone: bool = False
    recompute_activations: bool = False  # spends a second forward to save memory

    def __post_init__(self) -> None:
        check_blocks("video tower", self.width, self.depth, self.num_heads)
        check_blocks("global blocks", self.width, self.depth, self.num_global_heads)
        if self.side_px < self.patch_px or self.side_px % self.patch_px:
            raise ConfigError(
                f"side_px {self.side_px} is not a positive multiple of patch_px {self.patch_px}"
            )
        layers = self.global_layers
        if list(layers) != sorted(set(layers)) or not all(0 <= i < self.depth for i in layers):
            raise ConfigError(
                f"global_layers {layers} are not increasing layers between 0 and {self.depth - 1}"
            )
        if self.num_local not in (0, 1, 2):
            raise ConfigError(f"num_local {self.num_local} is not 0, 1 or 2")
        if self.temporal_patch_size < 1 or self.temporal_patch_size % 2 == 0:
            raise ConfigError(
                f"temporal_patch_size {self.temporal_patch_size} is not odd and positive"
            )

    @property
    def mixes_samples(self) -> bool:
        """Whether, in training, a clip's output depends on the others of its batch."""
        return self.num_local > 0 and self.local_norm == "batch"

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches in a frame."""
        return (self.side_px // self.patch_px,) * 2

    def num_slots(self, num_frames: int) -> int:
        """Temporal slots of tokens that so many frames give."""
        return num_frames if self.temporal_patch_size == 1 else (num_frames + 1) // 2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EmbeddedPatches:
    """What a patch embedding makes of a clip, before positions are added.

    `index` says which positions of the grid the patches have, the same in all frames of a clip
    (None: all, in order); what is missing is zero to the DPE of global blocks. `class_start` is
    added to the class token of each frame.
    """

    patches: Float[Tensor, "b slots k d"]
    index: Int64[Tensor, "b k"] | None = None
    class_start: Float[Tensor, "b slots 1 d"] | None = None


class PatchEmbed(nn.Conv3d):
    """The published patch embedding, in the layout of its convolution; a product on pixels."""

    def __init__(self, config: UniFormerConfig) -> None:
        frames, side = config.temporal_patch_size, config.patch_px
        super().__init__(
            3,
            config.width,
            (frames, side, side),
            stride=(1 if frames == 1 else 2, side, side),
            padding=(frames // 2, 0, 0),
            bias=False,
        )

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> EmbeddedPatches:
        frames, side, _ = self.kernel_size
        pixels = rearrange(clip, "b c t (h dh) (w dw) -> b t (h w) (c dh dw)", dh=side, dw=side)
        if frames > 1:
            padded = F.pad(pixels, (0, 0, 0, 0, frames // 2, frames // 2))
            pixels = padded.unfold(1, frames, 2).flatten(3)
        weight = rearrange(self.weight, "d c dt dh dw -> d (c dh dw dt)")
        return EmbeddedPatches(patches=F.linear(pixels, weight))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class UniFormerOutput:
    """Pooled vector, tokens of the last layer (class token first), and the video token, if any.

    `after` holds the tokens after each layer that was asked for; `patch_index` says which patches
    the tokens are of (None: all).
    """

    pooled: Float[Tensor, "b d"]
    tokens: Float[Tensor, "b t n d"]
    query: Float[Tensor, "b d"] | None
    after: dict[int, Float[Tensor, "b t n d"]]
    patch_index: Int64[Tensor, "b k"] | None = None


class UniFormer(nn.Module):
    """See the top of this file.

    `forward` is `backbone`, `read_layers` and `pool`, one after the other. `patch_embed` takes the
    place of the published one: any module from a clip to `EmbeddedPatches`.
    """

    def __init__(self, config: UniFormerConfig, *, patch_embed: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.patch_embed = PatchEmbed(config) if patch_embed is None else patch_embed
        self.class_token = nn.Parameter(torch.randn(width) * width**-0.5)
        num_positions = 1 + config.grid[0] * config.grid[1]
        self.positions = nn.Parameter(torch.randn(num_positions, width) * width**-0.5)
        self.norm_pre = nn.LayerNorm(width, eps=config.norm_eps)
        self.blocks = nn.ModuleList(
            _local_block(config, rate)
            for rate in stochastic_depth_rates(config.depth, config.drop_path)
        )
        initialise_blocks(self.blocks, width)
        if config.frozen_backbone:
            self.requires_grad_(False)
        num_global = len(config.global_layers)
        self.global_blocks = nn.ModuleList(
            GlobalBlock(
                width,
                config.num_global_heads,
                hidden_width(width, config.global_mlp_ratio),
                activation=config.activation,
                dropout=config.global_dropout,
                drop_path=rate,
                norm_eps=config.norm_eps,
            )
            for rate in stochastic_depth_rates(num_global, config.global_drop_path)
        )
        self.query_token: nn.Parameter | None = None
        self.balance: nn.Parameter | None = None
        if num_global:
            self.query_token = nn.Parameter(torch.zeros(width))
            if not config.frozen_backbone:
                self.balance = nn.Parameter(torch.zeros(width))

    def forward(
        self, clip: Float[Tensor, "b c t h w"], *, layers: tuple[int, ...] = ()
    ) -> UniFormerOutput:
        """Encode a normalised clip.

        Args:
            clip: Frames of the configured side.
            layers: Backbone layers, counted from 0, after which the tokens are wanted as well.
        """
        last = self.config.depth - 1
        wanted = {*self.config.global_layers, *layers, last}
        after, index = self.backbone(clip, wanted)
        query = self.read_layers(after, index)
        return UniFormerOutput(
            pooled=self.pool(query, after[last]),
            tokens=after[last],
            query=query,
            after={i: after[i] for i in layers},
            patch_index=index,
        )

    def on_grid(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b slots n d"]:
        """Tokens of whole frames, class token first; zeros where no patch is read."""
        output = self(clip)
        tokens, (h, w) = output.tokens, self.config.grid
        if output.patch_index is None:
            return tokens
        patches = scatter_patches(tokens[:, :, 1:], output.patch_index, h * w)
        return torch.cat([tokens[:, :, :1], patches], dim=2)

    def backbone(
        self, clip: Float[Tensor, "b c t h w"], layers: Collection[int]
    ) -> tuple[dict[int, Float[Tensor, "b slots n d"]], Int64[Tensor, "b k"] | None]:
        """Run the local blocks; give the tokens after `layers`, and which patches were read."""
        tokens, index = self.embed(clip)
        after = {}
        for i, block in enumerate(self.blocks):
            tokens = self._run(block, tokens)
            if i in layers:
                after[i] = tokens
        return after, index

    def read_layers(
        self,
        after: Mapping[int, Float[Tensor, "b slots n d"]],
        patch_index: Int64[Tensor, "b k"] | None,
    ) -> Float[Tensor, "b d"] | None:
        """Run the global blocks on tokens of `backbone`, one after the other; the video token."""
        if self.query_token is None:
            return None
        layers = self.config.global_layers
        query = self.query_token.expand(after[layers[0]].shape[0], -1)
        for i, block in zip(layers, self.global_blocks, strict=True):
            query = self._run(block, query, after[i], self.config.grid, patch_index)
        return query

    def embed(
        self, clip: Float[Tensor, "b c t h w"]
    ) -> tuple[Float[Tensor, "b slots n d"], Int64[Tensor, "b k"] | None]:
        """Tokens before the first block, and which patches they are of."""
        side_px = self.config.side_px
        if clip.shape[3:] != (side_px, side_px):
            raise ConfigError(
                f"clip has frames of {tuple(clip.shape[3:])} pixels, this tower was made for "
                f"{side_px} x {side_px}; resize the frames or the position table"
            )
        embedded, positions = self.patch_embed(clip), self.positions[1:]
        if embedded.index is not None:
            positions = positions[embedded.index][:, None]
        patches = embedded.patches + positions
        classes = (self.class_token + self.positions[0]).expand(*patches.shape[:2], 1, -1)
        if embedded.class_start is not None:
            classes = classes + embedded.class_start
        tokens = self.norm_pre(torch.cat([classes.to(patches.dtype), patches], dim=2))
        return tokens, embedded.index

    def pool(
        self, query: Float[Tensor, "b d"] | None, tokens: Float[Tensor, "b slots n d"]
    ) -> Float[Tensor, "b d"]:
        """Weigh the video token against the mean class token of the frames, by channel."""
        frames = tokens[:, :, 0].mean(1)
        if query is None:
            return frames
        if self.balance is None:
            return query
        share = torch.sigmoid(self.balance)
        return (1 - share) * query + share * frames

    def _run(self, block: nn.Module, *inputs: object) -> Tensor:
        if self.config.recompute_activations and torch.is_grad_enabled():
            return checkpoint(block, *inputs, use_reentrant=False)
        return block(*inputs)


def _local_block(config: UniFormerConfig, drop_path: float) -> LocalBlock:
    width = config.width
    reduced_width = int(width // config.local_reduction)
    local1, local2 = (
        LocalMHRA(width, reduced_width, norm=config.local_norm, norm_eps=config.norm_eps)
        if config.num_local > i
        else None
        for i in range(2)
    )
    return LocalBlock(
        width,
        config.num_heads,
        hidden_width(width, config.mlp_ratio),
        local1=local1,
        local2=local2,
        activation=config.activation,
        drop_path=drop_path,
        norm_eps=config.norm_eps,
    )
