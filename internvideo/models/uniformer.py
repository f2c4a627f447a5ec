"""UniFormerV2, the video tower of encoder B: CLIP on every frame, and a query that reads the clip.

Source: Li et al. 2022, "UniFormerV2" (arXiv:2211.09552); the `vit_only_global` variant of
InternVideo's released code is this network without local branches and without down-sampling.
Shapes: clip (b, c, t, h, w) float, normalised -> pooled (b, d) and tokens (b, t, 1 + k, d), of each
frame its class token and k visible patches. Any number of frames; one frame is an image.
Differs from the released code: patches may be dropped (at the same places of all frames of a clip,
as FLIP does for images), stochastic depth drops a branch for whole clips, local branches may
normalise each token by itself, convolutions may come before the patches, global blocks may
read these as they are before the first layer besides.
"""

from __future__ import annotations

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
from internvideo.models.masked_encoder import align_attention, check_blocks
from internvideo.models.steady import changes, variation
from internvideo.models.tokens import place_tokens
from internvideo.models.uniformer_blocks import (
    BackboneBlock,
    ConvolutionalStem,
    GlobalBlock,
    LocalBranch,
    LocalNorm,
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
    # Backbone layers, counted from 0, whose output a global block reads.
    global_layers: tuple[int, ...] = (8, 9, 10, 11)
    num_global_heads: int = 12
    global_mlp_ratio: float = 4.0
    global_dropout: float = 0.5
    global_drop_path: float = 0.0
    # Whether values of global blocks are also of looks: what each place shows before the first
    # layer, with `time_differences` of a token's own frame alone. A query then finds by motion what
    # acts, and sees it as in an image. For small networks from scratch.
    global_looks: bool = False
    # Local branches of each backbone block: none, before attention, before feed-forward as well.
    num_local: int = 0
    local_reduction: float = 1.5
    # "layer" does not mix samples, so that ranks and micro-batches do not change the result.
    local_norm: LocalNorm = "batch"
    # Whether local branches reach to the places around as well (3 x 3 x 3), and not along time
    # alone, as published.
    local_in_space: bool = False
    # Channels of the first of the overlapping convolutions that make the patches; 0, as published:
    # patches are pixels. The maximum over patches then starts each frame's class token. Small
    # networks learn shapes with it that they do not without (benchmarks/tiny_runs-*.md).
    stem_width: int = 0
    # Places of a clip that are read, those that change most over its frames, whatever the camera's
    # drift changes; 0: all. What stands still is then not mistaken for what acts.
    num_changing: int = 0
    # Of those, what changes by less than this share of the most is blank: zeros at its position.
    least_change: float = 0.0
    # What changes by less than this share does not enter the maximum of a frame's own content, with
    # `time_differences`: a frame's class token then starts at the looks of what acts.
    least_acting: float = 0.0
    # Places of an image that are read, those that vary most within themselves; 0: all.
    num_varying: int = 0
    # Frames that one token spans where time is halved; 1: every frame has its tokens.
    time_kernel: int = 1
    # Whether a token's other frames are read as differences to its own: where a clip stands still
    # its tokens are then those of an image, but for its ends, beside which there are zeros. With a
    # stem, maxima are taken of its own frame and of differences apart: motion then hides no looks.
    time_differences: bool = False
    # Freeze all that came from CLIP; the pooled vector is then the query alone.
    frozen_backbone: bool = False
    # Start keys equal to queries, scaled by this, so that tokens attend to their like from the
    # first step (arXiv:2305.09828); 0 is CLIP's start. For small networks from scratch.
    aligned_attention: float = 0.0
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
        if self.stem_width < 0:
            raise ConfigError(f"stem_width is {self.stem_width}; it must not be negative")
        if self.stem_width and (self.patch_px < 2 or self.patch_px & (self.patch_px - 1)):
            raise ConfigError(
                f"patch_px {self.patch_px} with a stem, which halves frames until a patch is one "
                "place; choose patch_px as 2, 4, 8 or 16, or stem_width=0"
            )
        places = self.grid[0] * self.grid[1]
        for name in ("num_changing", "num_varying"):
            if not 0 <= getattr(self, name) <= places:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; a frame has {places} places, and 0 reads all"
                )
        for name in ("least_change", "least_acting"):
            least = getattr(self, name)
            if not 0 <= least <= 1:
                raise ConfigError(f"{name} is {least}; it is a share, from 0 to 1")
            if least and not self.num_changing:
                raise ConfigError(f"{name} tells places apart that num_changing chose; set it too")
        if self.time_kernel < 1 or self.time_kernel % 2 == 0:
            raise ConfigError(f"time_kernel {self.time_kernel} is not odd and positive")
        if self.time_differences and self.time_kernel == 1:
            raise ConfigError(
                "time_differences needs other frames in a token: time_kernel 3 or more"
            )
        if self.least_acting and not (self.stem_width and self.time_differences):
            raise ConfigError(
                "least_acting is about the maximum of a frame's own content, which there is with "
                "stem_width and time_differences alone; set them too"
            )

    def num_places(self, num_frames: int) -> int:
        """Places that are read of the frames of a clip, or of an image."""
        chosen = self.num_varying if num_frames == 1 else self.num_changing
        return chosen or self.grid[0] * self.grid[1]

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
        return num_frames if self.time_kernel == 1 else (num_frames + 1) // 2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class UniFormerOutput:
    """Pooled vector, tokens of the last layer (class token first), and the query token, if any.

    `after` holds the tokens after each layer that was asked for.
    """

    pooled: Float[Tensor, "b d"]
    tokens: Float[Tensor, "b t n d"]
    query: Float[Tensor, "b d"] | None
    after: dict[int, Float[Tensor, "b t n d"]]


