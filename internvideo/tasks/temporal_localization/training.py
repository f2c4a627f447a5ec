"""Training a temporal detector on features of whole videos.

Source: `train.py`, `train_utils.py` and the yaml files of Temporal-Action-Localization in the
InternVideo release. `internvideo/stages/feature_sequences.py` drives it.
Differs: with several ranks the running number of positive points is averaged over them.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from internvideo.data import RunContext, VideoData
from internvideo.data.feature_sequences import FeatureSequence, FeatureSource
from internvideo.data.sequence_batches import SequenceBatch, TruncationConfig
from internvideo.errors import CheckpointError, ConfigError, DecodeError
from internvideo.heads import AdaptedDetector, AdaptedEncoderConfig, VideoClassifierConfig
from internvideo.metrics.temporal_localization import THUMOS_THRESHOLDS
from internvideo.models.actionformer import (
    ActionFormer,
    ActionFormerConfig,
    SegmentPredictions,
    point_grid,
)
from internvideo.objectives.temporal_localization import LocalizationLoss, assign_targets
from internvideo.tasks.shared.initialisation import read_initial_weights
from internvideo.tasks.shared.localization import DetectionConfig
from internvideo.tasks.temporal_localization.clips import ClipReader
from internvideo.tasks.temporal_localization.detector import (
    TemporalDetector,
    TemporalDetectorConfig,
)
from internvideo.tasks.temporal_localization.features import FeatureReader, FeatureSets
from internvideo.tasks.temporal_localization.result import (
    mean_average_precision_of,
    named_scores,
)
from internvideo.training import gather_objects, sum_over_ranks
from internvideo.values import Annotations, Preprocessing, Record, TokenGrid

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class TemporalLocalizationTraining:
    """What is trained, on which features; the defaults are those of THUMOS14.

    With `class_agnostic` the network has one output for all classes. `initial_normaliser` is the
    number of positive points that the losses are divided by at first. Sequences are shortened to
    `model.max_length` as `crop_ratio` and `min_share` of `TruncationConfig` say. `sources`,
    `encoders` and `num_classes` are written down from the files. With `adapted` there are no
    features: a frozen encoder A with temporal adapters reads the videos and is trained with the
    network; it starts from `initial_weights`, and sequences are not cropped.
    """

    model_kind: ClassVar[str] = "temporal-detector"
    loss_weights: ClassVar[Mapping[str, float]] = {"localization": 1.0}
    trained_on: ClassVar[str] = "feature-sequences"

    kind: Literal["temporal-localization"] = "temporal-localization"
    model: ActionFormerConfig
    features: FeatureSets = field(default_factory=FeatureSets)
    class_agnostic: bool = False
    loss: LocalizationLoss = field(default_factory=LocalizationLoss)
    initial_normaliser: float = 100.0
    centre_radius: float | None = 1.5
    crop_ratio: tuple[float, float] | None = (0.9, 1.0)
    min_share: float = 0.5
    detection: DetectionConfig = field(default_factory=DetectionConfig)
    thresholds: tuple[float, ...] = THUMOS_THRESHOLDS
    num_classes: int | None = None
    sources: tuple[FeatureSource, ...] = ()
    encoders: tuple[str, ...] = ()
    adapted: AdaptedEncoderConfig | None = None
    initial_weights: str | None = None

    def __post_init__(self) -> None:
        if self.initial_weights is not None and self.adapted is None:
            raise ConfigError("initial_weights are those of an encoder; set stage.adapted as well")
        if self.initial_normaliser <= 0:
            raise ConfigError(
                f"initial_normaliser is {self.initial_normaliser}, expected a positive number"
            )
        if self.class_agnostic and self.model.num_classes != 1:
            raise ConfigError(
                f"a class-agnostic network has one output, model.num_classes is "
                f"{self.model.num_classes}; set stage.model.num_classes=1"
            )

    @property
    def model_config(self) -> TemporalDetectorConfig:
        """What is saved; `model_kind` is its name."""
        return TemporalDetectorConfig(
            network=self.model,
            num_classes=self.num_classes or self.model.num_classes,
            detection=self.detection,
            thresholds=self.thresholds,
            features=self.features,
            sources=self.sources,
            encoders=self.encoders,
            adapted=self.adapted,
        )

    @property
    def truncation(self) -> TruncationConfig:
        return TruncationConfig(
            max_length=self.model.max_length,
            min_share=self.min_share,
            crop_ratio=None if self.adapted else self.crop_ratio,
        )

    @property
    def grid(self) -> TokenGrid:
        """Steps of a training sequence."""
        return TokenGrid(time=self.model.max_length, height=1, width=1)

    @property
    def num_parameters(self) -> int:
        with torch.device("meta"):
            model = self.model_config.build()
        return sum(p.numel() for p in model.parameters())

    @property
    def training_flops_per_clip(self) -> float:
        """Of one sequence of `max_length` steps, forward and backward."""
        return _training_flops(self.model_config, self.model.max_length)

    def preprocessing(self, data: VideoData) -> Preprocessing:
        """Clips of the encoder, of whose pixels the detector sees nothing."""
        if self.adapted is not None:
            seen = self.adapted.encoder
            return data.preprocessing(num_frames=seen.num_frames, side_px=seen.side_px)
        num_frames = self.sources[0].num_frames if self.sources else 16
        return data.preprocessing(num_frames=num_frames, side_px=224)

    def open(
        self, data: VideoData, context: RunContext
    ) -> tuple[TemporalLocalizationTraining, TrainingVideos, TemporalLocalizationObjective]:
        """Find the features of all videos, and make the network.

        Raises:
            ConfigError: If a split has no video with features, or features or classes do not fit.
        """
        annotations = data.read(with_videos=self.adapted is not None)
        features = self.features.below(data.root)
        reader: FeatureReader | ClipReader = (
            FeatureReader(features, expected=self.sources)
            if self.adapted is None
            else ClipReader(self.adapted)
        )
        parts = [data.select(annotations, training=training) for training in (True, False)]
        train = _with_features(reader, parts[0], what="train on", source=data.source)
        _with_features(reader, parts[1], what="evaluate on", source=data.source)
        videos = TrainingVideos(reader, train, cache_mb=data.cache_mb)
        first = videos.read(0)
        width, count = first.features.shape[1], len(annotations.classes)
        if width != self.model_config.step_width:
            raise ConfigError(
                f"{first.video}: features have {width} channels, model.input_width is "
                f"{self.model.input_width}; set stage.model.input_width={width}"
            )
        if not self.class_agnostic and self.model.num_classes != count:
            raise ConfigError(
                f"the data have {count} classes, model.num_classes is {self.model.num_classes}; "
                f"set stage.model.num_classes={count}"
            )
        told = replace(
            self,
            features=features,
            num_classes=count,
            sources=reader.sources,
            encoders=self.encoders or reader.encoders(train[0]),
        )
        model = self._network().to(context.device)
        objective = TemporalLocalizationObjective(told, model, reader, parts, train, context)
        return told, videos, objective

    def _network(self) -> ActionFormer | AdaptedDetector:
        model = self.model_config.build()
        if isinstance(model, AdaptedDetector) and self.initial_weights is not None:
            adapted, path = model.adapted, Path(self.initial_weights)
            known = VideoClassifierConfig(encoder=adapted.encoder, front_end=adapted.front_end)
            weights = read_initial_weights(path, known).weights
            own = model.encoder.state_dict()
            if missing := [name for name in own if f"encoder.{name}" not in weights]:
                raise CheckpointError(
                    f"{path}: lacks {len(missing)} tensors of the encoder, first {missing[0]}; "
                    "take a run of encoder A"
                )
            model.encoder.load_state_dict({name: weights[f"encoder.{name}"] for name in own})
        return model


class TrainingVideos:
    """Sequences of the videos to train on; up to `cache_mb` of them stay in memory."""

    def __init__(
        self, reader: FeatureReader | ClipReader, records: Sequence[Record], *, cache_mb: int
    ) -> None:
        self._reader, self._records = reader, tuple(records)
        self._kept: dict[int, FeatureSequence] = {}
        self._room = cache_mb * 2**20

    def __len__(self) -> int:
        return len(self._records)

    def read(self, index: int) -> FeatureSequence:
        """Read a sequence; segments beyond its end are clipped to it."""
        if index in self._kept:
            return self._kept[index]
        sequence = self._reader.read(self._records[index]).within()
        if (size := sequence.features.nbytes) <= self._room:
            self._kept[index] = sequence
            self._room -= size
        return sequence


class TemporalLocalizationObjective:
    """The network, its losses, and mAP on the held-back videos."""

    def __init__(
        self,
        config: TemporalLocalizationTraining,
        model: ActionFormer | AdaptedDetector,
        reader: FeatureReader | ClipReader,
        parts: Sequence[Annotations],
        train: Sequence[Record],
        context: RunContext,
    ) -> None:
        self.config, self.model = config, model
        self.classes = parts[0].classes
        self._reader, self._train = reader, tuple(train)
        self._held_out, self._share = parts[1].records, context.share
        self._normaliser = torch.tensor(config.initial_normaliser, device=context.device)
        self._device = context.device

    @cached_property
    def _points(self) -> Tensor:
        return point_grid(self.config.model, self.config.model.max_length, self._device)

    def prepare(self) -> None:
        self._normaliser = sum_over_ranks(self._normaliser) / self._share.count

    def losses(self, batch: SequenceBatch) -> dict[str, Tensor]:
        network = self.config.model
        targets = [
            assign_targets(
                self._points,
                sequence.segments.to(self._device),
                self._labels(sequence).to(self._device),
                num_classes=network.num_classes,
                centre_radius=self.config.centre_radius,
            )
            for sequence in batch.sequences
        ]
        found = self.model(batch.features.to(self._device), batch.padded.to(self._device))
        losses = self.config.loss(
            found.logits,
            found.distances,
            found.padded,
            targets,
            self._normaliser,
            over_ranks=sum_over_ranks,
            num_ranks=self._share.count,
        )
        self._normaliser = losses.normaliser
        return {
            "localization": losses.total,
            "parts/classification": losses.classification,
            "parts/distance": losses.distance,
        }

    def evaluate(self) -> dict[str, float]:
        """mAP on the held-back videos; each rank detects in a part of them."""
        detector = TemporalDetector(self.model, self.classes, self.config.model_config)
        mine: list[tuple[int, SegmentPredictions | None]] = []
        with torch.autocast(self._device.type, enabled=False):
            for place in range(self._share.index, len(self._held_out), self._share.count):
                try:
                    mine.append((place, detector.detect(self._reader.read(self._held_out[place]))))
                except DecodeError as error:
                    _log.warning("counts as missed: %s", error)
                    mine.append((place, None))
        found = [one for _, one in sorted((p for r in gather_objects(mine) for p in r), key=_place)]
        outputs = {place: place for place in range(len(self.classes))}
        prefix = ""
        if self.config.class_agnostic:
            outputs, prefix = dict.fromkeys(outputs, 0), "class_agnostic/"
        scores = mean_average_precision_of(found, self._held_out, outputs, self.config.thresholds)
        return named_scores(scores, prefix)

    def documents(self) -> dict[str, Any]:
        data = {
            "train_videos": len(self._train),
            "train_sha256": _digest(self._train),
            "held_back_videos": len(self._held_out),
            "held_back_sha256": _digest(self._held_out),
        }
        return {"labels": list(self.classes), "data": data}

    def state(self) -> Any:
        self.prepare()
        return {"normaliser": float(self._normaliser)}

    def restore(self, state: Any) -> None:
        self._normaliser = torch.tensor(state["normaliser"], device=self._device)

    def _labels(self, sequence: FeatureSequence) -> Tensor:
        labels = sequence.labels
        return torch.zeros_like(labels) if self.config.class_agnostic else labels


def _place(one: tuple[int, SegmentPredictions | None]) -> int:
    return one[0]


def _with_features(
    reader: FeatureReader | ClipReader, annotations: Annotations, *, what: str, source: str
) -> list[Record]:
    """Records whose features are there; the others are reported."""
    kept, missing = [], []
    for record in annotations.records:
        try:
            reader.check(record)
            kept.append(record)
        except DecodeError as error:
            missing.append(str(error))
    if missing:
        _log.warning(
            "%s: %d of %d videos to %s have no features, first: %s",
            *(source, len(missing), len(annotations.records), what, missing[0]),
        )
    if not any(record.segments for record in kept):
        raise ConfigError(
            f"{source}: no video to {what} has features and a segment; check data.*_split and "
            "stage.features"
        )
    return kept


def _digest(records: Sequence[Record]) -> str:
    """Hash of what the annotations say, so that two runs can be known to share their data."""
    rows = [[r.video.name, [[s.start_s, s.end_s, s.label] for s in r.segments]] for r in records]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


@lru_cache(maxsize=8)  # a plan asks several times
def _training_flops(config: TemporalDetectorConfig, max_length: int) -> float:
    with torch.device("meta"):
        model = config.build().eval()
        features = torch.zeros(1, max_length, config.step_width)
        padded = torch.zeros(1, max_length, dtype=torch.bool)
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        model(features, padded)
    return 3.0 * counted.get_total_flops()
