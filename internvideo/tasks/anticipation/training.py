"""Training an anticipator on annotated frames, from encoder A.

Source: `modeling_finetune_sta.py` and `VIT3D.yaml` of ego4d-eccv2022-solutions.
Differs: true boxes alone are learned from, each moved by a draw of its own; the released code adds
detected ones, of which those that match nothing have no verb and no time to learn.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from internvideo.data import (
    NextObjectTargets,
    OpenedData,
    RunContext,
    Targets,
    VideoData,
    jitter_boxes,
)
from internvideo.errors import ConfigError, DecodeError
from internvideo.heads import Anticipator, AnticipatorConfig, anticipation_losses
from internvideo.metrics import anticipation_map
from internvideo.models import MaskedEncoderConfig, encoder_macs, training_flops
from internvideo.tasks.anticipation.model import AnticipationModel
from internvideo.tasks.anticipation.result import (
    at_annotated_frames,
    found_objects,
    true_objects,
)
from internvideo.tasks.shared.initialisation import InitialWeights, read_initial_weights
from internvideo.training import gather_objects
from internvideo.values import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Annotations,
    ClipBatch,
    Preprocessing,
    TokenGrid,
)
from internvideo.weights import initialise_classifier

logger = logging.getLogger(__name__)

_NEW = r"^(token_norm|head|contact)\."


@dataclass(frozen=True, kw_only=True, slots=True)
class AnticipationTraining:
    """What is trained, and from where: a run or checkpoint of encoder A, or released weights."""

    model_kind: ClassVar[str] = "anticipator"
    loss_weights: ClassVar[Mapping[str, float]] = {"verb": 1.0, "contact": 1.0}

    kind: Literal["anticipation"] = "anticipation"
    model: AnticipatorConfig = field(default_factory=AnticipatorConfig)
    initial_weights: str | None = None
    jitter: bool = True

    @property
    def grid(self) -> TokenGrid:
        """Tokens of a training clip."""
        return self._encoder.grid

    @property
    def training_flops_per_clip(self) -> float:
        return float(training_flops(encoder_macs(self._encoder)))

    @property
    def targets(self) -> Targets:
        """Boxes in fractions of the crop, with their verbs and times."""
        return NextObjectTargets(num_nouns=self.model.num_nouns).targets()

    @property
    def model_config(self) -> AnticipatorConfig:
        """What is saved; `model_kind` is its name."""
        return self.model

    @property
    def num_parameters(self) -> int:
        with torch.device("meta"):
            model = Anticipator(self.model)
        return sum(parameter.numel() for parameter in model.parameters())

    @property
    def _encoder(self) -> MaskedEncoderConfig:
        network = self.model.detector.network
        assert isinstance(network, MaskedEncoderConfig)
        return network

    def arrange(self, annotations: Annotations, data: VideoData) -> Annotations:
        """The same records, with the annotated frame as key frame, which their clips end with."""
        return at_annotated_frames(annotations)

    def preprocessing(self, data: VideoData) -> Preprocessing:
        """How the model sees clips."""
        return data.preprocessing(
            num_frames=self._encoder.num_frames,
            side_px=self._encoder.side_px,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            rate_fps=data.clip_rate_fps,
        )

    def read_initial_weights(self) -> InitialWeights | None:
        """What to start from, read before any video is opened."""
        if self.initial_weights is None:
            return None
        return read_initial_weights(Path(self.initial_weights), self.model.detector)

    def build(
        self, data: OpenedData, initial: InitialWeights | None, context: RunContext
    ) -> AnticipationObjective:
        """Check the names, and make the network and its losses."""
        return AnticipationObjective(self, data, initial, context)


class AnticipationObjective:
    """An anticipator, its losses, and top-5 mAP on the true boxes of held-back frames."""

    def __init__(
        self,
        config: AnticipationTraining,
        data: OpenedData,
        initial: InitialWeights | None,
        context: RunContext,
    ) -> None:
        self.config, self.classes, self._share = config, data.classes, context.share
        held_out = data.held_out.dataset
        self._held_out, self._device = held_out.records, context.device
        self._preprocessing = config.preprocessing(held_out.config)
        if len(self.classes) != config.model.num_classes:
            raise ConfigError(
                f"the data have {len(self.classes)} nouns and verbs; model.num_nouns is "
                f"{config.model.num_nouns} and model.detector.num_classes, the verbs, "
                f"{config.model.detector.num_classes}: set stage.model.num_nouns and "
                "stage.model.detector.num_classes to those of the data"
            )
        self.model = Anticipator(config.model)
        self._start: dict[str, Any] = {"weights": None}
        if initial is not None:
            weights = dict(initial.weights)
            if tuple(initial.documents.get("labels") or ()) != self.classes:
                weights = {n: v for n, v in weights.items() if not n.startswith("head.")}
            report = initialise_classifier(self.model, weights, new=_NEW)
            self._start = {
                "weights": str(initial.path),
                "new": report.new,
                "unused": report.unused,
            }
        self.model.to(context.device)

    def losses(
        self,
        clip: Float[Tensor, "b c t h w"],
        batch: ClipBatch,
        generator: torch.Generator,
        *,
        epoch: float,
        num_epochs: float,
    ) -> dict[str, Tensor]:
        """Losses of all boxes, as `verb` and `contact`."""
        there = ~batch.targets["boxes_padded"]
        boxes = batch.targets["boxes"]
        if self.config.jitter:
            boxes = torch.stack(
                [
                    jitter_boxes(of_clip, torch.Generator().manual_seed(int(seed)))
                    for of_clip, seed in zip(boxes, batch.seeds, strict=True)
                ]
            )
        side_px = clip.new_tensor([clip.shape[4], clip.shape[3]] * 2)
        clip_of_box = there.nonzero()[:, 0]
        logits, contact_s = self.model.anticipate(clip, boxes[there] * side_px, clip_of_box)
        verbs, true_s = batch.targets["verbs"][there], batch.targets["contact_s"][there]
        return anticipation_losses(logits, contact_s, verbs, true_s)

    def evaluate(self, batches: Iterable[Any]) -> dict[str, float]:
        """Top-5 mAP with true boxes; each rank sees a part of the frames."""
        model = AnticipationModel(self.model, self.classes, self._preprocessing)
        was_training = self.model.training
        self.model.eval()
        mine = []
        with torch.autocast(self._device.type, enabled=False):
            for record in self._held_out[self._share.index :: self._share.count]:
                assert record.key_s is not None
                boxes = torch.tensor([box.xyxy for box in record.boxes]).reshape(-1, 4)
                try:
                    said = model.anticipate(record, record.key_s, boxes)
                except DecodeError as error:
                    logger.warning("is left out: %s", error)
                    continue
                nouns = [box.labels[0] for box in record.boxes]
                found = found_objects(said, boxes, nouns, torch.ones(len(boxes)))
                true = true_objects(record, said.size_px, num_nouns=len(model.nouns))
                mine.append((true, found))
        self.model.train(was_training)
        every = [pair for rank in gather_objects(mine) for pair in rank]
        scores = anticipation_map([true for true, _ in every], [found for _, found in every])
        return {
            **{f"map/{name}": value for name, value in scores.items()},
            "frames": float(len(every)),
        }

    def documents(self) -> dict[str, Any]:
        return {"labels": list(self.classes), "start": self._start}
