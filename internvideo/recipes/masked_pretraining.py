"""Runs of stage 1: the published ones, and tiny ones that a laptop finishes in minutes.

Source of the published settings: scripts of the InternVideo and VideoMAE V2 releases. Where paper
and script differ (the rate of ViT-H), the script is taken; docs/explanation/deviations.md lists it.
Batch sizes there count videos; ours count clips, which is videos x views_per_video.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from internvideo.data import VideoData
from internvideo.models import (
    DECODERS,
    ENCODERS,
    VIDEOMAE_V2_DECODERS,
    DecoderConfig,
    MaskedEncoderConfig,
    MaskingConfig,
)
from internvideo.runs.run import Run
from internvideo.stages import MaskedPretraining
from internvideo.tiny import MaskedFrontEndConfig
from internvideo.training import OptimiserConfig, TrainingConfig
from internvideo.values import Tubelet

# Videos of an epoch, by corpus: K400's training list, the five-domain mixture, and V2's.
_K400, _HYBRID, _HYBRID_V2 = 240_436, 1_000_000, 1_350_000


@dataclass(frozen=True, kw_only=True, slots=True)
class _Published:
    """What published runs differ in; `about` is the docstring of the recipe."""

    about: str
    size: str
    videos: int
    epochs: int
    videos_per_step: int
    views: int = 1
    lr: float = 1.5e-4
    final_lr: float = 1e-5
    warmup_epochs: int = 40
    clip_gradient: float | None = None
    decoders: Mapping[str, DecoderConfig] = field(default_factory=lambda: DECODERS)
    decoder_mask_ratio: float = 0.0  # above 0: dual masking
    recompute_activations: bool = False
    parallel: Literal["ddp", "fsdp"] = "ddp"


_PUBLISHED: dict[str, _Published] = {
    "mae_small_k400": _Published(
        about="ViT-S on Kinetics-400, 800 epochs, 64 GPUs: the smallest masked pretraining.",
        size="small",
        videos=_K400,
        epochs=800,
        videos_per_step=1024,
    ),
    "mae_base_k400": _Published(
        about="ViT-B on Kinetics-400, 800 epochs, 16 GPUs x 64 videos.",
        size="base",
        videos=_K400,
        epochs=800,
        videos_per_step=1024,
    ),
    "mae_base_hybrid": _Published(
        about="ViT-B on UnlabeledHybrid, 800 epochs, 32 GPUs x 64 videos.",
        size="base",
        videos=_HYBRID,
        epochs=800,
        videos_per_step=2048,
    ),
    "mae_large_hybrid": _Published(
        about="ViT-L on UnlabeledHybrid, 800 epochs, 48 GPUs x 24 videos, decoder of 12 blocks.",
        size="large",
        videos=_HYBRID,
        epochs=800,
        videos_per_step=1152,
    ),
    "mae_huge_hybrid": _Published(
        about="ViT-H on UnlabeledHybrid, 300 epochs x 4 views, 64 GPUs x 6 videos: InternVideo's.",
        size="huge",
        videos=_HYBRID,
        epochs=300,
        videos_per_step=384,
        views=4,
        lr=1e-3,
        final_lr=5e-5,
        warmup_epochs=15,
    ),
    "mae_giant_v2": _Published(
        about="ViT-g/14 by VideoMAE V2: dual masking, 300 epochs x 4 views, 64 GPUs x 32 videos.",
        size="giant",
        videos=_HYBRID_V2,
        epochs=300,
        videos_per_step=2048,
        views=4,
        lr=6e-4,
        warmup_epochs=30,
        clip_gradient=0.02,
        decoders=VIDEOMAE_V2_DECODERS,
        decoder_mask_ratio=0.5,
        recompute_activations=True,
        parallel="fsdp",
    ),
}


def _recipe(name: str, row: _Published) -> Callable[[], Run]:
    """Turn a row into a recipe: 16 x 224 x 224, tube masks of 0.9, normalised targets."""

    def recipe() -> Run:
        steps_per_epoch = row.videos // row.videos_per_step
        encoder = replace(ENCODERS[row.size], recompute_activations=row.recompute_activations)
        return Run(
            name=name,
            stage=MaskedPretraining(
                encoder=encoder,
                decoder=row.decoders[row.size],
                masking=MaskingConfig(decoder_mask_ratio=row.decoder_mask_ratio),
            ),
            data=VideoData(
                source="train.txt",
                format="pretraining-list",
                train_split=None,
                eval_split=None,
                held_back_share=0.01,
                stride_frames=4,
                views_per_video=row.views,
                num_workers=10,
            ),
            training=TrainingConfig(
                num_steps=row.epochs * steps_per_epoch,
                batch_size=row.videos_per_step * row.views,
                optimiser=OptimiserConfig(
                    lr=row.lr,
                    final_lr=row.final_lr,
                    reference_batch=256,
                    warmup_steps=row.warmup_epochs * steps_per_epoch,
                    clip_gradient=row.clip_gradient,
                ),
                parallel=row.parallel,
                log_every=50,
                evaluate_every=20 * steps_per_epoch,
                checkpoint_every=5 * steps_per_epoch,
            ),
        )

    recipe.__name__, recipe.__doc__ = name, row.about
    return recipe


MASKED_PRETRAINING: dict[str, Callable[[], Run]] = {
    name: _recipe(name, row) for name, row in _PUBLISHED.items()
}


def mae_tiny_actions() -> Run:
    """3 M parameters on ten UCF101 classes, minutes on two cores; --data names their folder."""
    return Run(
        name="mae_tiny_actions",
        stage=_tiny_stage(),
        data=VideoData(
            source="splits.csv",
            columns={"path": "file", "label": "class"},
            stride_frames=4,
            flip=True,
            views_per_video=2,
            cache_mb=2048,
        ),
        training=_tiny_training(),
    )


def mae_tiny_videos() -> Run:
    """The same on a folder of your own videos, with or without class folders: --data FOLDER."""
    run = mae_tiny_actions()
    data = replace(run.data, source=".", format="videos", columns={})
    return replace(run, name="mae_tiny_videos", data=data)


def mae_tiny_playground() -> Run:
    """The same on the playground, which `internvideo data playground --out FOLDER` makes."""
    run = mae_tiny_actions()
    # Shapes are few and small: a tube of 0.75 hides most of them altogether, and what nobody can
    # know teaches nothing. Tokens hidden anywhere are seen at another moment.
    stage = replace(_tiny_stage(), masking=MaskingConfig(kind="random", ratio=0.6))
    data = VideoData(
        source="manifest.csv",
        root="runs/playground",
        stride_frames=2,
        # Mirroring a clip would turn its action into another one.
        flip=False,
        views_per_video=2,
        cache_mb=2048,
    )
    return replace(
        run,
        name="mae_tiny_playground",
        stage=stage,
        data=data,
        training=replace(run.training, num_steps=1000),
    )


def _tiny_stage() -> MaskedPretraining:
    """Sizes at which masked pretraining learns in minutes; see benchmarks/tiny_runs-*.md."""
    encoder = MaskedEncoderConfig(
        num_frames=8,
        side_px=64,
        tubelet=Tubelet(time=2, height=8, width=8),
        width=128,
        depth=4,
        num_heads=4,
    )
    return MaskedPretraining(
        encoder=encoder,
        front_end=MaskedFrontEndConfig(),
        decoder=DecoderConfig(width=64, depth=2, num_heads=2),
        # 0.9 of 8 x 8 patches leaves 6 to see; nothing is learned from so few.
        masking=MaskingConfig(ratio=0.75),
    )


def _tiny_training() -> TrainingConfig:
    return TrainingConfig(
        num_steps=1500,
        batch_size=32,
        cpu_processes=2,
        optimiser=OptimiserConfig(
            lr=2e-3, final_lr=1e-5, warmup_steps=50, weight_decay=0.05, clip_gradient=1.0
        ),
        log_every=25,
        evaluate_every=250,
        checkpoint_every=250,
    )
