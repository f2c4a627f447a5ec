"""A run becomes a trained model: stage and data are built, then the one loop trains them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import CoordinatedClassifier, VideoClassifier
from internvideo.models import MaskedAutoencoder, MultimodalEncoder
from internvideo.recipes.run import Run, from_document, to_document
from internvideo.stages import (
    CoordinationStage,
    CoordinationTraining,
    MaskedPretraining,
    MaskedPretrainingStage,
    MultimodalPretraining,
    MultimodalPretrainingStage,
    PostPretraining,
    PostPretrainingStage,
    TrainedClassifier,
)
from internvideo.tasks import RecognitionModel, VideoTextModel
from internvideo.text import Tokenizer
from internvideo.training import Checkpoint, Outcome, Process, Progress, load, train

Stage = (
    MaskedPretrainingStage | MultimodalPretrainingStage | PostPretrainingStage | CoordinationStage
)
Model = MaskedAutoencoder | MultimodalEncoder | VideoClassifier | CoordinatedClassifier


def execute(
    run: Run,
    folder: Path,
    *,
    process: Process,
    resume: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> tuple[Outcome, Stage]:
    """Train `run` into `folder`; the stage comes back with its trained model."""
    run, stage = _stage(run, folder, process)
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


def _stage(run: Run, folder: Path, process: Process) -> tuple[Run, Stage]:
    """Build the stage; the run comes back with what only other checkpoints could tell."""
    options: dict[str, Any] = {
        "seed": run.seed,
        "share": process.share,
        "device": process.device,
        "folder": folder,
        "others": run.other_sources,
    }
    data, training = run.data, run.training
    match run.stage:
        case MaskedPretraining():
            return run, MaskedPretrainingStage(run.stage, data, training, **options)
        case MultimodalPretraining():
            return run, MultimodalPretrainingStage(run.stage, data, training, **options)
        case PostPretraining():
            return run, PostPretrainingStage(run.stage, data, training, **options)
        case CoordinationTraining():
            config, classifiers = _with_classifiers(run.stage)
            stage = CoordinationStage(config, data, training, classifiers=classifiers, **options)
            return replace(run, stage=config), stage


def _with_classifiers(
    stage: CoordinationTraining,
) -> tuple[CoordinationTraining, tuple[TrainedClassifier, TrainedClassifier]]:
    """Read the two classifiers, and write down what they are."""
    found: dict[str, RecognitionModel] = {}
    for name, encoder in (("masked", "A"), ("multimodal", "B")):
        folder = getattr(stage, name)
        if folder is None:
            raise ConfigError(
                f"stage.{name} is none; name a run of post-pretraining of encoder {encoder}, as in "
                f"--set stage.{name}=runs/NAME"
            )
        found[name] = load_recogniser(folder)
    a, b = found["masked"], found["multimodal"]
    pair = replace(
        stage.pair,
        masked=a.model.config,
        multimodal=b.model.config,
        masked_mean=a.mean,
        masked_std=a.std,
        multimodal_mean=b.mean,
        multimodal_std=b.std,
    )
    starts = [
        TrainedClassifier(
            weights=model.model.state_dict(), classes=model.classes, source=getattr(stage, name)
        )
        for name, model in found.items()
    ]
    return replace(stage, pair=pair), (starts[0], starts[1])


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
    stage = run.stage
    if not isinstance(stage, PostPretraining | CoordinationTraining):
        raise CheckpointError(
            f"{where}: holds a {stage.kind} model, which knows no classes; take the checkpoint "
            "of a post-pretraining or coordination run"
        )
    if "labels" not in loaded.documents:
        raise CheckpointError(f"{where}: no labels.json, without which scores have no names")
    if isinstance(stage, PostPretraining):
        encoder, (mean, std) = stage.model.encoder, stage.normalisation
    else:  # takes pixels in [0, 1], and gives each encoder what it is used to
        encoder, mean, std = stage.pair.encoders[0], (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return RecognitionModel(
        model,
        loaded.documents["labels"],
        num_frames=stage.clip_frames,
        side_px=encoder.side_px,
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
    elif isinstance(run.stage, PostPretraining):
        model = VideoClassifier(run.stage.model)
    else:
        model = CoordinatedClassifier(run.stage.pair)
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise CheckpointError(f"{folder}: weights and config.json disagree: {error}") from error
    return model.eval()
