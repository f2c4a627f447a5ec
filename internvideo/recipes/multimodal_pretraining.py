"""Runs of stage 2: the published ones, and a tiny one that a laptop finishes in minutes.

Source of the published settings: InternVideo, section 4.1, and the released training code.
"""

from __future__ import annotations

from internvideo.data import VideoData
from internvideo.models import (
    MultimodalEncoderConfig,
    TextEncoderConfig,
    UniFormerConfig,
)
from internvideo.recipes.run import Run
from internvideo.stages import MultimodalPretraining
from internvideo.training import OptimiserConfig, TrainingConfig


def multimodal_tiny_playground() -> Run:
    """2 M parameters on the playground's sentences, minutes on two cores."""
    vocabulary = 800
    encoder = MultimodalEncoderConfig(
        video=UniFormerConfig(
            side_px=64,
            patch_px=8,
            width=128,
            depth=4,
            num_heads=4,
            global_layers=(2, 3),
            num_global_heads=4,
            global_dropout=0.0,
            num_local=1,
            local_norm="layer",
            time_kernel=3,
            aligned_attention=1.5,
        ),
        text=TextEncoderConfig(
            vocabulary_size=vocabulary, context_length=40, width=128, depth=2, num_heads=4
        ),
        embed_dim=128,
    )
    return Run(
        name="multimodal_tiny_playground",
        stage=MultimodalPretraining(encoder=encoder, vocabulary="own", num_negatives=4),
        data=VideoData(
            source="multiple_choice/train.jsonl",
            eval_source="multiple_choice/val.jsonl",
            format="msr-vtt-choice",
            root="runs/playground",
            sampling="segments",
            crop="centre",
            cache_mb=4096,
        ),
        training=TrainingConfig(
            num_steps=1500,
            batch_size=64,
            optimiser=OptimiserConfig(
                lr=1e-3, final_lr=1e-5, warmup_steps=100, weight_decay=0.05, clip_gradient=1.0
            ),
            log_every=25,
            evaluate_every=250,
            checkpoint_every=250,
        ),
    )
