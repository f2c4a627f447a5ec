"""Runs: what a recipe returns, its execution, and advice for fine-tuning."""

from internvideo.runs.description import checkpoint_documents
from internvideo.runs.execute import build_stage, execute
from internvideo.runs.finetuning import (
    PRESETS,
    choose_preset,
    finetuning_run,
    measure_cost,
    open_start,
    overfit_few_clips,
)
from internvideo.runs.run import Run, from_document, override, read_run, to_document

__all__ = [
    "PRESETS",
    "Run",
    "build_stage",
    "checkpoint_documents",
    "choose_preset",
    "execute",
    "finetuning_run",
    "from_document",
    "measure_cost",
    "overfit_few_clips",
    "open_start",
    "override",
    "read_run",
    "to_document",
]
