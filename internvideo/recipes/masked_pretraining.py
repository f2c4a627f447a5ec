"""Runs of stage 1: the published ones, and tiny ones that a laptop finishes in minutes.

Source of the published settings: scripts of the InternVideo and VideoMAE V2 releases. Where paper
and script differ (the rate of ViT-H), the script is taken; docs/explanation/deviations.md lists it.
Batch sizes there count videos; ours count clips, which is videos x views_per_video.
"""

from __future__ import annotations

from dataclasses import replace

from internvideo.data import VideoData
from internvideo.models import (
    DECODERS,
    ENCODERS,
    VIDEOMAE_V2_DECODERS,
    DecoderConfig,
    MaskedEncoderConfig,
    MaskingConfig,
)
from internvideo.recipes.run import Run
from internvideo.stages import MaskedPretraining
from internvideo.training import OptimiserConfig, TrainingConfig
from internvideo.values import Tubelet

# Videos of an epoch, by corpus: K400's and K710's training lists, and the five-domain mixture.
_K400, _K710, _HYBRID = 240_436, 658_340, 1_000_000


def mae_small_k400() -> Run:
    """ViT-S on Kinetics-400, 800 epochs, 64 GPUs: the smallest published masked pretraining."""
    return _published("mae_small_k400", "small", videos=_K400, epochs=800, videos_per_step=1024)


def mae_base_k400() -> Run:
    """ViT-B on Kinetics-400, 800 epochs, 16 GPUs x 64 videos."""
    return _published("mae_base_k400", "base", videos=_K400, epochs=800, videos_per_step=1024)


def mae_base_hybrid() -> Run:
    """ViT-B on UnlabeledHybrid, 800 epochs, 32 GPUs x 64 videos."""
    return _published("mae_base_hybrid", "base", videos=_HYBRID, epochs=800, videos_per_step=2048)


def mae_large_hybrid() -> Run:
    """ViT-L on UnlabeledHybrid, 800 epochs, 48 GPUs x 24 videos, decoder of 12 blocks."""
    return _published("mae_large_hybrid", "large", videos=_HYBRID, epochs=800, videos_per_step=1152)


def mae_huge_hybrid() -> Run:
    """ViT-H on UnlabeledHybrid, 300 epochs x 4 views, 64 GPUs x 6 videos: InternVideo's encoder."""
    return _published(
        "mae_huge_hybrid",
        "huge",
        videos=_HYBRID,
        epochs=300,
        videos_per_step=384,
        views=4,
        optimiser=OptimiserConfig(lr=1e-3, final_lr=5e-5, reference_batch=256),
        warmup_epochs=15,
    )


def mae_giant_v2() -> Run:
    """ViT-g/14 by VideoMAE V2: dual masking, 300 epochs x 4 views, 64 GPUs x 32 videos."""
    run = _published(
        "mae_giant_v2",
        "giant",
        videos=1_350_000,
        epochs=300,
        videos_per_step=2048,
        views=4,
        optimiser=OptimiserConfig(lr=6e-4, reference_batch=256, clip_gradient=0.02),
        warmup_epochs=30,
    )
    stage = MaskedPretraining(
        encoder=replace(ENCODERS["giant"], recompute_activations=True),
        decoder=VIDEOMAE_V2_DECODERS["giant"],
        masking=MaskingConfig(skipped_ratio=0.5),
    )
    return replace(run, stage=stage, training=replace(run.training, parallel="fsdp"))


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
    stage = _tiny_stage()
    stage = replace(
        stage,
        masking=MaskingConfig(kind="random", ratio=0.6),
        # What changes is loud where the rest stands still: it must not drown where it happens.
        encoder=replace(stage.encoder, patch_norm=0.25),
    )
    data = VideoData(
        source="manifest.csv",
        root="runs/playground",
        stride_frames=2,
        # Turning a film about would turn its action into another one.
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
        # Axes have 4 and 8 places: the base made for 1,568 would give them almost one value.
        positions="sine-axes",
        position_base=30.0,
        aligned_attention=1.5,
    )
    return MaskedPretraining(
        encoder=encoder,
        decoder=DecoderConfig(width=64, depth=2, num_heads=2),
        # 0.9 of 8 x 8 places leaves 6 to see; nothing is learned from so few.
        masking=MaskingConfig(ratio=0.75),
        target="clip",
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


def _published(
    name: str,
    size: str,
    *,
    videos: int,
    epochs: int,
    videos_per_step: int,
    views: int = 1,
    optimiser: OptimiserConfig | None = None,
    warmup_epochs: int = 40,
) -> Run:
    """Masked pretraining as in the released scripts: 16 x 224 x 224, tube masks of 0.9."""
    steps_per_epoch = videos // videos_per_step
    optimiser = optimiser or OptimiserConfig(lr=1.5e-4, final_lr=1e-5, reference_batch=256)
    return Run(
        name=name,
        stage=MaskedPretraining(encoder=ENCODERS[size], decoder=DECODERS[size]),
        data=VideoData(
            source="train.txt",
            format="pretraining-list",
            train_split=None,
            eval_split=None,
            held_back_share=0.01,
            stride_frames=4,
            views_per_video=views,
            num_workers=10,
        ),
        training=TrainingConfig(
            num_steps=epochs * steps_per_epoch,
            batch_size=videos_per_step * views,
            optimiser=replace(optimiser, warmup_steps=warmup_epochs * steps_per_epoch),
            log_every=50,
            evaluate_every=20 * steps_per_epoch,
            checkpoint_every=5 * steps_per_epoch,
        ),
    )
