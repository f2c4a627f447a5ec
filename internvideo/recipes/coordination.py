"""Runs of stage 4: coordination as published, and a tiny one for two cores.

Source of the published settings: InternVideo, section 4.1 and the notes to it; what they leave open
is a field of `CoordinationConfig` (docs/explanation/coordination.md). A run starts from two runs of
stage 3.
"""

from __future__ import annotations

from dataclasses import replace

from internvideo.heads import CoordinatedClassifierConfig
from internvideo.models import CoordinationConfig
from internvideo.recipes.recognition import RECOGNITION_RECIPES
from internvideo.recipes.tiny_recognition import (
    post_pretrain_tiny_playground,
    post_pretrain_tiny_playground_b,
)
from internvideo.runs.run import Run
from internvideo.stages import CoordinationTraining
from internvideo.tasks import ActionRecognitionTraining
from internvideo.training import OptimiserConfig, TrainingConfig

_K710 = 658_340  # videos of an epoch


def coordinate_huge_k710() -> Run:
    """ViT-H and UniFormerV2-L/14 on Kinetics-710: InternVideo, 5 epochs of 64 videos a step."""
    a = RECOGNITION_RECIPES["recognition_mae_huge_k710"]()
    b = RECOGNITION_RECIPES["recognition_uniformer_large_k710"]()
    steps_per_epoch = _K710 // 64
    return Run(
        name="coordinate_huge_k710",
        # The natural pairing: the four layers that B's global blocks read.
        stage=_stage(a, b, CoordinationConfig(blocks=4)),
        data=replace(a.data, views_per_video=1, augment=b.data.augment),
        training=TrainingConfig(
            num_steps=5 * steps_per_epoch,
            batch_size=64,
            optimiser=OptimiserConfig(
                lr=5e-5,
                final_lr=0.0,
                warmup_steps=steps_per_epoch,
                weight_decay=0.001,
                betas=(0.9, 0.999),
            ),
            ema_decay=0.9999,
            log_every=50,
            evaluate_every=steps_per_epoch,
            checkpoint_every=steps_per_epoch,
        ),
    )


def coordinate_tiny_playground() -> Run:
    """Both tiny classifiers of the playground's actions, joined; a minute or two on two cores.

    It learns on val and is judged on test: both have memorised the clips of train, and whatever
    learns there finds nothing to improve and nothing to tell the better encoder by.
    """
    a, b = post_pretrain_tiny_playground(), post_pretrain_tiny_playground_b()
    return Run(
        name="coordinate_tiny_playground",
        # B halves time itself: from all frames it has as many temporal slots as A.
        # Classifiers that went on learning would memorise these few clips.
        stage=replace(
            _stage(a, b, CoordinationConfig(head_width=32, frame_step=1), dropout=0.5),
            keep_classifiers=True,
        ),
        data=replace(a.data, views_per_video=1, train_split="val", eval_split="test"),
        training=TrainingConfig(
            num_steps=150,
            batch_size=32,
            # What is one number moves by about the rate in a step; the paper's 5e-5 is for fifty
            # thousand steps.
            optimiser=OptimiserConfig(
                lr=3e-4,
                final_lr=3e-6,
                warmup_steps=20,
                weight_decay=0.001,
                betas=(0.9, 0.999),
                clip_gradient=1.0,
                rates={"_gate$|^(alpha|beta)$": 100.0},
            ),
            log_every=15,
            evaluate_every=150,
            checkpoint_every=50,
        ),
    )


def _stage(
    a: Run, b: Run, coordination: CoordinationConfig, *, dropout: float = 0.9
) -> CoordinationTraining:
    assert isinstance(a.stage, ActionRecognitionTraining) and isinstance(
        b.stage, ActionRecognitionTraining
    )
    (mean_a, std_a), (mean_b, std_b) = a.stage.normalisation, b.stage.normalisation
    return CoordinationTraining(
        masked=f"runs/{a.name}",
        multimodal=f"runs/{b.name}",
        pair=CoordinatedClassifierConfig(
            masked=a.stage.model,
            multimodal=b.stage.model,
            coordination=coordination,
            dropout=dropout,
            masked_mean=mean_a,
            masked_std=std_a,
            multimodal_mean=mean_b,
            multimodal_std=std_b,
        ),
    )
