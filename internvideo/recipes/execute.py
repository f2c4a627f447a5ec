"""A run becomes a trained model: stage and data are built, then the one loop trains them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from internvideo.errors import CheckpointError
from internvideo.heads import VideoClassifier
from internvideo.models import MaskedAutoencoder, MultimodalEncoder
from internvideo.recipes.run import Run, from_document, to_document
from internvideo.stages import (
    MaskedPretraining,
    MaskedPretrainingStage,
    MultimodalPretraining,
    MultimodalPretrainingStage,
    PostPretraining,
    PostPretrainingStage,
)
from internvideo.tasks import RecognitionModel, VideoTextModel
from internvideo.text import Tokenizer
from internvideo.training import Checkpoint, Outcome, Process, Progress, load, train

Stage = MaskedPretrainingStage | MultimodalPretrainingStage | PostPretrainingStage
Model = MaskedAutoencoder | MultimodalEncoder | VideoClassifier


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
    if isinstance(run.stage, MultimodalPretraining):
        return MultimodalPretrainingStage(run.stage, run.data, run.training, **options)
    return PostPretrainingStage(run.stage, run.data, run.training, **options)


def load_model(folder: str | Path, *, averaged: bool = False) -> Model:
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


def load_recogniser(folder: str | Path, *, averaged: bool = False) -> RecognitionModel:
    """Read a classifier with its class names, to see videos as its own evaluation did.

    Raises:
        CheckpointError: As `load_model`, and if the checkpoint is that of another stage.
    """
    where, loaded, run = _loaded(folder)
    model = _model(where, loaded, run, averaged=averaged)
    if not isinstance(run.stage, PostPretraining):
        raise CheckpointError(
            f"{where}: holds a {run.stage.kind} model, which knows no classes; take the checkpoint "
            "of a post-pretraining run"
        )
    if "labels" not in loaded.documents:
        raise CheckpointError(f"{where}: no labels.json, without which scores have no names")
    mean, std = run.stage.normalisation
    return RecognitionModel(
        model,
        loaded.documents["labels"],
        num_frames=run.stage.clip_frames,
        side_px=run.stage.model.encoder.side_px,
        mean=mean,
        std=std,
        sampling=run.data.sampling,
        stride_frames=run.data.stride_frames,
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


def _model(folder: Path, loaded: Checkpoint, run: Run, *, averaged: bool) -> Model:
    weights = loaded.ema if averaged else loaded.model
    if weights is None:
        raise CheckpointError(f"{folder}: this run kept no moving average; use averaged=False")
    if isinstance(run.stage, MaskedPretraining):
        model: Model = MaskedAutoencoder(run.stage.encoder, run.stage.decoder)
    elif isinstance(run.stage, MultimodalPretraining):
        model = MultimodalEncoder(run.stage.encoder)
    else:
        model = VideoClassifier(run.stage.model)
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise CheckpointError(f"{folder}: weights and config.json disagree: {error}") from error
    return model.eval()
