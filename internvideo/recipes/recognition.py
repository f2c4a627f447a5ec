"""Runs of stage 3 and of action recognition: the published ones.

Source of the published settings: scripts of the InternVideo release (VideoMAE and UniFormerV2).
Their batches count videos; ours count clips, which is videos x views_per_video. A run starts from
the run that comes before it, by its name in `runs`, or from CLIP's released weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from internvideo.data import VideoData
from internvideo.heads import VideoClassifierConfig
from internvideo.models import ENCODERS, UNIFORMERS
from internvideo.recipes.run import Run
from internvideo.tasks import ActionRecognitionTraining
from internvideo.training import MixingConfig, OptimiserConfig, TrainingConfig
from internvideo.video.augment import AugmentConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class _Corpus:
    """Labelled videos, and how they are seen."""

    num_videos: int
    num_classes: int
    format: str
    sampling: Literal["dense", "segments"] = "dense"  # of VideoMAE; UniFormerV2: segments
    has_sides: bool = False  # whether left and right matter


_K400 = _Corpus(num_videos=240_436, num_classes=400, format="kinetics")
_K710 = _Corpus(num_videos=658_340, num_classes=710, format="kinetics710")
_SSV2 = _Corpus(
    num_videos=168_913,
    num_classes=174,
    format="something-something",
    sampling="segments",
    has_sides=True,
)

# The published list of Kinetics-400's rows among Kinetics-710's: where a head has no names, or
# other ones (fifteen classes were renamed), its rows are found by place.
_K710_TO_K400 = "map_k400.json"


def recognition_mae_base_k400() -> Run:
    """ViT-B on Kinetics-400, dense frames, 100 epochs, 32 GPUs x 16 videos."""
    return _videomae(
        "recognition_mae_base_k400",
        "base",
        _K400,
        start="mae_base_k400",
        lr=1e-3,
        layer_decay=0.75,
        drop_path=0.1,
        epochs=100,
        videos_per_step=512,
    )


def recognition_mae_large_k400() -> Run:
    """ViT-L on Kinetics-400, 40 epochs, 32 GPUs x 6 videos."""
    return _videomae(
        "recognition_mae_large_k400",
        "large",
        _K400,
        start="mae_large_hybrid",
        lr=2e-3,
        layer_decay=0.75,
        drop_path=0.2,
        epochs=40,
        videos_per_step=192,
    )


def recognition_mae_huge_k710() -> Run:
    """ViT-H on Kinetics-710, 40 epochs, 32 GPUs x 4 videos: InternVideo's encoder A."""
    return _videomae(
        "recognition_mae_huge_k710",
        "huge",
        _K710,
        start="mae_huge_hybrid",
        lr=1e-3,
        layer_decay=0.8,
        drop_path=0.2,
        dropout=0.5,
        epochs=40,
        videos_per_step=128,
    )


def recognition_mae_huge_k400() -> Run:
    """The same brought to Kinetics-400 in 3 epochs, with the rows of its head."""
    return _videomae(
        "recognition_mae_huge_k400",
        "huge",
        _K400,
        start="recognition_mae_huge_k710",
        head_rows=_K710_TO_K400,
        lr=2e-6,
        layer_decay=0.8,
        drop_path=0.2,
        dropout=0.5,
        epochs=3,
        warmup_epochs=1,
        videos_per_step=32,
    )


def recognition_mae_base_ssv2() -> Run:
    """ViT-B on Something-Something V2, 25 epochs, 16 GPUs x 16 videos."""
    return _videomae(
        "recognition_mae_base_ssv2",
        "base",
        _SSV2,
        start="mae_base_hybrid",
        lr=2e-3,
        layer_decay=0.65,
        drop_path=0.1,
        epochs=25,
        videos_per_step=256,
    )


def recognition_mae_large_ssv2() -> Run:
    """ViT-L on Something-Something V2, 30 epochs, 32 GPUs x 12 videos."""
    return _videomae(
        "recognition_mae_large_ssv2",
        "large",
        _SSV2,
        start="mae_large_hybrid",
        lr=5e-4,
        layer_decay=0.75,
        drop_path=0.2,
        epochs=30,
        videos_per_step=384,
        views=1,
    )


def recognition_mae_huge_ssv2() -> Run:
    """ViT-H on Something-Something V2, 30 epochs, 32 GPUs x 8 videos."""
    return _videomae(
        "recognition_mae_huge_ssv2",
        "huge",
        _SSV2,
        start="mae_huge_hybrid",
        lr=5e-4,
        layer_decay=0.8,
        drop_path=0.2,
        dropout=0.3,
        epochs=30,
        videos_per_step=256,
        views=1,
    )


def recognition_uniformer_base_k710() -> Run:
    """UniFormerV2-B/16 from CLIP on Kinetics-710, 8 frames, 55 epochs of 256 videos a step."""
    return _uniformer("recognition_uniformer_base_k710", "base", _K710, lr=1e-5, epochs=55)


def recognition_uniformer_base_k400() -> Run:
    """UniFormerV2-B/16 from CLIP on Kinetics-400 alone, 55 epochs."""
    return _uniformer("recognition_uniformer_base_k400", "base", _K400, lr=1e-5, epochs=55)


