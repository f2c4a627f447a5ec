"""Runs of stage 3 and of action recognition: the published ones.

Source of the published settings: scripts of the InternVideo release (VideoMAE and UniFormerV2).
Their batches count videos; ours count clips, which is videos x views_per_video. A run starts from
the run that comes before it, by its name in `runs`, or from CLIP's released weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from internvideo.data import VideoData
from internvideo.heads import VideoClassifierConfig
from internvideo.models import ENCODERS, UNIFORMERS
from internvideo.objectives import EvidentialLoss
from internvideo.runs.run import Run
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
    stride_frames: int = 4
    eval_split: str = "val"


_K400 = _Corpus(num_videos=240_436, num_classes=400, format="kinetics")
_K710 = _Corpus(num_videos=658_340, num_classes=710, format="kinetics710")
_SSV2 = _Corpus(
    num_videos=168_913,
    num_classes=174,
    format="something-something",
    sampling="segments",
    has_sides=True,
)
_K600 = _Corpus(num_videos=366_006, num_classes=600, format="kinetics")
_K700 = _Corpus(num_videos=523_000, num_classes=700, format="kinetics")
_SSV1 = _Corpus(
    num_videos=86_017,
    num_classes=174,
    format="something-something-v1",
    sampling="segments",
    has_sides=True,
)
_ACTIVITYNET = _Corpus(num_videos=15_410, num_classes=200, format="activitynet")
_HACS = _Corpus(num_videos=37_613, num_classes=200, format="activitynet")
_HMDB51 = _Corpus(
    num_videos=3_570, num_classes=51, format="hmdb51", stride_frames=2, eval_split="test"
)
_UCF101 = _Corpus(
    num_videos=9_537, num_classes=101, format="ucf101", stride_frames=2, eval_split="test"
)

# The published list of Kinetics-400's rows among Kinetics-710's: where a head has no names, or
# other ones (fifteen classes were renamed), its rows are found by place.
_K710_TO_K400, _K710_TO_K600, _K710_TO_K700 = (f"map_k{n}.json" for n in (400, 600, 700))


@dataclass(frozen=True, slots=True)
class _VideoMAE:
    """A row of the table of VideoMAE's fine-tuning, named as its columns are."""

    name: str
    size: str
    corpus: _Corpus
    start: str
    lr: float
    layer_decay: float
    drop_path: float
    dropout: float
    epochs: int
    warmup_epochs: int
    videos_per_step: int
    views: int
    about: str
    head_rows: str | None = None
    weight_decay: float = 0.05
    clip_gradient: float | None = None


@dataclass(frozen=True, slots=True)
class _UniFormer:
    """A row of the table of UniFormerV2's training; without `start` it begins from CLIP."""

    name: str
    size: str
    corpus: _Corpus
    start: str | None
    lr: float
    epochs: int
    warmup_epochs: int
    videos_per_step: int
    about: str
    head_rows: str | None = None
    num_frames: int = 8
    views: int = 1
    drop_path: float = 0.0
    global_drop_path: float = 0.0


