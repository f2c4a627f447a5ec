"""Runs: what a recipe returns, its execution, and advice for fine-tuning."""

from internvideo.runs.description import checkpoint_documents
from internvideo.runs.execute import build_stage, execute
from internvideo.runs.finetuning import (
    choose_preset,
    finetuning_guide,
    finetuning_run,
    measure_cost,
    open_source,
)
from internvideo.runs.rehearsal import rehearsal
from internvideo.runs.run import Run, from_document, override, read_run, to_document
from internvideo.runs.testing import FinalScores, final_test

__all__ = [
    "FinalScores",
    "Run",
    "build_stage",
    "checkpoint_documents",
    "choose_preset",
    "execute",
    "final_test",
    "finetuning_guide",
    "finetuning_run",
    "from_document",
    "measure_cost",
    "open_source",
    "override",
    "read_run",
    "rehearsal",
    "to_document",
]
