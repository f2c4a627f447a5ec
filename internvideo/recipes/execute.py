"""A run becomes a trained model: stage and data are built, then the one loop trains them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from internvideo.errors import CheckpointError
from internvideo.models import MaskedAutoencoder
from internvideo.recipes.run import Run, from_document, to_document
from internvideo.stages import MaskedPretrainingStage
from internvideo.training import Outcome, Process, Progress, load, train


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


def load_model(folder: str | Path, *, averaged: bool = False) -> MaskedAutoencoder:
    """Read a trained model back from a checkpoint folder, ready for evaluation.

    Args:
        folder: A checkpoint (`.../step-<n>`, `.../last`) or the folder of a run.
        averaged: Take the moving average of the weights, where the run kept one.

    Raises:
        CheckpointError: If there is no complete checkpoint, or its weights do not fit its
            configuration.
    """
    folder = Path(folder)
    if not (folder / "model.safetensors").exists():
        folder = folder / "checkpoints" / "last"
    loaded = load(folder)
    if "config" not in loaded.documents:
        raise CheckpointError(f"{folder}: no config.json, which says what model this is")
    run = from_document(loaded.documents["config"], where=str(folder / "config.json"))
    weights = loaded.ema if averaged else loaded.model
    if weights is None:
        raise CheckpointError(f"{folder}: this run kept no moving average; use averaged=False")
    model = MaskedAutoencoder(run.stage.encoder, run.stage.decoder)
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise CheckpointError(f"{folder}: weights and config.json disagree: {error}") from error
    return model.eval()
