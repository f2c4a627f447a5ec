"""Runs that name the playground's actions, and ten of UCF101, in minutes on two cores.

Why they are as they are: benchmarks/tiny_runs-*.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from internvideo.heads import VideoClassifierConfig
from internvideo.models import MaskedEncoderConfig, UniFormerConfig
from internvideo.recipes.masked_pretraining import mae_tiny_actions, mae_tiny_playground
from internvideo.recipes.multimodal_pretraining import multimodal_tiny_playground
from internvideo.runs.run import Run
from internvideo.stages import MaskedPretraining, MultimodalPretraining
from internvideo.tasks import ActionRecognitionTraining
from internvideo.tiny import MaskedFrontEndConfig, UniFormerFrontEndConfig
from internvideo.training import OptimiserConfig, TrainingConfig


def post_pretrain_tiny_playground() -> Run:
    """Encoder A names the playground's actions, after mae_tiny_playground; minutes on two cores."""
    run = _tiny("post_pretrain_tiny_playground", mae_tiny_playground(), num_classes=29)
    assert isinstance(run.stage, ActionRecognitionTraining)
    # Which way things turn is learned last, the rest within 1,000 steps.
    training = replace(run.training, evaluate_every=1000, checkpoint_every=1000)
    return replace(
        run,
        stage=replace(run.stage, model=_by_saliency(run.stage.model, 8, 64)),
        data=replace(run.data, sampling="segments", crop="centre", cache_mb=4096),
        training=_by_muon(training, num_steps=6000),
    )


def post_pretrain_tiny_playground_b() -> Run:
    """Encoder B names the playground's actions, after multimodal_tiny_playground."""
    before = multimodal_tiny_playground()
    assert isinstance(before.stage, MultimodalPretraining)
    model = VideoClassifierConfig(
        encoder=before.stage.encoder.video,
        front_end=before.stage.front_end,
        num_classes=29,
        pooling="query",
        dropout=0.1,
    )
    run = post_pretrain_tiny_playground()
    return replace(
        run,
        name="post_pretrain_tiny_playground_b",
        stage=ActionRecognitionTraining(model=model, initial_weights=f"runs/{before.name}"),
        training=replace(run.training, num_steps=600, evaluate_every=200, checkpoint_every=200),
    )


def recognition_tiny_actions() -> Run:
    """Ten UCF101 classes from scratch, by what moves; --data names their folder; minutes."""
    encoder = UniFormerConfig(
        side_px=64,
        patch_px=8,
        width=96,
        depth=3,
        num_heads=3,
        drop_path=0.1,
        temporal_patch_size=3,
        global_layers=(1, 2),
        num_global_heads=3,
        global_dropout=0.3,
        global_drop_path=0.1,
        num_local=1,
        local_norm="layer",
    )
    # Of 441 clips a network learns the rooms, not what is done in them: so it sees changes alone.
    model = VideoClassifierConfig(
        encoder=encoder,
        front_end=UniFormerFrontEndConfig(stem_width=24, frame_differences=True),
        num_classes=10,
        pooling="query",
        dropout=0.3,
    )
    return Run(
        name="recognition_tiny_actions",
        stage=ActionRecognitionTraining(model=model, num_frames=16, label_smoothing=0.1),
        data=replace(
            mae_tiny_actions().data,
            views_per_video=1,
            stride_frames=2,
            stride_range=(1, 4),
            crop="multi-scale",
        ),
        training=replace(_training(weight_decay=0.1, muon=3.0), ema_decay=0.99),
    )


def recognition_tiny_actions_a() -> Run:
    """The same classes by encoder A, from scratch, by what changes; minutes on one core."""
    run = _tiny(
        "recognition_tiny_actions_a", mae_tiny_actions(), num_classes=10, label_smoothing=0.1
    )
    assert isinstance(run.stage, ActionRecognitionTraining)
    stage = replace(run.stage, initial_weights=None, model=_by_saliency(run.stage.model, 16, 128))
    data = replace(run.data, stride_frames=2)
    return replace(run, stage=stage, data=data, training=_by_muon(run.training, num_steps=520))


def _tiny(name: str, before: Run, *, num_classes: int, label_smoothing: float = 0.0) -> Run:
    """Train the classifier of a tiny masked pretraining on the same videos."""
    assert isinstance(before.stage, MaskedPretraining)
    encoder = replace(before.stage.encoder, final_norm=False, drop_path=0.1)
    model = VideoClassifierConfig(
        encoder=encoder, front_end=before.stage.front_end, num_classes=num_classes, dropout=0.1
    )
    return Run(
        name=name,
        stage=ActionRecognitionTraining(
            model=model,
            initial_weights=f"runs/{before.name}",
            label_smoothing=label_smoothing,
        ),
        data=replace(before.data, views_per_video=1),
        training=_training(weight_decay=0.05, betas=(0.9, 0.999), layer_decay=0.75),
    )


def _by_saliency(
    model: VideoClassifierConfig, num_frames: int, num_salient_tubelets: int
) -> VideoClassifierConfig:
    """Read the tubelets that change most, each beside its frame differences.

    What moves is small and grounds are still: a mean over all tubelets drowns it, and of few clips
    a network learns the rooms, not what is done in them.
    """
    assert isinstance(model.encoder, MaskedEncoderConfig)
    assert isinstance(model.front_end, MaskedFrontEndConfig)
    front_end = replace(
        model.front_end, frame_differences=True, num_salient_tubelets=num_salient_tubelets
    )
    encoder = replace(model.encoder, num_frames=num_frames)
    return replace(model, encoder=encoder, front_end=front_end, pooling="attentive")


def _by_muon(training: TrainingConfig, *, num_steps: int) -> TrainingConfig:
    optimiser = replace(training.optimiser, layer_decay=1.0, muon=3.0)
    return replace(training, num_steps=num_steps, optimiser=optimiser)


def _training(**optimiser: Any) -> TrainingConfig:
    """600 steps of 32 clips at the rate of all tiny classifiers."""
    return TrainingConfig(
        num_steps=600,
        batch_size=32,
        cpu_processes=2,
        optimiser=OptimiserConfig(
            lr=1e-3, final_lr=1e-5, warmup_steps=50, clip_gradient=1.0, **optimiser
        ),
        log_every=25,
        evaluate_every=200,
        checkpoint_every=200,
    )
