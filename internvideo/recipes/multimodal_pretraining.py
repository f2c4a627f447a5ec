"""Runs of stage 2: the published ones, and a tiny one that a laptop finishes in minutes.

Source of the published settings: InternVideo, section 4.1, and the released training code.
"""

from __future__ import annotations

from dataclasses import replace

from internvideo.data import Source, VideoData
from internvideo.models import (
    MULTIMODAL_ENCODERS,
    CaptionDecoderConfig,
    MultimodalEncoderConfig,
    TextEncoderConfig,
    UniFormerConfig,
)
from internvideo.runs.run import Run
from internvideo.stages import MultimodalPretraining
from internvideo.tiny import UniFormerFrontEndConfig
from internvideo.training import OptimiserConfig, TrainingConfig


def multimodal_base() -> Run:
    """B/16 from CLIP on WebVid10M and images of LAION: 400,000 steps, 128 GPUs for two weeks."""
    return _published("multimodal_base", "base", initial_weights="ViT-B-16.pt")


def multimodal_large() -> Run:
    """L/14 from CLIP on WebVid10M and images of LAION: InternVideo's encoder B."""
    return _published("multimodal_large", "large", initial_weights="ViT-L-14.pt")


def multimodal_tiny_playground() -> Run:
    """3 M parameters on the captions and images of a playground, in minutes on two cores."""
    return Run(
        name="multimodal_tiny_playground",
        stage=MultimodalPretraining(
            encoder=tiny_multimodal_encoder(),
            front_end=UniFormerFrontEndConfig(num_salient_patches=20),
            vocabulary="own",
        ),
        data=VideoData(
            source="msrvtt/MSRVTT_data.json",
            format="msr-vtt",
            root="runs/playground",
            sampling="segments",
            crop="centre",
            flip=True,
            cache_mb=8192,
        ),
        other_sources={
            "images": Source(
                data=VideoData(
                    source="image_text/train.jsonl",
                    format="image-text-list",
                    root="runs/playground",
                    train_split=None,
                    crop="centre",
                    flip=True,
                    cache_mb=4096,
                ),
                batch_size=96,
                num_frames=1,
            )
        },
        training=TrainingConfig(
            num_steps=960,
            batch_size=64,
            cpu_processes=2,
            optimiser=OptimiserConfig(
                lr=1e-3,
                final_lr=1e-5,
                warmup_steps=100,
                weight_decay=0.05,
                clip_gradient=1.0,
                muon=3.0,
                rates={"captioner": 3.0},  # at the others' rate it names no verbs in this time
            ),
            log_every=25,
            evaluate_every=480,
            checkpoint_every=192,
        ),
    )


def tiny_multimodal_encoder() -> MultimodalEncoderConfig:
    """The encoder B of the tiny recipes, with its caption decoder."""
    vocabulary = 1100
    return MultimodalEncoderConfig(
        video=UniFormerConfig(
            side_px=64,
            patch_px=8,
            width=128,
            depth=4,
            num_heads=4,
            temporal_patch_size=3,
            global_layers=(2, 3),
            num_global_heads=4,
            global_dropout=0.0,
            num_local=1,
            local_norm="layer",
        ),
        text=TextEncoderConfig(
            vocabulary_size=vocabulary, context_length=40, width=128, depth=2, num_heads=4
        ),
        embed_dim=128,
        captioner=CaptionDecoderConfig(
            width=128,
            context_width=128,
            depth=2,
            num_heads=4,
            head_width=32,
            num_queries=8,
            vocabulary_size=vocabulary,
        ),
    )


def _published(name: str, size: str, *, initial_weights: str) -> Run:
    """The paper's batches, rate and length; the released code's optimiser and frozen text tower."""
    encoder = MULTIMODAL_ENCODERS[size]
    text = replace(encoder.text, mask_token=False)
    captioner = CaptionDecoderConfig(
        width=text.width, context_width=encoder.video.width, num_heads=text.width // 64
    )
    videos = VideoData(
        source="results_10M_train.csv",
        eval_source="results_10M_val.csv",
        format="webvid",
        sampling="segments",
        crop="multi-scale",
        eval_crop=224 / 256,
        num_workers=10,
    )
    images = VideoData(
        source="laion.jsonl",
        format="image-text-list",
        train_split=None,
        crop="random-resized",
        num_workers=10,
    )
    return Run(
        name=name,
        stage=MultimodalPretraining(
            encoder=replace(encoder, text=text, captioner=captioner),
            initial_weights=initial_weights,
            freeze_text=True,
        ),
        data=videos,
        other_sources={"images": Source(data=images, batch_size=86_016, num_frames=1)},
        training=TrainingConfig(
            num_steps=400_000,
            batch_size=14_336,
            optimiser=OptimiserConfig(
                lr=8e-5,
                final_lr=0.0,
                warmup_steps=4000,
                weight_decay=0.2,
                betas=(0.9, 0.98),
                eps=1e-6,
            ),
            log_every=50,
            evaluate_every=10_000,
            checkpoint_every=1000,
        ),
    )