def recognition_uniformer_base_k710_k400() -> Run:
    """UniFormerV2-B/16 from Kinetics-710 to Kinetics-400, 5 epochs."""
    return _uniformer(
        "recognition_uniformer_base_k710_k400",
        "base",
        _K400,
        start="recognition_uniformer_base_k710",
        head_rows=_K710_TO_K400,
        lr=2e-6,
        epochs=5,
        warmup_epochs=1,
    )


def recognition_uniformer_large_k710() -> Run:
    """UniFormerV2-L/14 from CLIP on Kinetics-710, 40 epochs of 512 videos a step."""
    return _uniformer(
        "recognition_uniformer_large_k710", "large", _K710, lr=1e-5, epochs=40, videos_per_step=512
    )


def recognition_uniformer_large_k710_k400() -> Run:
    """UniFormerV2-L/14 from Kinetics-710 to Kinetics-400, 5 epochs."""
    return _uniformer(
        "recognition_uniformer_large_k710_k400",
        "large",
        _K400,
        start="recognition_uniformer_large_k710",
        head_rows=_K710_TO_K400,
        lr=1.5e-6,
        epochs=5,
        warmup_epochs=1,
    )


def _videomae(
    name: str,
    size: str,
    corpus: _Corpus,
    *,
    start: str,
    lr: float,
    layer_decay: float,
    drop_path: float,
    epochs: int,
    videos_per_step: int,
    dropout: float = 0.0,
    warmup_epochs: int = 5,
    views: int = 2,
    head_rows: str | None = None,
) -> Run:
    """Fine-tuning as in the scripts: 16 x 224 x 224, RandAugment, mixup and cutmix."""
    encoder = replace(ENCODERS[size], final_norm=False, drop_path=drop_path)
    return Run(
        name=name,
        stage=ActionRecognitionTraining(
            model=VideoClassifierConfig(
                encoder=encoder, num_classes=corpus.num_classes, dropout=dropout
            ),
            initial_weights=f"runs/{start}",
            head_rows=head_rows,
            mixing=MixingConfig(),
        ),
        data=_data(corpus, sampling=corpus.sampling, views=views, augment=AugmentConfig()),
        training=_training(
            corpus,
            OptimiserConfig(
                lr=lr,
                final_lr=1e-6,
                reference_batch=256,
                betas=(0.9, 0.999),
                layer_decay=layer_decay,
            ),
            epochs=epochs,
            warmup_epochs=warmup_epochs,
            videos_per_step=videos_per_step,
            views=views,
        ),
    )


def _uniformer(
    name: str,
    size: str,
    corpus: _Corpus,
    *,
    lr: float,
    epochs: int,
    start: str | None = None,
    warmup_epochs: int = 5,
    videos_per_step: int = 256,
    head_rows: str | None = None,
) -> Run:
    """Training as in the scripts: 8 frames of 224 x 224, RandAugment, no mixing, no erasing."""
    clip = {"base": "ViT-B-16.pt", "large": "ViT-L-14.pt"}[size]
    return Run(
        name=name,
        stage=ActionRecognitionTraining(
            model=VideoClassifierConfig(
                encoder=UNIFORMERS[size],
                num_classes=corpus.num_classes,
                pooling="query",
                dropout=0.5,
                init_scale=1.0,
            ),
            num_frames=8,
            initial_weights=clip if start is None else f"runs/{start}",
            head_rows=head_rows,
            # Not CLIP's, although its weights are.
            pixel_mean=(0.45, 0.45, 0.45),
            pixel_std=(0.225, 0.225, 0.225),
        ),
        data=_data(
            corpus, sampling="segments", views=1, augment=AugmentConfig(erase_probability=0.0)
        ),
        training=_training(
            corpus,
            OptimiserConfig(
                lr=lr, final_lr=1e-6, start_lr=1e-6, betas=(0.9, 0.999), clip_gradient=20.0
            ),
            epochs=epochs,
            warmup_epochs=warmup_epochs,
            videos_per_step=videos_per_step,
            views=1,
        ),
    )


def _data(
    corpus: _Corpus,
    *,
    sampling: Literal["dense", "segments"],
    views: int,
    augment: AugmentConfig,
) -> VideoData:
    return VideoData(
        source=".",
        format=corpus.format,
        sampling=sampling,
        stride_frames=4,
        crop="random-resized",
        flip=not corpus.has_sides,
        augment=augment,
        views_per_video=views,
        num_workers=10,
    )


def _training(
    corpus: _Corpus,
    optimiser: OptimiserConfig,
    *,
    epochs: int,
    warmup_epochs: int,
    videos_per_step: int,
    views: int,
) -> TrainingConfig:
    steps_per_epoch = corpus.num_videos // videos_per_step
    return TrainingConfig(
        num_steps=epochs * steps_per_epoch,
        batch_size=videos_per_step * views,
        optimiser=replace(optimiser, warmup_steps=warmup_epochs * steps_per_epoch),
        log_every=50,
        evaluate_every=steps_per_epoch,
        checkpoint_every=steps_per_epoch,
    )
