"""Fine-tuning on one's own boxes: what is read and checked, presets, the detector, validation.

The presets follow those of action recognition; a step sees clips, of which each has all its boxes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Unpack

from internvideo.data import ANNOTATIONS, OwnVideos, VideoData, check_videos, left_right_classes
from internvideo.data.annotations import read_box_csv, write_box_csv
from internvideo.errors import AnnotationError, CheckpointError, ConfigError
from internvideo.heads import (
    ActionDetectorConfig,
    CoordinatedClassifierConfig,
    VideoClassifierConfig,
)
from internvideo.models import (
    AutoencoderConfig,
    MaskedEncoderConfig,
    MultimodalEncoderConfig,
    UniFormerConfig,
)
from internvideo.tasks.shared.finetuning import (
    Checking,
    FinetuningGuide,
    Plan,
    Preset,
    PretrainedModel,
    Progress,
    Request,
    Validation,
    clips_from,
    plan_on_clips,
)
from internvideo.tasks.spatiotemporal_localization.model import BoxClassifier
from internvideo.tasks.spatiotemporal_localization.result import BoxVideos
from internvideo.tasks.spatiotemporal_localization.training import (
    SpatiotemporalLocalizationTraining,
)
from internvideo.tiny import TinyAutoencoderConfig, TinyMultimodalConfig
from internvideo.values import Annotations

# Formats by how a file is called, and what tells a csv of one's own from one of AVA.
_SUFFIXES = {".json": "coco-video", ".xml": "cvat-video"}
_HEADER = "path,"
_USUAL_FPS = 25.0  # of AVA


class BoxGuide(FinetuningGuide):
    """Fine-tuning on key frames with boxes."""

    manifest: ClassVar[str] = "boxes.csv"
    scratch_recipe: ClassVar[str] = "spatiotemporal_tiny_playground"
    scratch_name: ClassVar[str] = "the tiny encoder A"
    presets: ClassVar[Mapping[str, Preset]] = {
        "probe": Preset(
            trained="head",
            num_epochs=30,
            least_steps=200,
            lr=1e-3,
            large_lr=1e-3,
            what="the encoder stays as it is, a head on boxes is trained",
            most_clips=200,
        ),
        "partial": Preset(
            trained="last",
            num_epochs=20,
            least_steps=300,
            lr=5e-4,
            large_lr=1e-4,
            what="the last quarter of the encoder's blocks and a head on boxes are trained",
            most_clips=2000,
        ),
        "full": Preset(
            trained="all",
            num_epochs=20,
            least_steps=400,
            lr=1e-3,
            large_lr=1e-4,
            what="all of it is trained",
        ),
    }

    def read(
        self, source: Path, *, root: str | None = None, columns: Mapping[str, str] | None = None
    ) -> Annotations:
        """Read a csv of one's own, csv files of AVA, json of COCO with videos, or xml of CVAT."""
        if columns:
            raise ConfigError("boxes are read from named formats; leave --columns out")
        name = _SUFFIXES.get(source.suffix.lower(), "ava")
        if source.is_dir() and any(source.glob("*.xml")):
            name = "cvat-video"
        elif source.suffix.lower() == ".csv":
            try:
                first = source.read_text(encoding="utf-8-sig").split("\n", 1)[0]
            except (OSError, UnicodeDecodeError) as error:
                raise AnnotationError(f"{source}: cannot be read ({error})") from None
            name = "box-csv" if first.startswith(_HEADER) else "ava"
        return ANNOTATIONS[name](source, root=root)

    def check(self, annotations: Annotations, **options: Unpack[Checking]) -> OwnVideos:
        """Leave out videos that cannot be used, and hold a part of them out."""
        return check_videos(annotations, **options)

    def save(self, videos: OwnVideos, path: Path) -> OwnVideos:
        """Write a csv of boxes; a class without any box is gone from what comes back."""
        write_box_csv(videos.annotations, path)
        return replace(videos, annotations=read_box_csv(path))

    def summary(self, videos: OwnVideos) -> str:
        """Count key frames and boxes by class and split."""
        read = videos.annotations
        counts = Counter(
            label for r in read.of_split("train").records for box in r.boxes for label in box.labels
        )
        boxes = sum(len(record.boxes) for record in read.records)
        parts = {name: videos.num_items(name) for name in ("train", "val", "test")}
        test = f", {parts['test']} to test on (unused here)" if parts["test"] else ""
        return (
            f"{boxes} boxes of {len(read.classes)} classes on {sum(parts.values())} key frames of "
            f"{len({record.video for record in read.records})} videos: {parts['train']} to train "
            f"on ({min(counts.values(), default=0)} to {max(counts.values(), default=0)} boxes a "
            f"class), {parts['val']} to validate on{test}; {videos.num_decoded} videos were "
            "decoded beforehand"
        )

    def plan(self, request: Request) -> Plan:
        """Train a detector on an encoder as that was trained: configuration, normalisation."""
        source, scratch = request.source, request.scratch
        classes = request.videos.annotations.classes
        data = VideoData(
            source=str(request.folder / self.manifest),
            format="box-csv",
            flip=not left_right_classes(classes),
            crop="random",
        )
        if source is None:
            model = replace(scratch.stage.model, num_classes=len(classes))
            stage = replace(scratch.stage, model=model, trained="all", scored=())
            seen, optimiser = scratch.stage.preprocessing(scratch.data), scratch.training.optimiser
        else:
            stage, optimiser = _stage_on(request, len(classes)), None
            seen = source.found.preprocessing
        plan = plan_on_clips(
            request, stage, data, seen=seen, keep_best="map/true_boxes", optimiser=optimiser
        )
        rate_fps = seen.rate_fps or _USUAL_FPS
        # Key frames have clips about them: none of segments, and nothing kept of whole videos.
        data = replace(
            plan.data, sampling="dense", eval_crop=1.0, cache_mb=0, clip_rate_fps=rate_fps
        )
        return replace(plan, data=data)

    def starting(self, plan: Plan, name: str | None) -> str:
        """Name the model, its size and its clips."""
        flips = "" if plan.data.flip else "; not flipped, as class names hold left or right"
        return clips_from(plan, name, self.scratch_name) + flips

    def validate(
        self, task: Any, pretrained: PretrainedModel, held_out: Annotations, *, progress: Progress
    ) -> Validation:
        """Score the true boxes of held-back key frames."""
        model = BoxClassifier.from_pretrained(pretrained, source="the run")
        result = task().evaluate(model, BoxVideos(annotations=held_out), progress=progress)
        counts = {"num_evaluated": result.num_evaluated, "num_total": result.num_total}
        line = (
            f"validation mAP {result.scores['map/true_boxes']:.2f} with true boxes "
            f"({result.num_boxes} boxes on {result.num_evaluated} of {result.num_total} key "
            "frames); with detected ones: evaluate with --boxes or --detector"
        )
        return Validation(scores={**result.scores, **counts}, lines=[line], add_to=result.add_to)

    def next_commands(
        self, task: str, folder: Path, *, video: Path, split: str, ema: tuple[str, ...]
    ) -> list[tuple[object, ...]]:
        """Ask about a held-back video with the boxes of a detector; evaluate with both."""
        detector = ("--detector", "DETECTOR")
        data = ("--data", folder / self.manifest, "--format", "box-csv", "--split", split)
        shown = ("--drawn", folder / "drawn.mp4")
        return [
            ("predict", task, video, "--model", folder, *detector, *shown, *ema),
            ("evaluate", task, folder, *data, *detector, *ema),
        ]


