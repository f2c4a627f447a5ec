"""Spatiotemporal localization: what each person in a box does, on any of the encoders.

Source: `modeling_finetune.py` of Spatial-Temporal-Action-Localization in the InternVideo release
(after AlphAction): normed tokens back on their grid, mean over time, RoIAlign, maximum over its
bins, linear or ACAR head.
Shapes: clip (b, c, t, h, w), normalised, of any sides that patches divide; boxes (s, 4) `xyxy` in
its pixels, of all clips together -> logits (s, y), one sigmoid a class.
Differs from the released code: boxes are enlarged only where asked (there always in evaluation).
The release has encoder A alone. B and the coordinated pair see whole frames squeezed to their
square, and boxes with them; their tokens have a norm of their own before they are pooled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float, Int64
from pydantic import Discriminator, Tag
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.heads.actor_context import ActorContextHead
from internvideo.heads.coordinated import CoordinatedClassifier, CoordinatedClassifierConfig
from internvideo.models import (
    MaskedEncoder,
    MaskedEncoderConfig,
    UniFormer,
    UniFormerConfig,
    resize_positions,
    roi_align,
)
from internvideo.tiny import (
    MaskedFrontEndConfig,
    UniFormerFrontEndConfig,
    build_masked_encoder,
    build_uniformer,
)
from internvideo.values import TokenGrid

_BINS = 7  # of RoIAlign, along each side


def _family(encoder: Any) -> str:
    """Tell the three kinds of encoder apart, also as JSON values."""
    if isinstance(encoder, Mapping):
        return "pair" if "masked" in encoder else "masked" if "tubelet" in encoder else "uniformer"
    if isinstance(encoder, CoordinatedClassifierConfig):
        return "pair"
    return "masked" if isinstance(encoder, MaskedEncoderConfig) else "uniformer"


AnyEncoder = Annotated[
    Annotated[MaskedEncoderConfig, Tag("masked")]
    | Annotated[UniFormerConfig, Tag("uniformer")]
    | Annotated[CoordinatedClassifierConfig, Tag("pair")],
    Discriminator(_family),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionDetectorConfig:
    """An encoder with a head on boxes; the defaults are AVA's on encoder A.

    `encoder` is A's, B's or that of a coordinated pair, whose clips are in [0, 1]. At test time
    whole frames have the short side `test_side_px`, as far as the encoder takes other sides.
    """

    encoder: AnyEncoder = field(default_factory=MaskedEncoderConfig)
    front_end: MaskedFrontEndConfig | UniFormerFrontEndConfig | None = None  # of tiny encoders
    num_classes: int = 80
    head: Literal["linear", "acar"] = "linear"
    test_side_px: int = 256

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise ConfigError(f"num_classes is {self.num_classes}; a detector has one or more")
        if self.test_side_px < 1:
            raise ConfigError(f"test_side_px is {self.test_side_px}; give a size in pixels")
        encoder, front_end = self.encoder, self.front_end
        if front_end is not None:
            kinds = {"masked": MaskedFrontEndConfig, "uniformer": UniFormerFrontEndConfig}
            if not isinstance(front_end, kinds.get(_family(encoder), ())):
                raise ConfigError(
                    f"front_end {front_end.kind!r} is not for {type(encoder).__name__}; set it to "
                    "none"
                )
            front_end.check(encoder)  # pyrefly: ignore[bad-argument-type]
            for name in ("num_salient_tubelets", "num_salient_patches"):
                if getattr(front_end, name, 0):
                    raise ConfigError(f"boxes are pooled from all of a frame; set {name}=0")
        if isinstance(encoder, MaskedEncoderConfig):
            if not encoder.final_norm:
                raise ConfigError(
                    "the encoder of an action detector norms its tokens: set "
                    "encoder.final_norm=true"
                )
            if encoder.tubelet.height != encoder.tubelet.width:
                raise ConfigError(
                    f"tubelet {encoder.tubelet} is not square, and boxes are pooled by one scale"
                )

    @property
    def network(self) -> MaskedEncoderConfig | UniFormerConfig:
        """The encoder whose tokens are pooled: of a pair, A."""
        if isinstance(self.encoder, CoordinatedClassifierConfig):
            return self.encoder.encoders[0]
        return self.encoder

    @property
    def patch_px(self) -> int:
        """Side of a cell of the feature map, in pixels."""
        network = self.network
        return network.patch_px if isinstance(network, UniFormerConfig) else network.tubelet.height

    @property
    def square_px(self) -> int | None:
        """Side of the square that frames are squeezed to; None where they may have any sides."""
        any_sides = isinstance(self.encoder, MaskedEncoderConfig)
        return None if any_sides else self.network.side_px


class ActionDetector(nn.Module):
    """See the top of this file."""

    def __init__(self, config: ActionDetectorConfig) -> None:
        super().__init__()
        self.config = config
        encoder, front_end, width = config.encoder, config.front_end, config.network.width
        self.token_norm: nn.Module = nn.Identity()
        if isinstance(encoder, MaskedEncoderConfig):
            self.encoder: nn.Module = build_masked_encoder(encoder, front_end)  # pyrefly: ignore
        else:
            if isinstance(encoder, UniFormerConfig):
                self.encoder = build_uniformer(encoder, front_end)  # pyrefly: ignore
                _freeze_readers(self.encoder)
            else:
                self.encoder = CoordinatedClassifier(encoder)
                _freeze_classifiers(self.encoder)
            self.token_norm = nn.LayerNorm(width, eps=config.network.norm_eps)
        self.head: nn.Module
        if config.head == "acar":
            self.head = ActorContextHead(width, config.num_classes)
        else:
            self.head = nn.Linear(width, config.num_classes)
            nn.init.trunc_normal_(self.head.weight, std=0.02, a=-0.04, b=0.04)
            nn.init.zeros_(self.head.bias)

    def forward(
        self,
        clip: Float[Tensor, "b c t h w"],
        boxes: Float[Tensor, "s 4"],
        clip_of_box: Int64[Tensor, " s"],
    ) -> Float[Tensor, "s y"]:
        """Score what happens in each box; `clip_of_box` says of which clip it is."""
        maps = self.feature_map(clip)
        if (side_px := self.config.square_px) is not None:
            height, width = clip.shape[3:]
            boxes = boxes * boxes.new_tensor([side_px / width, side_px / height] * 2)
        actors = self.actor_features(maps, boxes, clip_of_box)
        if isinstance(self.head, ActorContextHead):
            return self.head(actors, maps, clip_of_box)
        return self.head(actors)

    def feature_map(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Mean of normed tokens over time, one for every patch of a frame.

        Encoder A's position table is resized, bicubically within each temporal slot, where the clip
        is of other sides than the table.

        Raises:
            ConfigError: The clip has other frames than the encoder, or its sides do not divide.
        """
        encoder = self.encoder
        if isinstance(encoder, MaskedEncoder):
            tokens, grid = self._tokens_of_a(encoder, clip)
            return reduce(tokens, "b (t h w) d -> b d h w", "mean", t=grid.time, h=grid.height)
        clip = _squeezed(clip, self.config.network.side_px)
        if isinstance(encoder, UniFormer):
            last = encoder.config.depth - 1
            after, _ = encoder.backbone(clip, {last})
            tokens = self.token_norm(after[last][:, :, 1:])
            return reduce(tokens, "b t (h w) d -> b d h w", "mean", h=encoder.config.grid[0])
        assert isinstance(encoder, CoordinatedClassifier)
        read = encoder.coordinated_features(encoder.read(clip))
        tokens, grid = self.token_norm(read.tokens), read.grid
        return reduce(tokens, "b (t h w) d -> b d h w", "mean", t=grid.time, h=grid.height)

    def _tokens_of_a(
        self, encoder: MaskedEncoder, clip: Float[Tensor, "b c t h w"]
    ) -> tuple[Float[Tensor, "b n d"], TokenGrid]:
        config = encoder.config
        frames, height, width = clip.shape[2:]
        if (
            frames != config.num_frames
            or height % self.config.patch_px
            or width % self.config.patch_px
        ):
            raise ConfigError(
                f"a clip of {frames} frames of {height} x {width} px; expected "
                f"{config.num_frames} frames and sides that are multiples of {self.config.patch_px}"
            )
        grid = TokenGrid(
            time=config.grid.time,
            height=height // self.config.patch_px,
            width=width // self.config.patch_px,
        )
        positions = resize_positions(encoder.pos_embed[0], config.grid, grid)
        patches, _ = encoder.patch_embed.select_tubelets(clip)
        return encoder.encode_patches(patches, positions=positions), grid

    def actor_features(
        self,
        maps: Float[Tensor, "b d h2 w2"],
        boxes: Float[Tensor, "s 4"],
        clip_of_box: Int64[Tensor, " s"],
    ) -> Float[Tensor, "s d"]:
        """Maximum over the bins of RoIAlign, for each box."""
        scale = 1 / self.config.patch_px
        bins = roi_align(maps, boxes, clip_of_box, resolution=_BINS, scale=scale)
        return rearrange(bins, "s d p q -> s d (p q)").amax(2)


