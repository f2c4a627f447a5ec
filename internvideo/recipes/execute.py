"""A run becomes a trained model: stage and data are built, then the one loop trains them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from internvideo.recipes.run import Run, to_document
from internvideo.stages import MaskedPretrainingStage
from internvideo.training import Outcome, Process, Progress, train


def execute(
    run: Run,
    folder: Path,
    *,
    process: Process,
    resume: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> tuple[Outcome, MaskedPretrainingStage]:
    """Train `run` into `folder`; the stage comes back with its trained model."""
    stage = MaskedPretrainingStage(
        run.stage,
        run.data,
        run.training,
        seed=run.seed,
        share=process.share,
        device=process.device,
        folder=folder,
    )
    outcome = train(
        stage,
        run.training,
        folder=folder,
        run=to_document(run),
        seed=run.seed,
        process=process,
        resume=resume,
        on_progress=on_progress,
    )
    return outcome, stage
