"""Open a model by folder or name: a saved model, a run of ours, a release, a file of weights."""

from __future__ import annotations

import json
from pathlib import Path

from torch import nn

from internvideo.errors import CheckpointError
from internvideo.heads import CoordinatedClassifier, VideoClassifier
from internvideo.models import MultimodalEncoder, Viclip
from internvideo.recipes.importing import import_weights
from internvideo.recipes.pretrained import (
    Pretrained,
    build_model,
    is_saved_model,
    read_saved_model,
)
from internvideo.recipes.released import from_pretrained
from internvideo.recipes.run import from_document
from internvideo.tasks import RecognitionModel, VideoTextModel
from internvideo.text import Tokenizer
from internvideo.training import load


def load_pretrained(source: str | Path, *, averaged: bool = False) -> Pretrained:
    """Open a model, ready for evaluation.

    Args:
        source: A folder of `save_pretrained`, a run or one of its checkpoints; the name of a
            release; or a file of released weights, which is imported in passing.
        averaged: Take the moving average of the weights, where a run kept one.

    Raises:
        CheckpointError: There is no model, or it is incomplete or damaged.
        ConfigError: It is neither there nor the name of a release.
    """
    path = Path(source)
    if is_saved_model(path):
        return read_saved_model(path)
    if not path.exists() and len(path.parts) == 1:
        return from_pretrained(str(source))
    if path.is_file() or _is_of_transformers(path):
        return import_weights(path).pretrained
    return _of_run(path, averaged)


def load_model(source: str | Path, *, averaged: bool = False) -> nn.Module:
    """Open the network alone; see `load_pretrained`."""
    return load_pretrained(source, averaged=averaged).model


def load_video_text(source: str | Path, *, averaged: bool = False) -> VideoTextModel:
    """Open an encoder B or a ViCLIP with its vocabulary, to place videos and sentences.

    Raises:
        CheckpointError: As `load_pretrained`, and if the model knows no words.
    """
    found = load_pretrained(source, averaged=averaged)
    if not isinstance(found.model, MultimodalEncoder | Viclip):
        raise CheckpointError(
            f"{source}: holds a {found.kind} model, which knows no words; take the checkpoint "
            "of a multimodal-pretraining run"
        )
    if found.tokenizer is None:
        raise CheckpointError(f"{source}: no tokenizer.json, without which texts mean nothing")
    seen = found.preprocessing
    return VideoTextModel(
        found.model,
        found.tokenizer,
        num_frames=seen.num_frames,
        crop=seen.crop,
        mean=seen.mean,
        std=seen.std,
    )


def load_recogniser(source: str | Path, *, averaged: bool = False) -> RecognitionModel:
    """Open a classifier with its class names, to see videos as its own evaluation did.

    Raises:
        CheckpointError: As `load_pretrained`, and if the model knows no classes.
    """
    found = load_pretrained(source, averaged=averaged)
    if not isinstance(found.model, CoordinatedClassifier | VideoClassifier):
        raise CheckpointError(
            f"{source}: holds a {found.kind} model, which knows no classes; take the checkpoint "
            "of an action-recognition or coordination run"
        )
    if not found.classes:
        raise CheckpointError(f"{source}: no labels.json, without which scores have no names")
    seen = found.preprocessing
    return RecognitionModel(
        found.model,
        found.classes,
        num_frames=seen.num_frames,
        side_px=seen.side_px,
        mean=seen.mean,
        std=seen.std,
        sampling=seen.sampling,
        stride_frames=seen.stride_frames,
        crop=seen.crop,
    )


def _is_of_transformers(folder: Path) -> bool:
    try:
        return "model_type" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _of_run(folder: Path, averaged: bool) -> Pretrained:
    if not (folder / "model.safetensors").exists():
        folder = folder / "checkpoints" / "last"
    loaded = load(folder)
    documents = loaded.documents
    if "config" not in documents:
        raise CheckpointError(f"{folder}: no config.json, which says what model this is")
    run = from_document(documents["config"], where=str(folder / "config.json"))
    weights = loaded.ema if averaged else loaded.model
    if weights is None:
        raise CheckpointError(f"{folder}: this run kept no moving average; use averaged=False")
    stage = run.stage
    model = build_model(stage.model_kind, stage.model_config)
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise CheckpointError(f"{folder}: weights and config.json disagree: {error}") from error
    tokenizer = documents.get("tokenizer")
    return Pretrained(
        model=model.eval(),
        kind=stage.model_kind,
        config=stage.model_config,
        preprocessing=stage.preprocessing(run.data),
        classes=tuple(documents.get("labels") or ()),
        tokenizer=Tokenizer.from_document(tokenizer) if tokenizer else None,
        provenance=documents.get("provenance") or {},
    )