def detection_loss(
    logits: Float[Tensor, "s y"],
    labels: Float[Tensor, "s y"],
    *,
    num_clips: int,
    reduction: Literal["mean", "per-clip", "per-box"] = "per-box",
) -> Float[Tensor, ""]:
    """Binary cross-entropy over all boxes and classes.

    Args:
        logits: Of all boxes of a batch.
        labels: Multi-hot.
        num_clips: Clips of the batch.
        reduction: "per-box" multiplies the mean by the number of boxes, as released: the sum over
            boxes of each one's mean over classes, so that the gradient grows with the batch;
            "per-clip" by the number of clips; "mean" by nothing.

    Returns:
        The loss; 0 without a box.
    """
    if not len(logits):
        return logits.sum()
    mean = F.binary_cross_entropy_with_logits(logits.float(), labels.float())
    return mean * {"mean": 1, "per-clip": num_clips, "per-box": len(logits)}[reduction]


def _squeezed(clip: Float[Tensor, "b c t h w"], side_px: int) -> Float[Tensor, "b c t s s"]:
    if clip.shape[3:] == (side_px, side_px):
        return clip
    frames = rearrange(clip, "b c t h w -> (b t) c h w")
    frames = F.interpolate(frames, size=(side_px, side_px), mode="bilinear", antialias=True)
    return rearrange(frames, "(b t) c h w -> b c t h w", b=len(clip))


def _freeze_readers(encoder: nn.Module) -> None:
    """What pools B's tokens to one vector plays no part here."""
    for name, parameter in encoder.named_parameters():
        if name.startswith("global_blocks.") or name in ("query_token", "balance"):
            parameter.requires_grad_(False)


def _freeze_classifiers(pair: CoordinatedClassifier) -> None:
    """Of a pair only the modules that A's tokens read B's through are trained."""
    for name, parameter in pair.named_parameters():
        if not name.startswith("coordination.") or "reversed_module" in name:
            parameter.requires_grad_(False)
