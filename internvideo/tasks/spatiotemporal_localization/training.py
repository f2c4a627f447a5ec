"""Training an action detector on boxes at key frames, from any encoder.

Source: `run_class_finetuning.py`, `avatrain.sh` and `datasets.py` of
Spatial-Temporal-Action-Localization in the InternVideo release. `internvideo/stages/finetune.py`
drives it. What boxes are jittered by is drawn from each sample's own seed.
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
    BoxTargets,
    FoundBoxes,
    OpenedData,
    RunContext,
    Targets,
    VideoData,
    jitter_boxes,
)
from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import ActionDetector, ActionDetectorConfig, detection_loss
from internvideo.models import MaskedEncoderConfig, UniFormerConfig, encoder_macs, training_flops
from internvideo.tasks.shared.initialisation import InitialWeights, read_initial_weights
from internvideo.tasks.spatiotemporal_localization.model import BoxClassifier, score_moments
from internvideo.tasks.spatiotemporal_localization.result import (
    precision_of,
    scored_rows,
    truth_rows,
)
from internvideo.tiny import front_end_macs
from internvideo.training import gather_objects, load
from internvideo.training.optim import layer_index
from internvideo.values import ClipBatch, Preprocessing, Record, TokenGrid
from internvideo.weights import initialise_classifier, load_weights

logger = logging.getLogger(__name__)

Colour = tuple[float, float, float]

# Means of Caffe's ImageNet models in RGB order, and one deviation, as for AVA.
AVA_MEAN: Colour = (122.7717 / 255, 115.9465 / 255, 102.9801 / 255)
AVA_STD: Colour = (57.375 / 255,) * 3
_NEW = r"^(token_norm|head)\."


@dataclass(frozen=True, kw_only=True, slots=True)
class SpatiotemporalLocalizationTraining:
    """What is trained, and from where; the defaults are AVA's.

    `initial_weights` is a run or checkpoint, a saved model or a file of released weights: of a
    pretraining, a classifier, a coordination (for a pair), or a detector, whose head comes along
    where its classes are the same. With `trained` "head" the encoder is frozen, with "last" all
    but its `num_trained_blocks` last blocks. `reduction` is the form of the loss (see
    `heads.detection_loss`). With `jitter` true boxes are enlarged and shrunk at random. With
    `scored` only these classes count in the mAP of held-back key frames.
    """

    model_kind: ClassVar[str] = "action-detector"
    loss_weights: ClassVar[Mapping[str, float]] = {"actions": 1.0}

    kind: Literal["spatiotemporal-localization"] = "spatiotemporal-localization"
    model: ActionDetectorConfig = field(default_factory=ActionDetectorConfig)
    num_frames: int | None = None  # of encoder B's clips, 8 without; A's are in its configuration
    initial_weights: str | None = None
    trained: Literal["all", "head", "last"] = "all"
    num_trained_blocks: int = 1
    reduction: Literal["mean", "per-clip", "per-box"] = "per-box"
    jitter: bool = True
    scored: tuple[str, ...] = ()
    pixel_mean: Colour = AVA_MEAN
    pixel_std: Colour = AVA_STD

    def __post_init__(self) -> None:
        network = self.model.network
        if self.num_frames is not None and (
            not isinstance(network, UniFormerConfig) or self.num_frames < 1
        ):
            raise ConfigError(
                f"num_frames is {self.num_frames}; it is for encoder B alone, and 1 or more"
            )
        if not 1 <= self.num_trained_blocks <= network.depth:
            raise ConfigError(
                f"num_trained_blocks is {self.num_trained_blocks}; the encoder has {network.depth}"
            )
        if self.is_pair and self.trained == "last":
            raise ConfigError("of a coordinated pair all modules are trained, or the head alone")

    @property
    def is_pair(self) -> bool:
        return not isinstance(self.model.encoder, MaskedEncoderConfig | UniFormerConfig)

    @property
    def clip_frames(self) -> int:
        """Frames of a clip."""
        network = self.model.network
        if isinstance(network, UniFormerConfig):
            return self.num_frames or 8
        return network.num_frames

    @property
    def grid(self) -> TokenGrid:
        """Tokens of a training clip."""
        network = self.model.network
        if isinstance(network, MaskedEncoderConfig):
            return network.grid
        height, width = network.grid
        return TokenGrid(time=network.num_slots(self.clip_frames), height=height, width=width)

    @property
    def training_flops_per_clip(self) -> float:
        """Of training all blocks; frozen ones cost a third, a pair's encoder B is not counted."""
        network = self.model.network
        macs = (
            front_end_macs(network, self.model.front_end, self.clip_frames)  # pyrefly: ignore
            if isinstance(network, UniFormerConfig)
            else encoder_macs(network)
        )
        return float(training_flops(macs))

    @property
    def targets(self) -> Targets:
        """Boxes in fractions of the crop, with their classes."""
        return BoxTargets(num_classes=self.model.num_classes).targets()

    @property
    def model_config(self) -> ActionDetectorConfig:
        """What is saved; `model_kind` is its name."""
        return self.model

    @property
    def num_parameters(self) -> int:
        with torch.device("meta"):
            model = ActionDetector(self.model)
        return sum(parameter.numel() for parameter in model.parameters())

    def preprocessing(self, data: VideoData) -> Preprocessing:
        """How the model sees clips; those of a pair stay in [0, 1]."""
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        return data.preprocessing(
            num_frames=self.clip_frames,
            side_px=self.model.network.side_px,
            mean=mean if self.is_pair else self.pixel_mean,
            std=std if self.is_pair else self.pixel_std,
            rate_fps=data.clip_rate_fps,
        )

    def read_initial_weights(self) -> InitialWeights | None:
        """What to start from, read before any video is opened."""
        if self.initial_weights is None:
            return None
        path = Path(self.initial_weights)
        return _read_pair(path) if self.is_pair else read_initial_weights(path, self.model)

    def build(
        self, data: OpenedData, initial: InitialWeights | None, context: RunContext
    ) -> BoxObjective:
        """Check the classes, and make the detector and its loss."""
        return BoxObjective(self, data, initial, context)


