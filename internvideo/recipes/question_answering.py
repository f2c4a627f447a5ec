"""Runs of question answering: the three published ones, and a tiny one for a playground.

Source of the published settings: `finetune_*.sh` and `config.py` of multi-modalities-downstream in
the InternVideo release; the numbers of questions are those of the data sets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from internvideo.data import VideoData
from internvideo.heads import QuestionAnswererConfig
from internvideo.models import MULTIMODAL_ENCODERS, CaptionDecoderConfig
from internvideo.recipes.multimodal_pretraining import multimodal_tiny_playground
from internvideo.runs.run import Run
from internvideo.stages import MultimodalPretraining
from internvideo.tasks import QuestionAnsweringTraining
from internvideo.training import OptimiserConfig, TrainingConfig

_BATCH_SIZE = 512
_EPOCHS = 20


@dataclass(frozen=True, slots=True)
class _Published:
    """A data set: how many training questions and outputs, its format and its files."""

    name: str
    format: str
    source: str
    num_questions: int
    num_outputs: int
    eval_split: str
    about: str


_TABLE = (
    _Published(
        *("question_answering_msrvtt_qa", "msr-vtt-qa", "MSRVTT-QA", 158_581, 1501, "test"),
        about="InternVideo-MM-L/14 on MSRVTT-QA, the 1,500 most frequent answers: 47.1 %.",
    ),
    _Published(
        *("question_answering_msvd_qa", "msvd-qa", "MSVD-QA", 30_933, 1001, "test"),
        about="InternVideo-MM-L/14 on MSVD-QA, the 1,000 most frequent answers: 55.5 %.",
    ),
    _Published(
        *("question_answering_tgif_frame_qa", "tgif-qa", "TGIF-QA", 39_392, 1541, "test"),
        about="InternVideo-MM-L/14 on FrameQA of TGIF-QA, 1,540 answers: 72.2 %.",
    ),
)


def _published(row: _Published) -> Run:
    encoder = MULTIMODAL_ENCODERS["large"]
    captioner = CaptionDecoderConfig(
        width=encoder.text.width,
        context_width=encoder.video.width,
        num_heads=encoder.text.width // 64,
    )
    per_epoch = row.num_questions // _BATCH_SIZE
    return Run(
        name=row.name,
        stage=QuestionAnsweringTraining(
            model=QuestionAnswererConfig(
                encoder=replace(encoder, captioner=captioner), num_answers=row.num_outputs
            ),
            initial_weights="InternVideo-MM-L-14.ckpt",
        ),
        data=VideoData(
            source=row.source,
            format=row.format,
            root="videos",
            eval_split=row.eval_split,
            sampling="segments",
            crop="multi-scale",
            eval_crop=224 / 256,
            num_workers=10,
        ),
        training=TrainingConfig(
            num_steps=_EPOCHS * per_epoch,
            batch_size=_BATCH_SIZE,
            optimiser=OptimiserConfig(
                lr=1e-5,
                final_lr=0.0,
                decay="linear",
                warmup_steps=_EPOCHS * per_epoch // 10,
                weight_decay=0.01,
                betas=(0.9, 0.98),
                eps=1e-6,
                rates={r"^classifier\.": 10.0},
            ),
            log_every=50,
            evaluate_every=5 * per_epoch,
            checkpoint_every=per_epoch,
        ),
    )


def question_answering_tiny_playground() -> Run:
    """Questions on a playground, after multimodal_tiny_playground; minutes on two cores."""
    before = multimodal_tiny_playground()
    assert isinstance(before.stage, MultimodalPretraining)
    return Run(
        name="question_answering_tiny_playground",
        stage=QuestionAnsweringTraining(
            model=QuestionAnswererConfig(
                encoder=before.stage.encoder,
                front_end=before.stage.front_end,
                num_answers=64,
                dropout=0.1,
            ),
            num_frames=before.stage.num_frames,
            initial_weights=f"runs/{before.name}",
        ),
        data=VideoData(
            source="msrvtt_qa",
            format="msr-vtt-qa",
            root="runs/playground",
            sampling="segments",
            crop="centre",
            cache_mb=8192,
        ),
        training=TrainingConfig(
            num_steps=600,
            batch_size=64,
            cpu_processes=2,
            optimiser=OptimiserConfig(
                lr=1e-3,
                final_lr=1e-5,
                warmup_steps=50,
                weight_decay=0.05,
                clip_gradient=1.0,
                muon=3.0,
            ),
            log_every=25,
            evaluate_every=300,
            checkpoint_every=300,
        ),
    )


def _named(row: _Published) -> Callable[[], Run]:
    make = partial(_published, row)
    make.__doc__ = row.about
    return make


QUESTION_ANSWERING: dict[str, Callable[[], Run]] = {row.name: _named(row) for row in _TABLE}
