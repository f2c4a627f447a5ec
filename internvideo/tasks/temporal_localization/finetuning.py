"""Fine-tuning for one's own segments: features are extracted, and a detector is trained on them.

The encoder stays as it is. Windows are as dense as the shortest annotated actions need; the sizes
of network and schedule follow ActionFormer's settings and were not searched for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Unpack

import numpy as np
import torch

from internvideo.data import (
    SegmentedVideos,
    VideoData,
    WindowConfig,
    check_segmented,
    described,
    read_segmented,
    save_segmented,
)
from internvideo.errors import ConfigError
from internvideo.models.actionformer import ActionFormerConfig
from internvideo.report import Page
from internvideo.tasks.shared.features import FeatureEncoder, FeatureExtraction
from internvideo.tasks.shared.finetuning import (
    Checking,
    FinetuningGuide,
    Plan,
    Preset,
    PretrainedModel,
    Progress,
    Request,
    Validation,
)
from internvideo.tasks.temporal_localization.data import LocalizationVideos
from internvideo.tasks.temporal_localization.detector import TemporalDetector
from internvideo.tasks.temporal_localization.features import FeatureSets
from internvideo.tasks.temporal_localization.training import TemporalLocalizationTraining
from internvideo.training import OptimiserConfig, TrainingConfig
from internvideo.values import Annotations, Record
from internvideo.video import open_video

_LEAST_STEPS = 4  # of one of the shorter actions
_MOST_STEPS = 2304  # of a training sequence
_NUM_LEVELS = 6
_MANY_SEGMENTS = 500  # for which the network is twice as wide


class LocalizationGuide(FinetuningGuide):
    """Fine-tuning on whole videos with segments."""

    manifest: ClassVar[str] = "segments.csv"
    unit: ClassVar[str] = "videos"
    presets: ClassVar[Mapping[str, Preset]] = {
        "features": Preset(
            trained="head",
            num_epochs=60,
            least_steps=400,
            lr=1e-3,
            large_lr=1e-4,
            what="features are extracted once, and a detector is trained on them",
        ),
    }

    def read(
        self, source: Path, *, root: str | None = None, columns: Mapping[str, str] | None = None
    ) -> Annotations:
        """Read a csv of segments, or a json as ActivityNet's."""
        return read_segmented(source, root=root, columns=columns)

    def check(self, annotations: Annotations, **options: Unpack[Checking]) -> SegmentedVideos:
        """Leave out what cannot be used, name what looks wrong, and hold a part out."""
        return check_segmented(annotations, **options)

    def save(self, videos: SegmentedVideos, path: Path) -> SegmentedVideos:
        """Write a csv of segments with splits and lengths."""
        return save_segmented(videos, path)

    def summary(self, videos: SegmentedVideos) -> str:
        """Count videos and segments by split."""
        parts = {
            name: f"{videos.num_items(name)} to {what} ({len(videos.segments(name))} segments)"
            for name, what in (("train", "train on"), ("val", "validate on"), ("test", "test on"))
            if videos.num_items(name)
        }
        lengths = [s.end_s - s.start_s for s in videos.segments("train")]
        return (
            f"{len(videos.annotations.records)} videos with {len(videos.annotations.classes)} "
            f"classes: {', '.join(parts.values())}; segments of {min(lengths):.1f} to "
            f"{max(lengths):.1f} s, videos of at most {videos.longest_s:.0f} s"
        )

    def prepare(self, request: Request, *, device: torch.device, progress: Progress) -> None:
        """Extract features of all videos; what is there already is left alone.

        Raises:
            ConfigError: Not a single video to train on can be decoded.
        """
        encoder = _encoder(request)
        encoder.model.to(device)
        records = request.videos.annotations.records
        files = sorted({record.video for record in records})
        done = _extraction(request, encoder).extract(
            encoder, files, [_target(request, file) for file in files], progress=progress
        )
        if len(done.failed) == len(files):
            raise ConfigError(f"no video has features, first: {done.failed[0].reason}")

    def plan(self, request: Request) -> Plan:
        """Train an ActionFormer on the features that `prepare` wrote."""
        source, preset = request.source, request.preset
        assert source is not None
        shapes = [
            document["features"]["shape"]
            for record in request.videos.annotations.records
            if (document := described(_target(request, record.video))) is not None
        ]
        network = _network(
            input_width=shapes[0][-1],
            num_classes=len(request.videos.annotations.classes),
            longest=max(shape[0] for shape in shapes),
            width=256 if len(_checked(request).segments("train")) >= _MANY_SEGMENTS else 128,
        )
        stage = TemporalLocalizationTraining(
            model=network,
            features=FeatureSets(extracted=(str(_features_folder(request)),)),
            encoders=(_encoder_name(request),),
            initial_normaliser=50.0,
        )
        num_train = request.videos.num_items("train")
        batch_size = min(8, num_train)
        steps = request.num_steps or max(
            preset.least_steps, preset.num_epochs * -(-num_train // batch_size)
        )
        return Plan(
            stage=stage,
            data=VideoData(
                source=str(request.folder / self.manifest), format="segment-csv", cache_mb=1024
            ),
            training=TrainingConfig(
                num_steps=steps,
                batch_size=batch_size,
                optimiser=OptimiserConfig(
                    lr=preset.lr,
                    final_lr=preset.lr / 100,
                    warmup_steps=min(100, steps // 10),
                    weight_decay=0.05,
                    betas=(0.9, 0.999),
                    clip_gradient=1.0,
                ),
                ema_decay=0.99,
                log_every=max(1, min(25, steps // 4)),
                evaluate_every=max(1, steps // 8),
                checkpoint_every=max(1, steps // 8),
                keep_best="map/average",
            ),
        )

    def starting(self, plan: Plan, name: str | None) -> str:
        """Name the encoder, its windows and the detector."""
        [folder] = plan.stage.features.extracted
        windows = _windows_of(Path(folder))
        return (
            f"start: features of {name}, windows of {windows['num_frames']} frames every "
            f"{windows['stride_frames']} at {windows['rate_fps']:g} fps; a detector of "
            f"{plan.stage.num_parameters / 1e6:.2g} M parameters on {plan.stage.model.input_width} "
            f"channels, {plan.stage.model.max_length} steps at a time"
        )

    def validate(
        self, task: Any, pretrained: PretrainedModel, held_out: Annotations, *, progress: Progress
    ) -> Validation:
        """mAP on the held-back videos."""
        detector = TemporalDetector.from_pretrained(pretrained, source="the run")
        result = task().evaluate(
            detector, LocalizationVideos(annotations=held_out), progress=progress
        )
        num_segments = sum(len(record.segments) for record in held_out.records)
        thresholds = result.thresholds
        line = (
            f"validation mAP {result.scores['map/average']:.3f}, the mean over temporal IoU of "
            f"{thresholds[0]:g} to {thresholds[-1]:g} (on {result.num_evaluated} of "
            f"{result.num_total} videos with {num_segments} segments)"
        )

        def add_to(page: Page) -> None:
            page.text(line)
            result.add_to(page)

        failed = [f"  not seen: {one.reason}" for one in result.failed]
        counts = {"num_evaluated": result.num_evaluated, "num_total": result.num_total}
        return Validation(
            scores={**result.scores, **counts, "num_segments": num_segments},
            lines=[line, *failed],
            add_to=add_to,
        )

    def next_commands(
        self, task: str, folder: Path, *, video: Path, split: str, ema: tuple[str, ...]
    ) -> list[tuple[object, ...]]:
        """Ask about a video with a page, and evaluate."""
        data = ("--data", folder / self.manifest, "--format", "segment-csv", "--split", split)
        return [
            ("predict", task, video, "--model", folder, *ema, "--page", folder / "timeline.html"),
            ("evaluate", task, folder, *data, *ema),
        ]


def _checked(request: Request) -> SegmentedVideos:
    assert isinstance(request.videos, SegmentedVideos)
    return request.videos


def _encoder_name(request: Request) -> str:
    """How the encoder is found again, from wherever."""
    source = request.source
    assert source is not None
    return str(source.weights) if Path(source.name).exists() else source.name


def _encoder(request: Request) -> FeatureEncoder:
    assert request.source is not None
    return FeatureEncoder.of(request.source.found, name=_encoder_name(request))


def _features_folder(request: Request) -> Path:
    return request.folder / "features"


def _target(request: Request, video: Path) -> Path:
    """Where the features of a video go: below the folder of all, as the videos lie."""
    videos = [record.video.absolute() for record in request.videos.annotations.records]
    home = os.path.commonpath([video.parent for video in videos])
    below = video.absolute().relative_to(home)
    return _features_folder(request) / below.with_name(f"{video.name}.safetensors")


def _extraction(request: Request, encoder: FeatureEncoder) -> FeatureExtraction:
    """Windows of the encoder at the rate it was trained at, dense enough for short actions."""
    videos = _checked(request)
    seen = request.source.found.preprocessing if request.source else None
    rate_fps = 8.0
    if seen is not None and seen.sampling == "dense":
        rate_fps = _usual_rate(videos.annotations.records) / seen.stride_frames
    rate_fps = float(max(1, round(rate_fps)))
    short_s = float(np.quantile([s.end_s - s.start_s for s in videos.segments("train")], 0.1))
    stride = int(np.clip(short_s * rate_fps / _LEAST_STEPS, 1, encoder.num_frames))
    return FeatureExtraction(
        windows=WindowConfig(
            num_frames=encoder.num_frames, stride_frames=stride, rate_fps=rate_fps
        ),
        pooling=encoder.head_pooling,
    )


def _usual_rate(records: tuple[Record, ...]) -> float:
    """Median frame rate of some of the videos."""
    rates = []
    for record in records[:: max(1, len(records) // 20)]:
        with open_video(record.video) as opened:
            rates.append(opened.info.rate_fps)
    return float(np.median(rates))


def _network(*, input_width: int, num_classes: int, longest: int, width: int) -> ActionFormerConfig:
    """An ActionFormer whose training sequences hold the longest video, up to a limit."""
    stride = 2 ** (_NUM_LEVELS - 1)
    length = min(_MOST_STEPS, max(2 * stride, -(-longest // stride) * stride))
    return ActionFormerConfig(
        input_width=input_width,
        num_classes=num_classes,
        max_length=length,
        width=width,
        pyramid_width=width,
        head_width=width,
        num_branch_blocks=_NUM_LEVELS - 1,
        windows=(9,) * _NUM_LEVELS,
    )


def _windows_of(folder: Path) -> dict[str, Any]:
    """The windows of a folder of features."""
    for path in sorted(folder.rglob("*.safetensors")):
        if (document := described(path)) is not None:
            return document["request"]["windows"]
    raise ConfigError(f"{folder}: holds no features")