class BoxObjective:
    """A detector, its binary loss, and mAP on the true boxes of held-back key frames."""

    def __init__(
        self,
        config: SpatiotemporalLocalizationTraining,
        data: OpenedData,
        initial: InitialWeights | None,
        context: RunContext,
    ) -> None:
        self.config, self.classes = config, data.classes
        held_out = data.held_out.dataset
        self._held_out, self._share = held_out.records, context.share
        self._device = context.device
        self._told: set[str] = set()  # failures that the log has already
        self._preprocessing = config.preprocessing(held_out.config)
        if len(self.classes) != config.model.num_classes:
            raise ConfigError(
                f"the data have {len(self.classes)} classes, model.num_classes is "
                f"{config.model.num_classes}; set stage.model.num_classes={len(self.classes)}"
            )
        for name in config.scored:
            if name not in self.classes:
                raise ConfigError(f"stage.scored names {name!r}, which is no class of the data")
        if not any(record.boxes for record in self._held_out):
            raise ConfigError("no key frame to evaluate on has a box; check data.eval_split")
        self.model = ActionDetector(config.model)
        self._start: dict[str, Any] = {"weights": None}
        if initial is not None:
            self._start = _initialise(self.model, initial, self.classes, is_pair=config.is_pair)
        _freeze(self.model, config)
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
        """The loss of the classes of all boxes, as `actions`."""
        boxes, labels, clip_of_box = self.boxes_of(batch, jitter=self.config.jitter)
        side_px = clip.new_tensor([clip.shape[4], clip.shape[3]] * 2)
        logits = self.model(clip, boxes * side_px, clip_of_box)
        loss = detection_loss(logits, labels, num_clips=len(clip), reduction=self.config.reduction)
        return {"actions": loss}

    def boxes_of(self, batch: ClipBatch, *, jitter: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes of a batch in fractions of the view, their classes, and which clip each is of."""
        there = ~batch.targets["boxes_padded"]
        boxes = batch.targets["boxes"]
        if jitter:
            moved = [
                jitter_boxes(of_clip, torch.Generator().manual_seed(int(seed)))
                for of_clip, seed in zip(boxes, batch.seeds, strict=True)
            ]
            boxes = torch.stack(moved)
        return boxes[there], batch.targets["labels"][there], there.nonzero()[:, 0]

    def evaluate(self, batches: Iterable[Any]) -> dict[str, float]:
        """mAP on true boxes in whole frames; each rank scores a part of the key frames."""
        model = BoxClassifier(self.model, self.classes, self._preprocessing)
        was_training = self.model.training
        self.model.eval()
        mine = self._held_out[self._share.index :: self._share.count]
        parts = []
        with torch.autocast(self._device.type, enabled=False):
            for records in _by_video(mine).values():
                asked = [(record.key_s or 0.0, _boxes(record)) for record in records]
                found = score_moments(model, records[0], [(t, b.xyxy) for t, b in asked])
                for scored, (time_s, boxes) in zip(found, asked, strict=True):
                    if scored.failure is not None:
                        if scored.failure not in self._told:
                            logger.warning("counts as missed: %s", scored.failure)
                        self._told.add(scored.failure)
                        continue
                    moment = (str(records[0].video), time_s)
                    parts.append((moment, boxes.xyxy, boxes.scores, scored.scores))
        self.model.train(was_training)
        every = [one for rank in gather_objects(parts) for one in rank]
        rows = scored_rows(
            {m: (FoundBoxes(xyxy=xyxy, scores=s), p) for m, xyxy, s, p in every},
            range(len(self.classes)),
        )
        scored = [i for i, name in enumerate(self.classes) if name in set(self.config.scored)]
        mean, _ = precision_of(truth_rows(self._held_out), rows, scored or range(len(self.classes)))
        seen = {"key_frames": float(len(every))}
        lost = len(self._held_out) - len(every)
        return {"map/true_boxes": mean, **seen, **({"failed": float(lost)} if lost else {})}

    def documents(self) -> dict[str, Any]:
        return {"labels": list(self.classes), "start": self._start}


def _by_video(records: Iterable[Record]) -> dict[Path, list[Record]]:
    videos: dict[Path, list[Record]] = {}
    for record in records:
        videos.setdefault(record.video, []).append(record)
    return videos


def _boxes(record: Record) -> FoundBoxes:
    boxes = torch.tensor([box.xyxy for box in record.boxes], dtype=torch.float64).reshape(-1, 4)
    return FoundBoxes(xyxy=boxes, scores=torch.ones(len(boxes), dtype=torch.float64))


def _read_pair(path: Path) -> InitialWeights:
    last = path / "checkpoints" / "last"
    found = load(last if last.exists() else path)
    return InitialWeights(path=path, weights=found.model, documents=found.documents)


def _initialise(
    model: ActionDetector, initial: InitialWeights, classes: tuple[str, ...], *, is_pair: bool
) -> dict[str, Any]:
    """Fill a detector with what there is for it, and say what that was.

    Raises:
        CheckpointError: The weights are of another encoder.
    """
    weights = dict(initial.weights)
    known = tuple(initial.documents.get("labels") or ())
    if known != classes:
        weights = {name: value for name, value in weights.items() if not name.startswith("head.")}
    if is_pair:
        if not any(name.startswith("encoder.") for name in weights):
            weights = {f"encoder.{name}": value for name, value in weights.items()}
        # Both classifiers' heads are of other classes, and play no part here.
        own = model.state_dict()
        fits = {n: v for n, v in weights.items() if n in own and own[n].shape == v.shape}
        if not any(name.startswith("encoder.coordination.") for name in fits):
            raise CheckpointError(
                f"{initial.path}: holds no coordinated pair; train one by coordination"
            )
        new = rf"{_NEW}|^encoder\.(masked|multimodal)\.(head|fc_norm|pool)\."
        report = load_weights(model, fits, may_be_new=new)
        told = {"new": report.new, "unused": tuple(sorted(weights.keys() - fits.keys()))}
    else:
        start = initialise_classifier(model, weights, new=_NEW)
        told = {"new": start.new, "unused": start.unused}
    logger.info("%s: %d tensors are new", initial.path, len(told["new"]))
    return {"weights": str(initial.path), **told}


def _freeze(model: ActionDetector, config: SpatiotemporalLocalizationTraining) -> None:
    if config.trained == "all":
        return
    depth = config.model.network.depth
    first_trained = depth + 1 - config.num_trained_blocks
    for name, parameter in model.encoder.named_parameters():
        trained = config.trained == "last" and (
            layer_index(name, num_layers=depth) >= first_trained
        )
        if not trained:
            parameter.requires_grad_(False)
