"""A run becomes a trained model: stage and data are built, then the one loop trains them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from internvideo.errors import CheckpointError
from internvideo.models import MaskedAutoencoder, MultimodalEncoder
from internvideo.recipes.run import Run, from_document, to_document
from internvideo.stages import (
    MaskedPretraining,
    MaskedPretrainingStage,
    MultimodalPretraining,
    MultimodalPretrainingStage,
)
from internvideo.tasks import VideoTextModel
from internvideo.text import Tokenizer
from internvideo.training import Checkpoint, Outcome, Process, Progress, load, train

Stage = MaskedPretrainingStage | MultimodalPretrainingStage


def execute(
    run: Run,
    folder: Path,
    *,
    process: Process,
    resume: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> tuple[Outcome, Stage]:
    """Train `run` into `folder`; the stage comes back with its trained model."""
    stage = _stage(run, folder, process)
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


def _stage(run: Run, folder: Path, process: Process) -> Stage:
    options: dict[str, Any] = {
        "seed": run.seed,
        "share": process.share,
        "device": process.device,
        "folder": folder,
        "others": run.other_sources,
    }
    if isinstance(run.stage, MaskedPretraining):
        return MaskedPretrainingStage(run.stage, run.data, run.training, **options)
    return MultimodalPretrainingStage(run.stage, run.data, run.training, **options)


def load_model(
    folder: str | Path, *, averaged: bool = False
) -> MaskedAutoencoder | MultimodalEncoder:
    """Read a trained model back from a checkpoint folder, ready for evaluation.

    Args:
        folder: A checkpoint (`.../step-<n>`, `.../last`) or the folder of a run.
        averaged: Take the moving average of the weights, where the run kept one.

    Raises:
        CheckpointError: If there is no complete checkpoint, or its weights do not fit its
            configuration.
    """
    return _model(*_loaded(folder), averaged=averaged)


def load_video_text(folder: str | Path, *, averaged: bool = False) -> VideoTextModel:
    """Read an encoder B with its vocabulary, to place videos and sentences or to describe videos.

    Raises:
        CheckpointError: As `load_model`, and if the checkpoint is that of another stage.
    """
    where, loaded, run = _loaded(folder)
    model = _model(where, loaded, run, averaged=averaged)
    if not isinstance(run.stage, MultimodalPretraining) or not isinstance(model, MultimodalEncoder):
        raise CheckpointError(
            f"{where}: holds a {run.stage.kind} model, which knows no words; take the checkpoint "
            "of a multimodal-pretraining run"
        )
    if "tokenizer" not in loaded.documents:
        raise CheckpointError(f"{where}: no tokenizer.json, without which texts mean nothing")
    return VideoTextModel(
        model,
        Tokenizer.from_document(loaded.documents["tokenizer"]),
        num_frames=run.stage.num_frames,
        crop=run.data.eval_crop,
    )


def _loaded(folder: str | Path) -> tuple[Path, Checkpoint, Run]:
    folder = Path(folder)
    if not (folder / "model.safetensors").exists():
        folder = folder / "checkpoints" / "last"
    loaded = load(folder)
    if "config" not in loaded.documents:
        raise CheckpointError(f"{folder}: no config.json, which says what model this is")
    run = from_document(loaded.documents["config"], where=str(folder / "config.json"))
    return folder, loaded, run


def _model(
    folder: Path, loaded: Checkpoint, run: Run, *, averaged: bool
) -> MaskedAutoencoder | MultimodalEncoder:
    weights = loaded.ema if averaged else loaded.model
    if weights is None:
        raise CheckpointError(f"{folder}: this run kept no moving average; use averaged=False")
    model = (
        MaskedAutoencoder(run.stage.encoder, run.stage.decoder)
        if isinstance(run.stage, MaskedPretraining)
        else MultimodalEncoder(run.stage.encoder)
    )
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise CheckpointError(f"{folder}: weights and config.json disagree: {error}") from error
    return model.eval()
