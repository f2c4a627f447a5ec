"""Training a network to forecast hands: an encoder with a linear head of twenty numbers.

Source: `ego4d_hands.py` of OpenGVLab/ego4d-eccv2022-solutions: five moments, two hands, x and y,
smooth L1 over the hands that are visible. `internvideo/stages/finetune.py` drives it.
Shapes: hands (b, 5, 2, 2) in fractions of the view, the middle of which is the network's zero.
Differs from the released code: hands move with the crop and, in a mirrored view, change sides,
where there they stay as annotated; one that the crop cuts off is not trained on; the encoder is A
or B instead of UniFormer-B.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from internvideo.data import OpenedData, RunContext, Targets, VideoData
from internvideo.data.annotations.ego4d import HAND_MOMENTS, HANDS
from internvideo.errors import ConfigError
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.metrics import hand_displacement
from internvideo.models import UniFormerConfig, encoder_macs, training_flops
from internvideo.tasks.shared.initialisation import (
    InitialWeights,
    initialise_by_class,
    read_initial_weights,
)
from internvideo.tiny import front_end_macs
from internvideo.training import gather_objects
from internvideo.values import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ClipBatch,
    Preprocessing,
    Record,
    TokenGrid,
    View,
)
from internvideo.video.transforms import CLIP_MEAN, CLIP_STD

logger = logging.getLogger(__name__)

NUM_OUTPUTS = 2 * len(HAND_MOMENTS) * len(HANDS)


@dataclass(frozen=True, kw_only=True, slots=True)
class HandTargets:
    """Hands of a record as `hands` (5, 2, 2) in fractions of its view, and the view's `crop` (4).

    `annotated` (5, 2) are those that have a point, `visible` those of them inside the view.
    """

    def __call__(self, record: Record, view: View) -> dict[str, Tensor]:
        points, annotated = hands_of(record)
        left, top, right, bottom = view.crop_xyxy
        points = (points - torch.tensor([left, top])) / torch.tensor([right - left, bottom - top])
        if view.mirrored:  # a left hand looks like a right one then
            points = torch.stack([1 - points[..., 0], points[..., 1]], dim=-1).flip(1)
            annotated = annotated.flip(1)
        return {
            "hands": points,
            "annotated": annotated,
            "visible": annotated & ((points >= 0) & (points <= 1)).all(-1),
            "crop": torch.tensor(view.crop_xyxy),
        }


def hands_of(record: Record) -> tuple[Float[Tensor, "5 2 2"], Bool[Tensor, "5 2"]]:
    """Points in fractions of the frame, and which of them are annotated."""
    points = torch.zeros(len(HAND_MOMENTS), len(HANDS), 2)
    annotated = torch.zeros(len(HAND_MOMENTS), len(HANDS), dtype=torch.bool)
    for box in record.boxes:
        if len(box.labels) != 1 or box.actor is None or box.labels[0] >= len(HAND_MOMENTS):
            raise ConfigError(
                f"{record.video}: has boxes that are no hands; read it with ego4d-hands"
            )
        points[box.labels[0], box.actor] = torch.tensor(box.xyxy[:2])
        annotated[box.labels[0], box.actor] = True
    return points, annotated


def in_frame(
    points: Float[Tensor, "b 5 2 2"], crop: Float[Tensor, "b 4"]
) -> Float[Tensor, "b 5 2 2"]:
    """Move points from fractions of the view to fractions of the frame."""
    corner, end = crop[:, None, None, :2], crop[:, None, None, 2:]
    return corner + points * (end - corner)


def forecast(model: VideoClassifier, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b 5 2 2"]:
    """Where a network sees the hands to come, in fractions of the view."""
    found = model(clip).float()
    return 0.5 + rearrange(found, "b (m hand xy) -> b m hand xy", hand=len(HANDS), xy=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class HandForecastingTraining:
    """What is trained, and from where; the defaults are ViT-B's.

    `initial_weights` is a run or checkpoint of ours, a saved model or a file of released weights.
    The loss is a smooth L1 that turns straight at `beta_px` pixels of the view. Distances are
    counted in frames of `frame_px` (width, height).
    """

    model_kind: ClassVar[str] = "video-classifier"
    loss_weights: ClassVar[Mapping[str, float]] = {"hands": 1.0}

    kind: Literal["hand-forecasting"] = "hand-forecasting"
    model: VideoClassifierConfig = field(
        default_factory=lambda: VideoClassifierConfig(num_classes=NUM_OUTPUTS)
    )
    num_frames: int | None = None  # of encoder B's clips, 8 without; A's are in its configuration
    initial_weights: str | None = None
    beta_px: float = 5.0
    frame_px: tuple[int, int] = (1920, 1440)

    def __post_init__(self) -> None:
        if self.model.num_classes != NUM_OUTPUTS:
            raise ConfigError(
                f"model.num_classes is {self.model.num_classes}; two hands at five moments are "
                f"{NUM_OUTPUTS} numbers"
            )
        if self.num_frames is not None and not self._is_b:
            raise ConfigError("num_frames of the stage is for encoder B; set that of model.encoder")
        if self.beta_px <= 0 or min(self.frame_px) < 1 or (self.num_frames or 1) < 1:
            raise ConfigError("beta_px, frame_px and num_frames are positive")

    @property
    def _is_b(self) -> bool:
        return isinstance(self.model.encoder, UniFormerConfig)

    @property
    def clip_frames(self) -> int:
        """Frames of a clip."""
        encoder = self.model.encoder
        return (
            (self.num_frames or 8) if isinstance(encoder, UniFormerConfig) else encoder.num_frames
        )

    @property
    def grid(self) -> TokenGrid:
        """Tokens of a clip."""
        encoder = self.model.encoder
        if not isinstance(encoder, UniFormerConfig):
            return encoder.grid
        height, width = encoder.grid
        return TokenGrid(time=encoder.num_slots(self.clip_frames), height=height, width=width)

    @property
    def training_flops_per_clip(self) -> float:
        encoder = self.model.encoder
        macs = (
            front_end_macs(encoder, self.model.front_end, self.clip_frames)
            if isinstance(encoder, UniFormerConfig)
            else encoder_macs(encoder, self.model.num_salient_tubelets or None)
        )
        return float(training_flops(macs))

    @property
    def targets(self) -> Targets:
        return Targets(make=HandTargets())

    @property
    def model_config(self) -> VideoClassifierConfig:
        """What is saved; `model_kind` is its name."""
        return self.model

    @property
    def num_parameters(self) -> int:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in VideoClassifier(self.model).parameters())

    def preprocessing(self, data: VideoData) -> Preprocessing:
        """How the model sees clips, in training and afterwards."""
        mean, std = (CLIP_MEAN, CLIP_STD) if self._is_b else (IMAGENET_MEAN, IMAGENET_STD)
        side_px = self.model.encoder.side_px
        return data.preprocessing(num_frames=self.clip_frames, side_px=side_px, mean=mean, std=std)

    def read_initial_weights(self) -> InitialWeights | None:
        """What to start from, read before any video is opened."""
        if self.initial_weights is None:
            return None
        return read_initial_weights(Path(self.initial_weights), self.model)

    def build(
        self, data: OpenedData, initial: InitialWeights | None, context: RunContext
    ) -> HandObjective:
        """Make the network and its loss."""
        return HandObjective(self, data, initial, context.device)


class HandObjective:
    """A network with the loss of its forecasts, and their distances on held-back clips."""

    def __init__(
        self,
        config: HandForecastingTraining,
        data: OpenedData,
        initial: InitialWeights | None,
        device: torch.device,
    ) -> None:
        self.config = config
        self._num_held_out = len(data.held_out.dataset.records)
        self.model = VideoClassifier(config.model)
        self._start: dict[str, Any] = {"weights": None}
        if initial is not None:
            weights = {n: v for n, v in initial.weights.items() if not n.startswith("head.")}
            headless = InitialWeights(path=initial.path, weights=weights, documents={})
            report = initialise_by_class(self.model, headless, ())
            self._start = {"weights": str(initial.path), "new": report.new, "unused": report.unused}
        self.model.to(device)

    def losses(
        self,
        clip: Float[Tensor, "b c t h w"],
        batch: ClipBatch,
        generator: torch.Generator,
        *,
        epoch: float,
        num_epochs: float,
    ) -> dict[str, Tensor]:
        """Smooth L1 of visible hands, in pixels of the view, as `hands`."""
        side_px, visible = clip.shape[-1], batch.targets["visible"]
        found = forecast(self.model, clip) * side_px
        loss = F.smooth_l1_loss(
            found, batch.targets["hands"] * side_px, reduction="none", beta=self.config.beta_px
        )
        # A clip without any visible hand keeps the network in the graph.
        return {"hands": (loss.mean(-1) * visible).sum() / visible.sum().clamp(min=1)}

    def evaluate(
        self, batches: Iterable[tuple[Float[Tensor, "b c t h w"], ClipBatch, bool]]
    ) -> dict[str, float]:
        """Distances in pixels of the frame; `failed` counts clips that cannot be decoded."""
        mine = []
        for clip, batch, counted in batches:
            found = forecast(self.model, clip)
            if counted:
                hands, crop = batch.targets["hands"], batch.targets["crop"]
                rows = (in_frame(found, crop), in_frame(hands, crop), batch.targets["annotated"])
                mine.append(tuple(row.detach().cpu() for row in rows))
        every = [part for rank in gather_objects(mine) for part in rank]
        if not every:
            logger.warning("none of the held-back videos can be decoded: nothing is evaluated")
            return {"clips": 0.0}
        found, true, annotated = (torch.cat(parts) for parts in zip(*every, strict=True))
        size = torch.tensor(self.config.frame_px, dtype=torch.float32)
        scores = hand_displacement(found * size, true * size, annotated)
        lost = self._num_held_out - len(found)
        scores["clips"] = float(self._num_held_out)
        return scores if not lost else {**scores, "failed": float(lost)}

    def documents(self) -> dict[str, Any]:
        return {"start": self._start}
