"""Runs of spatiotemporal localization: the published ones, and a tiny one.

Source of the published settings: `avatrain.sh`, `avalarge2.sh`, `akfinetune.sh` and `avalarge.sh`
of Spatial-Temporal-Action-Localization in the InternVideo release. The folder of the data holds the
csv files of AVA (for AVA-Kinetics also those of Kinetics), the list of its 80 actions as pbtxt, and
the videos, uncut. Which 60 actions count, `internvideo evaluate ... --scored` says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from internvideo.data import VideoData
from internvideo.heads import ActionDetectorConfig, AnticipatorConfig
from internvideo.models import ENCODERS, MaskedEncoderConfig
from internvideo.runs.run import Run
from internvideo.tasks import AnticipationTraining, SpatiotemporalLocalizationTraining
from internvideo.tiny import MaskedFrontEndConfig
from internvideo.training import OptimiserConfig, TrainingConfig
from internvideo.values import Tubelet
from internvideo.video.augment import AugmentConfig

# 235 films of 897 seconds; Kinetics adds a key frame a clip.
_AVA, _AVA_KINETICS = 235 * 897, 235 * 897 + 141_000
_WARMUP_EPOCHS = 2
_ANTICIPATION = 27_801  # annotated frames to train on


@dataclass(frozen=True, slots=True)
class _Published:
    """A row of the table, named as its columns are."""

    name: str
    size: str
    num_key_frames: int
    start: str
    lr: float
    layer_decay: float
    epochs: int
    batch_size: int
    about: str


# fmt: off
_TABLE = (
    # name, size, key frames, start, lr, layer decay, epochs, clips per step
    _Published("spatiotemporal_base_ava", "base", _AVA, "recognition_mae_base_k400",
               2.5e-4, 0.75, 30, 128,
               "ViT-B on AVA 2.2, from Kinetics-400, 30 epochs, 8 GPUs x 16 clips."),
    _Published("spatiotemporal_large_ava", "large", _AVA, "recognition_mae_large_k400",
               2.5e-4, 0.75, 30, 128,
               "ViT-L on AVA 2.2, 30 epochs, 32 GPUs x 4 clips."),
    _Published("spatiotemporal_huge_ava_kinetics", "huge", _AVA_KINETICS,
               "recognition_mae_huge_k710", 2.5e-4, 0.75, 30, 128,
               "ViT-H on AVA-Kinetics, from Kinetics-710, 30 epochs, 32 GPUs x 4 clips."),
    _Published("spatiotemporal_giant_ava", "giant", _AVA, "recognition_mae_giant_k710",
               5e-4, 0.9, 20, 128,
               "ViT-g/14 on AVA 2.2, from Kinetics-710, 20 epochs, 32 GPUs x 4 clips."),
)
# fmt: on


def _published(row: _Published) -> Run:
    per_epoch = row.num_key_frames // row.batch_size
    encoder = replace(ENCODERS[row.size], drop_path=0.2, final_norm=True)
    return Run(
        name=row.name,
        stage=SpatiotemporalLocalizationTraining(
            model=ActionDetectorConfig(encoder=encoder, num_classes=80),
            initial_weights=f"runs/{row.start}",
        ),
        data=VideoData(
            source=".",
            format="ava",
            root="data/ava",
            stride_frames=4,
            crop="random",
            flip=True,
            augment=AugmentConfig(
                num_ops=0,
                erase_probability=0.0,
                hue_degrees=20.0,
                saturation_shift=0.1,
                value_shift=0.1,
            ),
            num_workers=8,
        ),
        training=TrainingConfig(
            num_steps=row.epochs * per_epoch,
            batch_size=row.batch_size,
            optimiser=OptimiserConfig(
                lr=row.lr,
                reference_batch=256,
                final_lr=1e-6,
                warmup_steps=_WARMUP_EPOCHS * per_epoch,
                weight_decay=0.05,
                betas=(0.9, 0.999),
                layer_decay=row.layer_decay,
            ),
            log_every=50,
            evaluate_every=per_epoch,
            checkpoint_every=per_epoch,
        ),
    )


def spatiotemporal_large_ego4d_scod() -> Run:
    """ViT-L on Ego4D's objects whose state changes: the noun of a given box, at three moments.

    The published system is an image detector (DINO), which finds the boxes; settings are AVA's.
    There are as many classes as the data have nouns: `stage.model.num_classes` says otherwise.
    """
    row = _Published(
        *("spatiotemporal_large_ego4d_scod", "large", 3 * 19_071, "recognition_mae_large_k400"),
        *(2.5e-4, 0.75, 30, 128, ""),
    )
    run = _published(row)
    data = replace(
        run.data,
        source="fho_scod_train.json",
        eval_source="fho_scod_val.json",
        format="ego4d-state-changes",
        root="data/ego4d",
        clip_rate_fps=30.0,
    )
    model = replace(run.stage.model, num_classes=478)
    return replace(run, stage=replace(run.stage, model=model), data=data)


def spatiotemporal_tiny_playground() -> Run:
    """Several actors in one video, from scratch; minutes. `internvideo data actors` makes them."""
    encoder = MaskedEncoderConfig(
        num_frames=8,
        side_px=64,
        tubelet=Tubelet(time=2, height=8, width=8),
        width=64,
        depth=3,
        num_heads=4,
        final_norm=True,
    )
    return Run(
        name="spatiotemporal_tiny_playground",
        stage=SpatiotemporalLocalizationTraining(
            model=ActionDetectorConfig(
                encoder=encoder,
                front_end=MaskedFrontEndConfig(frame_differences=True),
                num_classes=11,
                test_side_px=64,
            ),
            reduction="mean",
        ),
        data=VideoData(
            source=".",
            format="ava",
            root="runs/actors",
            stride_frames=5,
            clip_rate_fps=16.0,
            crop="centre",
            # Mirroring a clip would turn its actions into others.
            flip=False,
            cache_mb=1024,
        ),
        training=TrainingConfig(
            num_steps=1500,
            batch_size=16,
            optimiser=OptimiserConfig(
                lr=1e-3,
                final_lr=1e-5,
                warmup_steps=50,
                weight_decay=0.05,
                betas=(0.9, 0.999),
                clip_gradient=1.0,
                muon=3.0,
            ),
            log_every=25,
            evaluate_every=500,
            checkpoint_every=500,
        ),
    )


def _named(row: _Published) -> Callable[[], Run]:
    make = partial(_published, row)
    make.__doc__ = row.about
    return make


def anticipation_large_ego4d() -> Run:
    """ViT-L on Ego4D's short-term anticipation, 30 epochs of 32 frames a step.

    Its 87 nouns and 74 verbs are those of the first release; the data tell where they have others.
    Published from a network that had learned verbs and nouns of Ego4D; here from Kinetics.
    """
    per_epoch = _ANTICIPATION // 32
    encoder = replace(ENCODERS["large"], drop_path=0.2, final_norm=True)
    return Run(
        name="anticipation_large_ego4d",
        stage=AnticipationTraining(
            model=AnticipatorConfig(
                detector=ActionDetectorConfig(encoder=encoder, num_classes=74), num_nouns=87
            ),
            initial_weights="runs/recognition_mae_large_k400",
        ),
        data=VideoData(
            source="fho_sta_train.json",
            eval_source="fho_sta_val.json",
            format="ego4d-anticipation",
            stride_frames=4,
            clip_rate_fps=30.0,
            crop="random",
            flip=True,
            num_workers=8,
        ),
        training=TrainingConfig(
            num_steps=30 * per_epoch,
            batch_size=32,
            optimiser=OptimiserConfig(
                lr=2.5e-4,
                reference_batch=256,
                final_lr=1e-6,
                warmup_steps=_WARMUP_EPOCHS * per_epoch,
                weight_decay=0.05,
                betas=(0.9, 0.999),
                layer_decay=0.75,
            ),
            log_every=50,
            evaluate_every=per_epoch,
            checkpoint_every=per_epoch,
        ),
    )


SPATIOTEMPORAL_LOCALIZATION: dict[str, Callable[[], Run]] = {
    **{row.name: _named(row) for row in _TABLE},
    "anticipation_large_ego4d": anticipation_large_ego4d,
}
