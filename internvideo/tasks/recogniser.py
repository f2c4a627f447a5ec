"""A classifier as tasks use it: frames in, logits over named classes out.

Shapes: frames (b, t, h, w, 3) uint8 -> logits (b, y).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.tasks.embedding import Viewer
from internvideo.values import IMAGENET_MEAN, IMAGENET_STD
from internvideo.video.transforms import normalise


@runtime_checkable
class Recogniser(Viewer, Protocol):
    """A model that scores clips by its own classes."""

    @property
    def classes(self) -> tuple[str, ...]: ...
    def classify_clips(self, frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b y"]: ...


class RecognitionModel:
    """A `Recogniser` from any network whose forward gives logits for (b, c, t, h, w).

    `sampling`, `stride_frames` and `crop` say how the network is used to seeing a video (the words
    of `Viewing`); `mean` and `std` are what was subtracted from its pixels and divided by.
    """

    def __init__(
        self,
        model: nn.Module,
        classes: Sequence[str],
        *,
        num_frames: int,
        side_px: int,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        sampling: Literal["dense", "segments"] = "dense",
        stride_frames: int = 4,
        crop: float = 1.0,
    ) -> None:
        self.model, self.classes = model.eval(), tuple(classes)
        self.num_frames, self.side_px = num_frames, side_px
        self.mean, self.std = mean, std
        self.sampling: Literal["dense", "segments"] = sampling
        self.stride_frames, self.crop = stride_frames, crop

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def normalised(self, frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b 3 t h w"]:
        """What the network receives, on its device."""
        return normalise(frames.to(self.device), mean=self.mean, std=self.std)

    @torch.no_grad()
    def classify_clips(self, frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b y"]:
        """Score clips; raises `ConfigError` where the network has not one row for each class."""
        logits = self.model(self.normalised(frames)).float()
        if logits.shape[1] != len(self.classes):
            raise ConfigError(
                f"the network gives {logits.shape[1]} scores for {len(self.classes)} classes; "
                "give it the class names that it was trained with"
            )
        return logits
