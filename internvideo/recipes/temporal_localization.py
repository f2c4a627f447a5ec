"""Runs of temporal localization: the published ones, and a tiny one.

Source of the published settings: the yaml files of Temporal-Action-Localization in the InternVideo
release (HACS and FineAction cannot be run there as they stand). Features are read from FEATURES
below the folder of the data; `stage.features` names others. The released heads of ActivityNet, HACS
and FineAction know one class and need scores of whole videos; they are recipes that end in
_agnostic, beside those whose heads know the classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from internvideo.data import VideoData
from internvideo.data.feature_sequences import ReleasedFeatures
from internvideo.heads import AdaptedEncoderConfig
from internvideo.metrics.temporal_localization import ACTIVITYNET_THRESHOLDS, THUMOS_THRESHOLDS
from internvideo.models.actionformer import ACTIONFORMERS, ActionFormerConfig, DecodingConfig
from internvideo.objectives.temporal_localization import LocalizationLoss
from internvideo.recipes.masked_pretraining import mae_tiny_playground
from internvideo.runs.run import Run
from internvideo.stages import MaskedPretraining
from internvideo.tasks import TemporalLocalizationTraining
from internvideo.tasks.shared import DetectionConfig, SuppressionConfig
from internvideo.tasks.temporal_localization import FeatureSets
from internvideo.training import OptimiserConfig, TrainingConfig

_WARMUP_EPOCHS = 5


@dataclass(frozen=True, slots=True)
class _Published:
    """A row of the table, named as its columns are.

    `stride` and `frames` are those of the features, at `fps` (None: that of the video); a stride
    of -1 stands for features resized to the length of the network.
    """

    name: str
    network: str
    num_videos: int
    source: str
    prefix: str
    stride: int
    frames: int
    fps: int | None
    lr: float
    epochs: int
    batch_size: int
    normaliser: float
    smoothing: float
    distance_weight: float
    sigma: float
    voting: float
    max_segments: int
    min_length: float
    about: str
    num_classes: int = 1


_TABLE = (
    _Published(
        *("temporal_localization_thumos14", "thumos", 200, "thumos14.json", "", 4, 16, None),
        *(1e-4, 45, 2, 100.0, 0.0, 1.0, 0.5, 0.0, 200, 0.05),
        about="ActionFormer on THUMOS14, features of ViT-g every 4 frames.",
        num_classes=20,
    ),
    _Published(
        *("temporal_localization_activitynet", "anet", 10_024, "anet1.3.json", "v_", 16, 16, 15),
        *(1e-3, 10, 8, 400.0, 0.1, 1.0, 0.75, 0.9, 100, 0.1),
        about="ActionFormer on ActivityNet 1.3, features of ViT-H.",
        num_classes=200,
    ),
    _Published(
        *("temporal_localization_hacs", "hacs", 37_613, "hacs.json", "v_", 16, 16, 30),
        *(1e-3, 20, 16, 400.0, 0.1, 1.0, 0.75, 0.7, 100, 0.1),
        about="ActionFormer on HACS Segments, two feature sets side by side.",
        num_classes=200,
    ),
    _Published(
        *("temporal_localization_fineaction", "fineaction", 8_440, "fineaction.json", "v_"),
        *(-1, 1, 15, 1e-3, 20, 16, 200.0, 0.1, 2.0, 0.75, 0.9, 100, 0.001),
        about="ActionFormer on FineAction, features resized to 192 steps.",
        num_classes=106,
    ),
    # OpenTAD's settings, but for its dropout of inputs; normaliser and shortest segment are those
    # of THUMOS14.
    _Published(
        *("temporal_localization_ego4d_mq", "ego4d_mq", 1_486, "moments_train.json", "", 8, 16, 30),
        *(1e-4, 20, 2, 100.0, 0.0, 1.0, 2.0, 0.0, 2000, 0.05),
        about="ActionFormer on Ego4D moment queries, features of ViT-L every 8 frames.",
        num_classes=110,
    ),
)
_AGNOSTIC = tuple(
    replace(
        row,
        name=f"{row.name}_agnostic",
        num_classes=1,
        about=f"{row.about.removesuffix('.')}, one output for all classes, as released.",
    )
    for row in _TABLE
    if ACTIONFORMERS[row.network].num_classes == 1
)
_THRESHOLDS = {"thumos": THUMOS_THRESHOLDS, "ego4d_mq": (0.1, 0.2, 0.3, 0.4, 0.5)}


def _published(row: _Published) -> Run:
    is_agnostic = row.num_classes == 1
    network = replace(ACTIONFORMERS[row.network], num_classes=row.num_classes)
    features = ReleasedFeatures(
        folder=Path(f"{row.network}_features"),
        stride_frames=row.stride,
        num_frames=row.frames,
        rate_fps=row.fps,
        prefix=row.prefix,
        resize_to=network.max_length if row.stride < 0 else None,
    )
    per_epoch = row.num_videos // row.batch_size
    return Run(
        name=row.name,
        stage=TemporalLocalizationTraining(
            model=network,
            class_agnostic=is_agnostic,
            features=FeatureSets(released=(features,)),
            loss=LocalizationLoss(
                distance_weight=row.distance_weight, label_smoothing=row.smoothing
            ),
            initial_normaliser=row.normaliser,
            detection=DetectionConfig(
                decoding=DecodingConfig(min_length=row.min_length),
                suppression=SuppressionConfig(
                    sigma=row.sigma,
                    per_class=not is_agnostic,
                    voting_threshold=row.voting,
                    max_segments=row.max_segments,
                ),
            ),
            thresholds=_THRESHOLDS.get(row.network, ACTIVITYNET_THRESHOLDS),
        ),
        data=_data(row),
        training=TrainingConfig(
            num_steps=(row.epochs + _WARMUP_EPOCHS) * per_epoch,
            batch_size=row.batch_size,
            optimiser=OptimiserConfig(
                lr=row.lr,
                final_lr=1e-8,
                warmup_steps=_WARMUP_EPOCHS * per_epoch,
                weight_decay=0.05,
                betas=(0.9, 0.999),
                clip_gradient=1.0,
            ),
            ema_decay=0.999,
            log_every=min(50, per_epoch),
            evaluate_every=5 * per_epoch,
            checkpoint_every=per_epoch,
        ),
    )


def _data(row: _Published) -> VideoData:
    if row.network == "ego4d_mq":
        return VideoData(source=row.source, eval_source="moments_val.json", format="ego4d-moments")
    if row.network == "thumos":  # its training videos are trimmed
        options: dict[str, str | int] = {"train": "validation"}
        return VideoData(
            source=row.source, format="localization", options=options, eval_split="test"
        )
    return VideoData(source=row.source, format="localization")


def temporal_localization_tiny() -> Run:
    """A small ActionFormer on features that `extract` wrote, named by segments.csv; a minute.

    `internvideo data planted-features` writes such features.
    """
    return Run(
        name="temporal_localization_tiny",
        stage=TemporalLocalizationTraining(
            model=ActionFormerConfig(
                input_width=16,
                num_classes=3,
                max_length=64,
                width=32,
                num_heads=2,
                num_stem_blocks=1,
                num_branch_blocks=2,
                windows=(9, 9, 9),
                regression_ranges=((0.0, 4.0), (4.0, 8.0), (8.0, 1e4)),
                pyramid_width=32,
                head_width=32,
            ),
            features=FeatureSets(
                released=(
                    ReleasedFeatures(
                        folder=Path("data/planted/features"),
                        stride_frames=1,
                        num_frames=1,
                        rate_fps=1,
                    ),
                )
            ),
            initial_normaliser=20.0,
        ),
        data=VideoData(
            source="segments.csv", format="segment-csv", root="data/planted", cache_mb=64
        ),
        training=TrainingConfig(
            num_steps=100,
            batch_size=8,
            optimiser=OptimiserConfig(
                lr=3e-3, final_lr=1e-4, warmup_steps=10, betas=(0.9, 0.999), clip_gradient=1.0
            ),
            ema_decay=0.9,
            log_every=10,
            evaluate_every=50,
            checkpoint_every=50,
        ),
    )


def temporal_localization_tiny_playground() -> Run:
    """On untrimmed videos of the playground, as the demo's encoder A sees them; a minute.

    `internvideo data untrimmed --out runs/untrimmed` makes them, `internvideo extract
    runs/untrimmed/videos --model runs/demo/post_pretrain_tiny_playground --out
    runs/untrimmed/features --fps 4 --stride-s 0.5` their features.
    """
    return _on_features("temporal_localization_tiny_playground", "runs/untrimmed", num_classes=29)


def temporal_localization_tiny_actions() -> Run:
    """On real clips joined to long videos, as the encoder of recognition_tiny_actions_a sees them.

    `internvideo data joined` makes them in runs/joined, `internvideo extract runs/joined/videos
    --model runs/recognition_tiny_actions_a --out runs/joined/features --fps 12 --stride-s 0.5`
    their features; a minute.
    """
    return _on_features("temporal_localization_tiny_actions", "runs/joined", num_classes=10)


def _on_features(name: str, root: str, *, num_classes: int) -> Run:
    """The tiny run on what `extract` wrote below `root`, half a second a step."""
    tiny = temporal_localization_tiny()
    assert isinstance(tiny.stage, TemporalLocalizationTraining)
    network = replace(
        tiny.stage.model,
        input_width=128,
        num_classes=num_classes,
        max_length=128,
        width=64,
        num_heads=4,
        pyramid_width=64,
        head_width=64,
    )
    return replace(
        tiny,
        name=name,
        stage=replace(tiny.stage, model=network, features=FeatureSets(extracted=("features",))),
        data=replace(tiny.data, root=root),
        training=replace(
            tiny.training, num_steps=300, ema_decay=0.97, evaluate_every=150, checkpoint_every=150
        ),
    )


def temporal_localization_tiny_adapted() -> Run:
    """Temporal adapters in encoder A of mae_tiny_playground, trained with the detector.

    On untrimmed videos that `internvideo data untrimmed --out runs/untrimmed` makes.
    """
    before = mae_tiny_playground()
    assert isinstance(before.stage, MaskedPretraining)
    tiny = temporal_localization_tiny()
    assert isinstance(tiny.stage, TemporalLocalizationTraining)
    encoder = replace(before.stage.encoder, final_norm=False)
    # Steps of a quarter of a second, in videos of up to a minute.
    network = replace(tiny.stage.model, input_width=encoder.width, num_classes=29, max_length=256)
    return replace(
        tiny,
        name="temporal_localization_tiny_adapted",
        stage=TemporalLocalizationTraining(
            model=network,
            adapted=AdaptedEncoderConfig(encoder=encoder, front_end=before.stage.front_end),
            initial_weights="runs/mae_tiny_playground",
            initial_normaliser=20.0,
        ),
        data=VideoData(
            source="segments.csv", format="segment-csv", root="runs/untrimmed", cache_mb=2048
        ),
        training=replace(
            tiny.training,
            num_steps=400,
            batch_size=2,
            optimiser=replace(tiny.training.optimiser, lr=1e-3, rates={r"^adapters\.": 0.3}),
        ),
    )


def _named(row: _Published) -> Callable[[], Run]:
    make = partial(_published, row)
    make.__doc__ = row.about
    return make


TEMPORAL_LOCALIZATION: dict[str, Callable[[], Run]] = {
    row.name: _named(row) for row in (*_TABLE, *_AGNOSTIC)
}