# fmt: off
_VIDEOMAES = (
    # name, size, corpus, start,
    # lr, layer decay, drop path, dropout, epochs, warm-up epochs, videos per step, views
    _VideoMAE("recognition_mae_base_k400", "base", _K400, "mae_base_k400",
              1e-3, 0.75, 0.1, 0.0, 100, 5, 512, 2,
              "ViT-B on Kinetics-400, dense frames, 100 epochs, 32 GPUs x 16 videos."),
    _VideoMAE("recognition_mae_large_k400", "large", _K400, "mae_large_hybrid",
              2e-3, 0.75, 0.2, 0.0, 40, 5, 192, 2,
              "ViT-L on Kinetics-400, 40 epochs, 32 GPUs x 6 videos."),
    _VideoMAE("recognition_mae_huge_k710", "huge", _K710, "mae_huge_hybrid",
              1e-3, 0.8, 0.2, 0.5, 40, 5, 128, 2,
              "ViT-H on Kinetics-710, 40 epochs, 32 GPUs x 4 videos: InternVideo's encoder A."),
    _VideoMAE("recognition_mae_huge_k400", "huge", _K400, "recognition_mae_huge_k710",
              2e-6, 0.8, 0.2, 0.5, 3, 1, 32, 2,
              "The same brought to Kinetics-400 in 3 epochs, with the rows of its head.",
              _K710_TO_K400),
    _VideoMAE("recognition_mae_huge_k600", "huge", _K600, "recognition_mae_huge_k710",
              2e-6, 0.8, 0.2, 0.5, 3, 1, 32, 2,
              "The same brought to Kinetics-600 in 3 epochs.",
              _K710_TO_K600),
    _VideoMAE("recognition_mae_huge_k700", "huge", _K700, "recognition_mae_huge_k710",
              2e-6, 0.8, 0.2, 0.5, 3, 1, 32, 2,
              "The same brought to Kinetics-700 in 3 epochs.",
              _K710_TO_K700),
    _VideoMAE("recognition_mae_giant_k710", "giant", _K710, "mae_giant_v2",
              1e-3, 0.9, 0.3, 0.0, 35, 5, 96, 2,
              "ViT-g/14 on Kinetics-710 by VideoMAE V2, 35 epochs, 32 GPUs x 3 videos.",
              weight_decay=0.1, clip_gradient=5.0),
    _VideoMAE("recognition_mae_base_activitynet", "base", _ACTIVITYNET, "mae_base_k400",
              1e-3, 0.75, 0.1, 0.0, 100, 5, 256, 2,
              "ViT-B on instances of ActivityNet 1.3, 100 epochs, 16 GPUs x 16 videos."),
    _VideoMAE("recognition_mae_huge_hmdb51", "huge", _HMDB51, "recognition_mae_huge_k710",
              5e-4, 0.8, 0.35, 0.5, 15, 5, 64, 2,
              "ViT-H on HMDB51, 15 epochs, by VideoMAE V2's settings (InternVideo's are unknown)."),
    _VideoMAE("recognition_mae_base_ssv2", "base", _SSV2, "mae_base_hybrid",
              2e-3, 0.65, 0.1, 0.0, 25, 5, 256, 2,
              "ViT-B on Something-Something V2, 25 epochs, 16 GPUs x 16 videos."),
    _VideoMAE("recognition_mae_large_ssv2", "large", _SSV2, "mae_large_hybrid",
              5e-4, 0.75, 0.2, 0.0, 30, 5, 384, 1,
              "ViT-L on Something-Something V2, 30 epochs, 32 GPUs x 12 videos."),
    _VideoMAE("recognition_mae_huge_ssv2", "huge", _SSV2, "mae_huge_hybrid",
              5e-4, 0.8, 0.2, 0.3, 30, 5, 256, 1,
              "ViT-H on Something-Something V2, 30 epochs, 32 GPUs x 8 videos."),
)
_UNIFORMERS = (
    # name, size, corpus, start,
    # lr, epochs, warm-up epochs, videos per step
    _UniFormer("recognition_uniformer_base_k710", "base", _K710, None,
               1e-5, 55, 5, 256,
               "UniFormerV2-B/16 from CLIP on Kinetics-710, 8 frames, 55 epochs of 256 videos a "
               "step."),
    _UniFormer("recognition_uniformer_base_k400", "base", _K400, None,
               1e-5, 55, 5, 256,
               "UniFormerV2-B/16 from CLIP on Kinetics-400 alone, 55 epochs."),
    _UniFormer("recognition_uniformer_base_k710_k400", "base", _K400,
               "recognition_uniformer_base_k710",
               2e-6, 5, 1, 256,
               "UniFormerV2-B/16 from Kinetics-710 to Kinetics-400, 5 epochs.",
               _K710_TO_K400),
    _UniFormer("recognition_uniformer_large_k710", "large", _K710, None,
               1e-5, 40, 5, 512,
               "UniFormerV2-L/14 from CLIP on Kinetics-710, 40 epochs of 512 videos a step."),
    _UniFormer("recognition_uniformer_large_k710_k400", "large", _K400,
               "recognition_uniformer_large_k710",
               1.5e-6, 5, 1, 256,
               "UniFormerV2-L/14 from Kinetics-710 to Kinetics-400, 5 epochs.",
               _K710_TO_K400),
    _UniFormer("recognition_uniformer_large_k710_k600", "large", _K600,
               "recognition_uniformer_large_k710",
               1.5e-6, 5, 1, 256,
               "UniFormerV2-L/14 from Kinetics-710 to Kinetics-600, 5 epochs.",
               _K710_TO_K600),
    _UniFormer("recognition_uniformer_large_k710_k700", "large", _K700,
               "recognition_uniformer_large_k710",
               1.5e-6, 5, 1, 256,
               "UniFormerV2-L/14 from Kinetics-710 to Kinetics-700, 5 epochs.",
               _K710_TO_K700),
    _UniFormer("recognition_uniformer_large_ssv1", "large-local", _SSV1, None,
               2e-5, 22, 5, 128,
               "UniFormerV2-L/14 with local blocks on Something-Something V1, 16 frames, "
               "22 epochs.",
               num_frames=16, views=2, drop_path=0.2, global_drop_path=0.4),
    _UniFormer("recognition_uniformer_large_ssv2", "large-local", _SSV2, None,
               2e-5, 22, 5, 128,
               "UniFormerV2-L/14 with local blocks on Something-Something V2, 16 frames, "
               "22 epochs.",
               num_frames=16, views=2, drop_path=0.2, global_drop_path=0.4),
    _UniFormer("recognition_uniformer_large_activitynet", "large", _ACTIVITYNET,
               "recognition_uniformer_large_k710_k400",
               5e-6, 20, 5, 64,
               "UniFormerV2-L/14 on instances of ActivityNet 1.3, 16 frames, 20 epochs.",
               num_frames=16, drop_path=0.2, global_drop_path=0.4),
    _UniFormer("recognition_uniformer_large_hacs", "large", _HACS,
               "recognition_uniformer_large_k710_k400",
               5e-6, 20, 5, 64,
               "UniFormerV2-L/14 on instances of HACS Segments, 16 frames, 20 epochs.",
               num_frames=16, drop_path=0.2, global_drop_path=0.4),
)
# fmt: on


