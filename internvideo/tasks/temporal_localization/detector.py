"""A temporal detector: ActionFormer with its classes, and with the features that it reads.

Shapes: features (f, d) of a video -> segments (s, 2) in seconds, scores (s), labels (s).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from internvideo.data import WindowConfig
from internvideo.data.feature_sequences import FeatureSequence, FeatureSource, grid_of_windows
from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import AdaptedDetector, AdaptedEncoderConfig
from internvideo.metrics.temporal_localization import THUMOS_THRESHOLDS
from internvideo.models.actionformer import ActionFormer, ActionFormerConfig, SegmentPredictions
from internvideo.tasks.shared.classification import RecognitionModel
from internvideo.tasks.shared.features import FeatureEncoder, FeatureExtraction, FeatureStream
from internvideo.tasks.shared.localization import DetectionConfig, detect, detect_stream
from internvideo.tasks.shared.suppression import SuppressionConfig
from internvideo.tasks.shared.task import Pretrained, Progress
from internvideo.tasks.temporal_localization.clips import ClipReader, ClipStream
from internvideo.tasks.temporal_localization.features import FeatureReader, FeatureSets

# The label of a head that finds actions without naming them.
ANY_CLASS = "action"
_PART_STEPS = 1024  # of a long video, where the training saw fewer at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class TemporalDetectorConfig:
    """A network with what it was trained on.

    `num_classes` counts named classes; a class-agnostic network has one output for all of them.
    `sources` say what each feature set was extracted with, so that other features are refused, and
    `encoders` name the models; with `adapted` there are none, and the network reads raw frames
    through an encoder of its own. mAP is measured at `thresholds` of temporal IoU.
    """

    network: ActionFormerConfig
    num_classes: int
    detection: DetectionConfig = field(default_factory=DetectionConfig)
    thresholds: tuple[float, ...] = THUMOS_THRESHOLDS
    features: FeatureSets = field(default_factory=FeatureSets)
    sources: tuple[FeatureSource, ...] = ()
    encoders: tuple[str, ...] = ()
    adapted: AdaptedEncoderConfig | None = None

    def __post_init__(self) -> None:
        if self.network.num_classes not in (1, self.num_classes):
            raise ConfigError(
                f"the network has {self.network.num_classes} outputs for {self.num_classes} "
                "classes; expected one for each, or a single one"
            )
        if not self.thresholds or not all(0 < t <= 1 for t in self.thresholds):
            raise ConfigError(
                f"thresholds are {self.thresholds}, expected overlaps above 0, at most 1"
            )

    def build(self) -> ActionFormer | AdaptedDetector:
        """The network, with its encoder where it has one."""
        if self.adapted is None:
            return ActionFormer(self.network)
        return AdaptedDetector(self.adapted, self.network)

    @property
    def step_width(self) -> int:
        """Channels of a step that the network reads."""
        return self.network.input_width if self.adapted is None else self.adapted.step_width

    @property
    def is_class_agnostic(self) -> bool:
        return self.network.num_classes < self.num_classes


class TemporalDetector:
    """A network that detects segments, with its class names.

    `open_encoder` opens an encoder by name, to extract the features of a new video, and
    `open_recogniser` a classifier, to be measured beside the detector.
    """

    kind: ClassVar[str] = "temporal-detector"

    def __init__(
        self,
        model: ActionFormer | AdaptedDetector,
        classes: Sequence[str],
        config: TemporalDetectorConfig,
        *,
        open_encoder: Callable[[str], FeatureEncoder] | None = None,
        open_recogniser: Callable[[str], RecognitionModel] | None = None,
    ) -> None:
        self.model, self.classes, self.config = model.eval(), tuple(classes), config
        self.open_encoder, self.open_recogniser = open_encoder, open_recogniser
        self._opened: dict[str, FeatureEncoder] = {}

    @classmethod
    def from_pretrained(cls, pretrained: Pretrained, *, source: str) -> TemporalDetector:
        """Take up a detector with its class names.

        Raises:
            CheckpointError: If it is a model of another kind, or lacks its class names.
        """
        config: Any = getattr(pretrained, "config", None)
        model = pretrained.model
        is_detector = isinstance(model, ActionFormer | AdaptedDetector)
        if not is_detector or not isinstance(config, TemporalDetectorConfig):
            raise CheckpointError(
                f"{source}: holds a {pretrained.kind} model, which detects no segments; take the "
                "run of a training for temporal-localization"
            )
        if not pretrained.classes:
            raise CheckpointError(f"{source}: the names of its classes are not kept with it")
        return cls(model, pretrained.classes, config)

    def suppressing(self, suppression: SuppressionConfig) -> TemporalDetector:
        """The same detector with another suppression of overlapping segments."""
        detection = replace(self.config.detection, suppression=suppression)
        return TemporalDetector(
            *(self.model, self.classes, replace(self.config, detection=detection)),
            open_encoder=self.open_encoder,
            open_recogniser=self.open_recogniser,
        )

    def detect(self, sequence: FeatureSequence) -> SegmentPredictions:
        """Detect segments in one video, in seconds and in falling order of score."""
        width, expected = sequence.features.shape[1], self.config.step_width
        if width != expected:
            raise ConfigError(
                f"{sequence.video}: features have {width} channels, the detector was trained with "
                f"{expected}; extract the video with the same models"
            )
        return detect(self.model, [sequence], self.config.detection)[0]

    def detect_video(
        self,
        video: Path,
        encoders: Sequence[str] = (),
        *,
        progress: Progress | None = None,
    ) -> tuple[SegmentPredictions, float]:
        """Decode a video, extract its features and detect segments, in one pass.

        Memory does not grow with the length of the video: no more steps are held than in training,
        or `_PART_STEPS` of them.

        Args:
            video: The file.
            encoders: Names of the encoders of the features; those of the training by default.
            progress: Called with how many steps are done, and of how many.

        Returns:
            Segments in seconds, in falling order of score, and the length of the video.

        Raises:
            ConfigError: If no encoder is known, or it is another one than in training.
            DecodeError: If the video cannot be decoded.
        """
        if self.config.adapted is not None:
            return self._detect_clips(video, encoders, progress)
        with ExitStack() as stack:
            streams, grids = [], []
            for encoder, extraction, source in self._extractions(tuple(encoders)):
                stream = stack.enter_context(extraction.stream(encoder, video))
                rate_fps = stream.info.rate_fps
                grids.append(grid_of_windows(video, stream.start_s, source, native_fps=rate_fps))
                streams.append(stream)
            num_steps, duration_s = len(streams[0].start_s), streams[0].info.duration_s
            if any(not grids[0].agrees(grid, num_steps) for grid in grids[1:]):
                raise ConfigError(f"{video}: the times of the feature sets do not agree")
            found = detect_stream(
                self.model,
                _joined_rows(streams, num_steps, progress),
                grids[0],
                self.config.detection,
                video=video.name,
                duration_s=duration_s,
                length=self._part_length(self.config.network.strides[-1], _PART_STEPS),
            )
        return found, duration_s

    def _detect_clips(
        self, video: Path, encoders: Sequence[str], progress: Progress | None
    ) -> tuple[SegmentPredictions, float]:
        """Decode a video and detect segments with the detector's own encoder."""
        adapted = self.config.adapted
        assert adapted is not None
        if encoders:
            raise ConfigError("the detector has its own encoder; leave --encoder out")
        unit = math.lcm(self.config.network.strides[-1], adapted.steps_per_clip)
        with ClipReader(adapted).stream(video) as stream:
            found = detect_stream(
                *(self.model, _told(stream, progress), stream.grid, self.config.detection),
                video=video.name,
                duration_s=stream.duration_s,
                length=self._part_length(unit, 0),
            )
            return found, stream.duration_s

    def _part_length(self, unit: int, least: int) -> int:
        """Steps of a part of a long video; half of it is a multiple of `unit`."""
        return -(-max(self.config.network.max_length, least) // (2 * unit)) * 2 * unit

    def reader(self, folders: Sequence[str] = ()) -> FeatureReader | ClipReader:
        """What reads annotated videos for it: features, from other folders if named, or frames."""
        if self.config.adapted is not None:
            return ClipReader(self.config.adapted)
        return FeatureReader(self.config.features.in_folders(folders), expected=self.config.sources)

    def _extractions(
        self, encoders: tuple[str, ...]
    ) -> Iterator[tuple[FeatureEncoder, FeatureExtraction, FeatureSource]]:
        """What extracts each feature set, after it was compared with that of the training."""
        sources, names = self.config.sources, encoders or self.config.encoders
        if not sources:
            raise ConfigError(
                "the detector was trained on released features, which this package did not "
                "extract; evaluate it on such features, or train one on features of `extract`"
            )
        if len(names) != len(sources) or not all(names):
            raise ConfigError(
                f"the detector reads features of {len(sources)} encoders; name each with --encoder"
            )
        for name, source in zip(names, sources, strict=True):
            encoder = self._encoder(name)
            windows = WindowConfig(
                num_frames=source.num_frames,
                stride_frames=source.stride_frames,
                rate_fps=_rate(source),
            )
            # Before an hour of video is decoded in vain.
            made = replace(
                source, model_type=type(encoder.model).__name__, model_sha256=encoder.sha256
            )
            made.check(Path(name), source)
            yield encoder, FeatureExtraction(windows=windows, pooling=source.pooling), source

    def _encoder(self, name: str) -> FeatureEncoder:
        """Open an encoder, once for all videos."""
        if self.open_encoder is None:
            raise ConfigError(f"{name}: there is no way to open it; set `open_encoder`")
        if name not in self._opened:
            self._opened[name] = self.open_encoder(name)
        return self._opened[name]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the network's outputs."""
        return (ANY_CLASS,) if self.config.is_class_agnostic else self.classes


def _rate(source: FeatureSource) -> Any:
    return source.rate_fps if source.rate_fps == "native" else float(source.rate_fps)


def _told(stream: ClipStream, progress: Progress | None) -> Iterator[Float[Tensor, "_ d"]]:
    """Steps of a stream, while it is told how many are done."""
    done = 0
    for rows in stream.batches:
        done += len(rows)
        yield rows
        if progress is not None:
            progress(done, stream.num_steps)


def _joined_rows(
    streams: Sequence[FeatureStream], num_steps: int, progress: Progress | None
) -> Iterator[Float[Tensor, "b d"]]:
    """Rows of all feature sets side by side."""
    done = 0
    for batches in zip(*(stream.batches for stream in streams), strict=True):
        rows = torch.cat([batch.float().cpu() for batch in batches], dim=1)
        done += len(rows)
        yield rows
        if progress is not None:
            progress(done, num_steps)
