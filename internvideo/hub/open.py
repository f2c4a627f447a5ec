"""Open a model: by a name of released weights, from a folder of ours, or from foreign weights.

name of a release                       -> released.py, which keeps it as a saved model
`owner/name` on the Hugging Face hub    -> by_id.py, which does so too
file of weights, `transformers` folder  -> importing.py
saved model, run, checkpoint            -> pretrained.py
"""

from __future__ import annotations

import os
from pathlib import Path

from torch import nn

from internvideo.errors import CheckpointError, ConfigError
from internvideo.hub.by_id import is_hub_id, load_from_hub
from internvideo.hub.exported import SUFFIXES
from internvideo.hub.importing import import_weights
from internvideo.hub.pretrained import (
    Pretrained,
    is_saved_model,
    read_saved_model,
)
from internvideo.hub.released import from_pretrained
from internvideo.reading import read_json_document
from internvideo.tasks import RecognitionModel, VideoTextModel
from internvideo.video.storage import address_scheme


def load_pretrained(source: str | Path, *, averaged: bool = False) -> Pretrained:
    """Open a model, ready for evaluation.

    Args:
        source: A folder of `save_pretrained`, a run (its best checkpoint where it chose one, else
            its last) or one of its checkpoints; the name of a release; `owner/name`
            on the Hugging Face hub; or a file of released weights, which is imported in passing.
        averaged: Take the moving average of the weights, where a run kept one.

    Raises:
        CheckpointError: There is no model, or it is incomplete or damaged.
        ConfigError: It is neither there nor the name of a release, or no name at all.
    """
    path = _checked(source)
    if not path.exists() and len(path.parts) == 1:
        return from_pretrained(str(source))
    if is_hub_id(source):
        return load_from_hub(str(source))
    if path.name == "model.safetensors" and is_saved_model(path.parent):
        return read_saved_model(path.parent, averaged=averaged)
    if path.is_file() and path.suffix in SUFFIXES:
        raise CheckpointError(
            f"{path}: is an exported file, without weights to go on with; `predict` and `evaluate` "
            "run that of a classifier, in Python internvideo.hub.open_exported"
        )
    if path.is_file() or _is_transformers_folder(path):
        return import_weights(path).pretrained
    return read_saved_model(checkpoint_of(path), averaged=averaged)


def checkpoint_of(folder: Path) -> Path:
    """The checkpoint that a run stands for: its best where it chose one, else its last; other
    folders stand for themselves."""
    kept = (folder / "checkpoints" / name for name in ("best", "last"))
    return next((checkpoint for checkpoint in kept if checkpoint.exists()), folder)


def _checked(source: str | Path) -> Path:
    """Refuse what names no model of this machine: other objects, nothing, addresses."""
    if not isinstance(source, str | os.PathLike):
        raise ConfigError(
            f"a model is named by a text or path, found {type(source).__name__} {source!r:.60}; "
            "open several one by one"
        )
    if not str(source).strip():
        raise ConfigError("the name of the model is empty; give a name, file or folder")
    path = Path(source)
    if address_scheme(str(source)) is not None and not path.exists():
        raise ConfigError(
            f"{source}: is an address; fetch the file and name it, or give owner/name for a model "
            "of the Hugging Face hub"
        )
    return path


def load_model(source: str | Path, *, averaged: bool = False) -> nn.Module:
    """Open the network alone; see `load_pretrained`."""
    return load_pretrained(source, averaged=averaged).model


def load_video_text(source: str | Path, *, averaged: bool = False) -> VideoTextModel:
    """Open an encoder B or a ViCLIP with its vocabulary, to place videos and sentences.

    Raises:
        CheckpointError: As `load_pretrained`, and if the model knows no words.
    """
    found = load_pretrained(source, averaged=averaged)
    return VideoTextModel.from_pretrained(found, source=str(source))


def load_recogniser(source: str | Path, *, averaged: bool = False) -> RecognitionModel:
    """Open a classifier with its class names, to see videos as its own evaluation did.

    Raises:
        CheckpointError: As `load_pretrained`, and if the model knows no classes.
    """
    found = load_pretrained(source, averaged=averaged)
    return RecognitionModel.from_pretrained(found, source=str(source))


def _is_transformers_folder(folder: Path) -> bool:
    try:
        found = read_json_document(folder / "config.json")
    except ValueError:
        return False
    return isinstance(found, dict) and "model_type" in found