def _videomae(row: _VideoMAE) -> Run:
    """Fine-tuning as in the scripts: 16 x 224 x 224, RandAugment, mixup and cutmix."""
    encoder = replace(ENCODERS[row.size], final_norm=False, drop_path=row.drop_path)
    return Run(
        name=row.name,
        stage=ActionRecognitionTraining(
            model=VideoClassifierConfig(
                encoder=encoder, num_classes=row.corpus.num_classes, dropout=row.dropout
            ),
            initial_weights=f"runs/{row.start}",
            head_rows=row.head_rows,
            mixing=MixingConfig(),
        ),
        data=_data(
            row.corpus, sampling=row.corpus.sampling, views=row.views, augment=AugmentConfig()
        ),
        training=_training(
            row.corpus,
            OptimiserConfig(
                lr=row.lr,
                final_lr=1e-6,
                reference_batch=256,
                weight_decay=row.weight_decay,
                betas=(0.9, 0.999),
                clip_gradient=row.clip_gradient,
                layer_decay=row.layer_decay,
            ),
            epochs=row.epochs,
            warmup_epochs=row.warmup_epochs,
            videos_per_step=row.videos_per_step,
            views=row.views,
        ),
    )


def _uniformer(row: _UniFormer) -> Run:
    """Training as in the scripts: 224 x 224, RandAugment, no mixing, no erasing."""
    clip = {"base": "ViT-B-16.pt", "large": "ViT-L-14.pt"}[row.size.removesuffix("-local")]
    encoder = replace(
        UNIFORMERS[row.size], drop_path=row.drop_path, global_drop_path=row.global_drop_path
    )
    return Run(
        name=row.name,
        stage=ActionRecognitionTraining(
            model=VideoClassifierConfig(
                encoder=encoder,
                num_classes=row.corpus.num_classes,
                pooling="query",
                dropout=0.5,
                init_scale=1.0,
            ),
            num_frames=row.num_frames,
            initial_weights=clip if row.start is None else f"runs/{row.start}",
            head_rows=row.head_rows,
            # Not CLIP's, although its weights are.
            pixel_mean=(0.45, 0.45, 0.45),
            pixel_std=(0.225, 0.225, 0.225),
        ),
        data=_data(
            row.corpus,
            sampling="segments",
            views=row.views,
            augment=AugmentConfig(erase_probability=0.0),
        ),
        training=_training(
            row.corpus,
            OptimiserConfig(
                lr=row.lr, final_lr=1e-6, start_lr=1e-6, betas=(0.9, 0.999), clip_gradient=20.0
            ),
            epochs=row.epochs,
            warmup_epochs=row.warmup_epochs,
            videos_per_step=row.videos_per_step,
            views=row.views,
        ),
    )


def _data(
    corpus: _Corpus,
    *,
    sampling: Literal["dense", "segments"],
    views: int,
    augment: AugmentConfig | None,
) -> VideoData:
    return VideoData(
        source=".",
        format=corpus.format,
        eval_split=corpus.eval_split,
        sampling=sampling,
        stride_frames=corpus.stride_frames,
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


def open_set_mae_huge_ucf101() -> Run:
    """ViT-H with evidential loss on UCF101, 32 frames, 50 epochs of 8 videos a step.

    Published with SGD and steps of the rate at epochs 20 and 40; here AdamW and a cosine, with the
    fine-tuning's layer decay.
    """
    encoder = replace(ENCODERS["huge"], num_frames=32, final_norm=False)
    return Run(
        name="open_set_mae_huge_ucf101",
        stage=ActionRecognitionTraining(
            model=VideoClassifierConfig(encoder=encoder, num_classes=101, dropout=0.5),
            initial_weights="runs/recognition_mae_huge_k700",
            evidential=EvidentialLoss(),
        ),
        data=replace(_data(_UCF101, sampling="dense", views=1, augment=None), crop="multi-scale"),
        training=_training(
            _UCF101,
            OptimiserConfig(
                lr=1e-4, final_lr=1e-6, weight_decay=1e-4, betas=(0.9, 0.999), layer_decay=0.8
            ),
            epochs=50,
            warmup_epochs=1,
            videos_per_step=8,
            views=1,
        ),
    )


def _named(make: Callable[[], Run], about: str) -> Callable[[], Run]:
    make.__doc__ = about
    return make


RECOGNITION_RECIPES: dict[str, Callable[[], Run]] = {
    **{row.name: _named(partial(_videomae, row), row.about) for row in _VIDEOMAES},
    **{row.name: _named(partial(_uniformer, row), row.about) for row in _UNIFORMERS},
    "open_set_mae_huge_ucf101": open_set_mae_huge_ucf101,
}
