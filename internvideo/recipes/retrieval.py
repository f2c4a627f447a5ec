"""Fine-tuning for retrieval and multiple choice: the published runs, and a tiny one.

Source of the published settings: `finetune_scripts` of Video-Text-Retrieval in the InternVideo
release, `train_*.sh`. A rate is 1e-3 times the scripts' `coef_lr`; token weights, where a run has
them, learn at 1e-3. Multiple choice is only evaluated there; its runs have retrieval's settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from internvideo.data import VideoData
from internvideo.heads import RetrieverConfig
from internvideo.models import MULTIMODAL_ENCODERS
from internvideo.recipes.multimodal_pretraining import tiny_multimodal_encoder
from internvideo.runs.run import Run
from internvideo.tasks import MultipleChoiceTraining, RetrievalTraining
from internvideo.tasks.retrieval import PROTOCOLS
from internvideo.tiny import UniFormerFrontEndConfig
from internvideo.training import OptimiserConfig, TrainingConfig

_HEAD_LR = 1e-3


@dataclass(frozen=True, slots=True)
class _Published:
    """A row of the table: the scripts' epochs over sentences, clips a step, frames, and rate."""

    name: str
    protocol: str
    epochs: int
    batch_size: int
    frames: int
    lr_coefficient: float
    about: str
    merge_clip: str | None = None
    choices: tuple[str, str] | None = None


_TABLE = (
    _Published(
        *("retrieval_msrvtt", "msrvtt-9k-1ka", 5, 128, 12, 4e-3),
        about="L/14 on MSR-VTT, 9,000 videos; 1,000 to test on.",
    ),
    _Published(
        *("retrieval_msvd", "msvd", 5, 64, 8, 2.5e-3),
        about="L/14 on MSVD, tested with all sentences of each video.",
    ),
    _Published(
        *("retrieval_lsmdc", "lsmdc", 5, 64, 8, 2e-3),
        about="L/14, half of it CLIP's weights, on the film clips of LSMDC.",
        merge_clip="ViT-L-14.pt",
    ),
    _Published(
        *("retrieval_activitynet", "activitynet-val1", 30, 64, 64, 2e-3),
        about="L/14 on paragraphs of ActivityNet Captions, tested on val_1.",
    ),
    _Published(
        *("retrieval_didemo", "didemo-paragraph", 5, 16, 32, 2e-3),
        about="L/14 on paragraphs of DiDeMo.",
    ),
    _Published(
        *("retrieval_vatex", "vatex", 5, 128, 8, 5e-3),
        about="L/14 on VATEX, ten English sentences a video.",
    ),
    _Published(
        *("multiple_choice_msrvtt", "msrvtt-7k", 5, 128, 12, 4e-3),
        about="L/14 on the official training videos of MSR-VTT, tested on its multiple choice.",
        choices=("msrvtt_mc_test.jsonl", "msr-vtt-choice"),
    ),
    _Published(
        *("multiple_choice_lsmdc", "lsmdc", 5, 64, 8, 2e-3),
        about="L/14 on LSMDC, tested on its multiple choice.",
        merge_clip="ViT-L-14.pt",
        choices=("LSMDC16_multiple_choice_test_randomized.csv", "lsmdc-choice"),
    ),
)


def retrieval_tiny_playground() -> Run:
    """Fine-tunes the run of multimodal_tiny_playground on another world, in minutes.

    `--set stage.initial_weights=runs/b` names that run; without it training starts anew.
    """
    encoder = replace(tiny_multimodal_encoder(), captioner=None)
    return Run(
        name="retrieval_tiny_playground",
        stage=RetrievalTraining(
            model=RetrieverConfig(
                encoder=encoder, front_end=UniFormerFrontEndConfig(num_salient_patches=20)
            ),
            num_frames=8,
            hard_negatives=("opposite", "negated"),
            hard_negative_weight=0.5,
        ),
        data=VideoData(
            source="msrvtt/MSRVTT_data.json",
            format="msr-vtt",
            root="runs/playground",
            sampling="segments",
            crop="centre",
            flip=True,
            cache_mb=4096,
        ),
        training=TrainingConfig(
            num_steps=200,
            batch_size=64,
            optimiser=OptimiserConfig(
                lr=3e-4,
                final_lr=3e-6,
                warmup_steps=20,
                weight_decay=0.05,
                betas=(0.9, 0.98),
                clip_gradient=1.0,
            ),
            log_every=10,
            evaluate_every=50,
            checkpoint_every=50,
            keep_best="t2v/r1",
        ),
    )


def _published(row: _Published) -> Run:
    protocol = PROTOCOLS[row.protocol]
    per_epoch = protocol.num_sentences // row.batch_size
    steps = row.epochs * per_epoch
    make = RetrievalTraining if row.choices is None else MultipleChoiceTraining
    source, reader = row.choices or (None, None)
    stage = make(
        model=RetrieverConfig(encoder=MULTIMODAL_ENCODERS["large"]),
        num_frames=row.frames,
        initial_weights="InternVideo-MM-L-14.ckpt",
        merge_clip=row.merge_clip,
        protocol=protocol.name,
        test_split=protocol.test_split,
        test_source=source,
        test_format=reader,
    )
    return Run(
        name=row.name,
        stage=stage,
        data=protocol.data(
            sampling="segments",
            crop="centre",
            short_side_px=256,
            eval_crop=224 / 256,
            num_workers=8,
        ),
        training=TrainingConfig(
            num_steps=steps,
            batch_size=row.batch_size,
            optimiser=OptimiserConfig(
                lr=_HEAD_LR * row.lr_coefficient,
                final_lr=0.0,
                warmup_steps=steps // 10,
                weight_decay=0.2,
                betas=(0.9, 0.98),
                eps=1e-6,
                clip_gradient=1.0,
            ),
            evaluate_every=per_epoch,
            checkpoint_every=min(500, per_epoch),
            keep_best="t2v/r1",
        ),
    )


def retrieval_ego4d_nlq() -> Run:
    """L/14 on Ego4D's natural language queries and what answers them, for search by moments.

    The paper's system is another one (VSLNet on features); settings are those of retrieval_msrvtt.
    `internvideo index` of the clips and `internvideo evaluate moment-retrieval` score it.
    """
    run = _published(_TABLE[0])
    steps = 5 * 11_291 // run.training.batch_size
    return replace(
        run,
        name="retrieval_ego4d_nlq",
        stage=replace(run.stage, protocol=None, test_split=None),
        data=replace(
            run.data,
            source="nlq_train.json",
            eval_source="nlq_val.json",
            format="ego4d-queries",
            root="data/ego4d",
            options={"part": "answer"},
            train_split="train",
            eval_split="val",
        ),
        training=replace(
            run.training,
            num_steps=steps,
            optimiser=replace(run.training.optimiser, warmup_steps=steps // 10),
            evaluate_every=steps // 5,
            checkpoint_every=steps // 5,
        ),
    )


def _named(row: _Published) -> Callable[[], Run]:
    make = partial(_published, row)
    make.__doc__ = row.about
    return make


RETRIEVAL_RECIPES: dict[str, Callable[[], Run]] = {row.name: _named(row) for row in _TABLE}