class UniFormer(nn.Module):
    """See the top of this file."""

    def __init__(self, config: UniFormerConfig) -> None:
        super().__init__()
        self.config = config
        width, patch, channels = config.width, config.patch_px, 3
        self.stem: ConvolutionalStem | None = None
        if config.stem_width:
            self.stem = ConvolutionalStem(config.stem_width, patch)
            patch, channels = 1, self.stem.out_width
        kernel = (config.time_kernel, patch, patch)
        self.patch_embed = nn.Conv3d(channels, width, kernel, bias=False)
        self.class_token = nn.Parameter(torch.randn(width) * width**-0.5)
        num_positions = 1 + config.grid[0] * config.grid[1]
        self.positions = nn.Parameter(torch.randn(num_positions, width) * width**-0.5)
        self.norm_pre = nn.LayerNorm(width, eps=config.norm_eps)
        self.blocks = nn.ModuleList(
            _backbone_block(config, rate)
            for rate in stochastic_depth_rates(config.depth, config.drop_path)
        )
        initialise_blocks(self.blocks, width)
        with torch.no_grad():
            align_attention(self.blocks, config.aligned_attention)
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
                reads_looks=config.global_looks,
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
        self,
        clip: Float[Tensor, "b c t h w"],
        visible_index: Int64[Tensor, "b k"] | None = None,
        *,
        layers: tuple[int, ...] = (),
    ) -> UniFormerOutput:
        """Encode a normalised clip.

        Args:
            clip: Frames of the configured side.
            visible_index: Places of each clip that are computed, the same in all its frames; None
                for all. The others are zeros to the convolutions of the global blocks.
            layers: Backbone layers, counted from 0, after which the tokens are wanted as well.
        """
        change = None
        if visible_index is None:
            visible_index, change = self.changing(clip)
        tokens, looks = self.embed(clip, visible_index, change)
        query = None if self.query_token is None else self.query_token.expand(clip.shape[0], -1)
        readers = dict(zip(self.config.global_layers, self.global_blocks, strict=True))
        after = {}
        for i, block in enumerate(self.blocks):
            tokens = self._run(block, tokens, self.config.grid, visible_index)
            if i in layers:
                after[i] = tokens
            if i in readers:
                seen = (tokens, self.config.grid, visible_index, looks)
                query = self._run(readers[i], query, *seen)
        return UniFormerOutput(
            pooled=self.pool(query, tokens), tokens=tokens, query=query, after=after
        )

    def changing(
        self, clip: Float[Tensor, "b c t h w"]
    ) -> tuple[Int64[Tensor, "b k"] | None, Float[Tensor, "b k"] | None]:
        """Find the places that are read of a whole clip, and how much each changes; None: all.

        Changes are shares of the most that a place of the clip changes; 1 where nothing does. An
        image has none.
        """
        config, is_image = self.config, clip.shape[2] == 1
        if not (config.num_varying if is_image else config.num_changing):
            return None, None
        change = (variation if is_image else changes)(clip, config.grid)
        count = config.num_places(clip.shape[2])
        places = change.topk(count, dim=1).indices.sort(dim=1).values
        if is_image:
            return places, None
        most = change.amax(1, keepdim=True)
        return places, torch.where(most > 0, change / most, 1).gather(1, places)

    def on_grid(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b slots n d"]:
        """Tokens of whole frames, class token first; zeros where nothing is read."""
        tokens, (places, _) = self(clip).tokens, self.changing(clip)
        if places is None:
            return tokens
        places = places.repeat_interleave(tokens.shape[1], dim=0)
        count = self.config.grid[0] * self.config.grid[1]
        patches = place_tokens(tokens[:, :, 1:].flatten(0, 1), places, count)
        return torch.cat([tokens[:, :, :1], patches.unflatten(0, tokens.shape[:2])], dim=2)

    def embed(
        self,
        clip: Float[Tensor, "b c t h w"],
        visible_index: Int64[Tensor, "b k"] | None = None,
        change: Float[Tensor, "b k"] | None = None,
    ) -> tuple[Float[Tensor, "b slots n d"], Float[Tensor, "b slots n d"] | None]:
        """Turn the visible patches into tokens, after the class token of their frame, and looks.

        Looks, with `global_looks`, are the patches of their own frame alone, without positions, and
        first, where class tokens are, their maximum.
        Arguments are as in `forward`; `change` is of the visible places, as from `changing`.
        """
        config, kernel = self.config, self.config.time_kernel
        if clip.shape[3:] != (config.side_px, config.side_px):
            raise ConfigError(
                f"clip has frames of {tuple(clip.shape[3:])} pixels, this tower was made for "
                f"{config.side_px} x {config.side_px}; resize the frames or the position table"
            )
        h, w = config.grid
        clip = clip if self.stem is None else self.stem(clip)
        pixels = rearrange(clip, "b c t (h dh) (w dw) -> b t (h w) (c dh dw)", h=h, w=w)
        positions = self.positions[1:]
        if visible_index is not None:
            where = visible_index[:, None, :, None].expand(-1, pixels.shape[1], -1, pixels.shape[3])
            pixels = pixels.gather(2, where)
            positions = positions[visible_index][:, None]
        if kernel > 1:
            margin = kernel // 2
            pixels = F.pad(pixels, (0, 0, 0, 0, margin, margin)).unfold(1, kernel, 2).flatten(3)
        weight = self.patch_embed.weight
        is_split = config.time_differences and clip.shape[2] > 1
        kernels = _own_and_differences(weight) if is_split else (weight,)
        parts = [F.linear(pixels, rearrange(k, "d c dt dh dw -> d (c dh dw dt)")) for k in kernels]
        own, contents = parts[0], sum(parts[1:], start=parts[0])
        if change is not None:
            change = change[:, None, :, None]
            blank = change < config.least_change
            own, contents = own.masked_fill(blank, 0), contents.masked_fill(blank, 0)
            leasts = (max(config.least_change, config.least_acting), config.least_change)
            parts = [
                part.masked_fill(change < least, -torch.inf)
                for part, least in zip(parts, leasts, strict=False)
            ]
        patches = contents + positions
        classes = (self.class_token + self.positions[0]).expand(*patches.shape[:2], 1, -1)
        if self.stem is not None:
            classes = sum((part.amax(2, keepdim=True) for part in parts), start=classes)
        tokens = self.norm_pre(torch.cat([classes.to(patches.dtype), patches], dim=2))
        if not config.global_looks:
            return tokens, None
        return tokens, torch.cat([parts[0].amax(2, keepdim=True), own], dim=2)

    def pool(
        self, query: Float[Tensor, "b d"] | None, tokens: Float[Tensor, "b t n d"]
    ) -> Float[Tensor, "b d"]:
        """Weigh the query against the mean class token of the frames, channel by channel."""
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


def _own_and_differences(
    kernels: Float[Tensor, "d c dt dh dw"],
) -> tuple[Float[Tensor, "d c dt dh dw"], Float[Tensor, "d c dt dh dw"]]:
    """Split kernels of frames: what reads the middle one, and what reads differences to it."""
    number = torch.arange(kernels.shape[2], device=kernels.device)
    is_own = (number == kernels.shape[2] // 2)[:, None, None]
    own = kernels * is_own
    others = kernels - own
    return own, others - others.sum(2, keepdim=True) * is_own


def _backbone_block(config: UniFormerConfig, drop_path: float) -> BackboneBlock:
    width = config.width
    reduced_width = int(width // config.local_reduction)
    local1, local2 = (
        LocalBranch(
            width,
            reduced_width,
            norm=config.local_norm,
            in_space=config.local_in_space,
            norm_eps=config.norm_eps,
        )
        if config.num_local > i
        else None
        for i in range(2)
    )
    return BackboneBlock(
        width,
        config.num_heads,
        hidden_width(width, config.mlp_ratio),
        local1=local1,
        local2=local2,
        activation=config.activation,
        drop_path=drop_path,
        norm_eps=config.norm_eps,
    )
