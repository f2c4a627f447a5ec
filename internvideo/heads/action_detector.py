"""Spatiotemporal localization on encoder A: what each person in a box does.

Source: `modeling_finetune.py` of Spatial-Temporal-Action-Localization in the InternVideo release
(after AlphAction): normed tokens back on their grid, mean over time, RoIAlign, maximum over its
bins, linear or ACAR head.
Shapes: clip (b, c, t, h, w), normalised, of any sides that patches divide; boxes (s, 4) `xyxy` in
its pixels, of all clips together -> logits (s, y), one sigmoid a class.
Differs from the released code: boxes are enlarged only where asked (there always in evaluation).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float, Int64
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.heads.actor_context import ActorContextHead
from internvideo.models import (
    MaskedEncoder,
    MaskedEncoderConfig,
    patchify,
    resize_positions,
    roi_align,
)
from internvideo.values import TokenGrid

_BINS = 7  # of RoIAlign, along each side


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionDetectorConfig:
    """Encoder A with a head on boxes; the defaults are AVA's."""

    encoder: MaskedEncoderConfig = field(default_factory=MaskedEncoderConfig)
    num_classes: int = 80
    head: Literal["linear", "acar"] = "linear"

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise ConfigError(f"num_classes is {self.num_classes}; a detector has one or more")
        if not self.encoder.final_norm:
            raise ConfigError(
                "the encoder of an action detector norms its tokens: set encoder.final_norm=true"
            )
        if self.encoder.tubelet.height != self.encoder.tubelet.width:
            raise ConfigError(
                f"tubelet {self.encoder.tubelet} is not square, and boxes are pooled by one scale"
            )


class ActionDetector(nn.Module):
    """See the top of this file."""

    def __init__(self, config: ActionDetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = MaskedEncoder(config.encoder)
        width = config.encoder.width
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
        actors = self.actor_features(maps, boxes, clip_of_box)
        if isinstance(self.head, ActorContextHead):
            return self.head(actors, maps, clip_of_box)
        return self.head(actors)

    def feature_map(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Mean of normed tokens over time, one for every patch of a frame.

        The position table is resized, bicubically within each temporal slot, where the clip is of
        other sides than the table.

        Raises:
            ConfigError: The clip has other frames than the encoder, or its sides do not divide.
        """
        encoder, tubelet = self.config.encoder, self.config.encoder.tubelet
        frames, height, width = clip.shape[2:]
        if frames != encoder.num_frames or height % tubelet.height or width % tubelet.width:
            raise ConfigError(
                f"a clip of {frames} frames of {height} x {width} px; expected "
                f"{encoder.num_frames} frames and sides that are multiples of {tubelet.height}"
            )
        grid = TokenGrid(
            time=encoder.grid.time, height=height // tubelet.height, width=width // tubelet.width
        )
        positions = resize_positions(self.encoder.pos_embed[0], encoder.grid, grid)
        tokens = self.encoder.encode_patches(patchify(clip, tubelet), positions=positions)
        return reduce(tokens, "b (t h w) d -> b d h w", "mean", t=grid.time, h=grid.height)

    def actor_features(
        self,
        maps: Float[Tensor, "b d h2 w2"],
        boxes: Float[Tensor, "s 4"],
        clip_of_box: Int64[Tensor, " s"],
    ) -> Float[Tensor, "s d"]:
        """Maximum over the bins of RoIAlign, for each box."""
        scale = 1 / self.config.encoder.tubelet.height
        bins = roi_align(maps, boxes, clip_of_box, resolution=_BINS, scale=scale)
        return rearrange(bins, "s d p q -> s d (p q)").amax(2)


def detection_loss(
    logits: Float[Tensor, "s y"],
    labels: Float[Tensor, "s y"],
    *,
    num_clips: int,
    reduction: Literal["mean", "per-clip"] = "per-clip",
) -> Float[Tensor, ""]:
    """Binary cross-entropy over all boxes and classes.

    Args:
        logits: Of all boxes of a batch.
        labels: Multi-hot.
        num_clips: Clips of the batch.
        reduction: "per-clip" multiplies the mean by the number of clips, as released, so that the
            gradient grows with the batch; "mean" does not.
    """
    mean = F.binary_cross_entropy_with_logits(logits.float(), labels.float())
    return mean * num_clips if reduction == "per-clip" else mean
