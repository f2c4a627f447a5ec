"""Open a model by folder or name: a saved model, a run of ours, a release, a file of weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from torch import nn

from internvideo.errors import CheckpointError
from internvideo.recipes.importing import import_weights
from internvideo.recipes.pretrained import (
    AutoencoderConfig,
    ModelConfig,
    Preprocessing,
    Pretrained,
    build_model,
    is_saved_model,
    read_saved_model,
)
from internvideo.recipes.released import from_pretrained
from internvideo.recipes.run import Run, from_document
from internvideo.stages import (
    CoordinationTraining,
    MaskedPretraining,
    MultimodalPretraining,
    PostPretraining,
)
from internvideo.tasks import RecognitionModel, VideoTextModel
from internvideo.text import Tokenizer
from internvideo.training import load
from internvideo.video.transforms import CLIP_MEAN, CLIP_STD


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
    return VideoTextModel.from_pretrained(found, source=str(source))


def load_recogniser(source: str | Path, *, averaged: bool = False) -> RecognitionModel:
    """Open a classifier with its class names, to see videos as its own evaluation did.

    Raises:
        CheckpointError: As `load_pretrained`, and if the model knows no classes.
    """
    found = load_pretrained(source, averaged=averaged)
    return RecognitionModel.from_pretrained(found, source=str(source))


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
    kind, config, preprocessing = _described(run)
    model = build_model(kind, config)
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise CheckpointError(f"{folder}: weights and config.json disagree: {error}") from error
    tokenizer = documents.get("tokenizer")
    return Pretrained(
        model=model.eval(),
        kind=kind,
        config=config,
        preprocessing=preprocessing,
        classes=tuple(documents.get("labels") or ()),
        tokenizer=Tokenizer.from_document(tokenizer) if tokenizer else None,
        provenance=documents.get("provenance") or {},
    )


def _described(run: Run) -> tuple[str, ModelConfig, Preprocessing]:
    """What a run trains: kind and configuration of the model, and how it sees clips."""
    stage, data = run.stage, run.data
    seen = Preprocessing(
        crop=data.eval_crop, sampling=data.sampling, stride_frames=data.stride_frames
    )
    match stage:
        case MaskedPretraining():
            encoder = stage.encoder
            seen = _changed(seen, encoder.num_frames, encoder.side_px)
            seen = replace(seen, mean=encoder.pixel_mean, std=encoder.pixel_std)
            seen = replace(seen, in_clip_units=stage.target == "clip")
            config = AutoencoderConfig(encoder=encoder, decoder=stage.decoder)
            return "masked-autoencoder", config, seen
        case MultimodalPretraining():
            seen = _changed(seen, stage.num_frames, stage.encoder.video.side_px)
            return "multimodal-encoder", stage.encoder, replace(seen, mean=CLIP_MEAN, std=CLIP_STD)
        case PostPretraining():
            seen = _changed(seen, stage.clip_frames, stage.model.encoder.side_px)
            mean, std = stage.normalisation
            return "video-classifier", stage.model, replace(seen, mean=mean, std=std)
        case CoordinationTraining():
            seen = _changed(seen, stage.clip_frames, stage.pair.encoders[0].side_px)
            # It takes pixels in [0, 1], and gives each encoder what that is used to.
            seen = replace(seen, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
            return "coordinated-classifier", stage.pair, seen


def _changed(seen: Preprocessing, num_frames: int, side_px: int) -> Preprocessing:
    return replace(seen, num_frames=num_frames, side_px=side_px)