def _stage_on(request: Request, num_classes: int) -> SpatiotemporalLocalizationTraining:
    """The stage on a pretrained encoder."""
    assert request.source is not None
    found, preset = request.source.found, request.preset
    seen = found.preprocessing
    model = _detector_on(found, num_classes)
    is_b = isinstance(model.encoder, UniFormerConfig)
    is_pair = isinstance(model.encoder, CoordinatedClassifierConfig)
    return SpatiotemporalLocalizationTraining(
        model=model,
        num_frames=seen.num_frames if is_b else None,
        initial_weights=str(request.source.weights),
        # Of a pair only the modules between its encoders are trained, or the head alone.
        trained="all" if is_pair and preset.trained == "last" else preset.trained,
        num_trained_blocks=max(1, model.network.depth // 4),
        reduction="mean",
        pixel_mean=seen.mean,
        pixel_std=seen.std,
    )


def _detector_on(pretrained: PretrainedModel, num_classes: int) -> ActionDetectorConfig:
    config, seen = pretrained.config, pretrained.preprocessing
    if isinstance(config, ActionDetectorConfig):
        return replace(config, num_classes=num_classes)
    front_end = getattr(config, "front_end", None)
    if isinstance(config, TinyMultimodalConfig):
        config = config.encoder
    if isinstance(config, VideoClassifierConfig | AutoencoderConfig | TinyAutoencoderConfig):
        config = config.encoder
    if isinstance(config, MultimodalEncoderConfig):
        config = config.video
    if isinstance(config, MaskedEncoderConfig):
        config = replace(config, final_norm=True, drop_path=0.1)
    elif not isinstance(config, UniFormerConfig | CoordinatedClassifierConfig):
        raise CheckpointError(
            f"holds a {pretrained.kind} model, which is no encoder of clips; start from a run of "
            "masked-pretraining, multimodal-pretraining, action-recognition or coordination, or "
            "from a released encoder or classifier"
        )
    for name in ("num_salient_tubelets", "num_salient_patches"):
        if getattr(front_end, name, 0):
            front_end = replace(front_end, **{name: 0})  # pyrefly: ignore
    return ActionDetectorConfig(
        encoder=config,
        front_end=front_end,
        num_classes=num_classes,
        test_side_px=round(seen.side_px * 256 / 224 / 16) * 16,
    )
