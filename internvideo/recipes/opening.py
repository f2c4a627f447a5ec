"""Open a model by its folder: a saved model, a run of ours, or one of its checkpoints."""

from __future__ import annotations

from pathlib import Path

from internvideo.errors import CheckpointError
from internvideo.recipes.pretrained import (
    AutoencoderConfig,
    ModelConfig,
    Preprocessing,
    Pretrained,
    build_model,
    is_saved_model,
    read_saved_model,
)
from internvideo.recipes.run import Run, from_document
from internvideo.stages import MaskedPretraining
from internvideo.text import Tokenizer
from internvideo.training import load
from internvideo.video.transforms import CLIP_MEAN, CLIP_STD


def load_pretrained(folder: str | Path, *, averaged: bool = False) -> Pretrained:
    """Open a model, ready for evaluation.

    Args:
        folder: A folder of `save_pretrained`, a run, or one of its checkpoints.
        averaged: Take the moving average of the weights, where a run kept one.

    Raises:
        CheckpointError: There is no model, or it is incomplete or damaged.
    """
    folder = Path(folder)
    return read_saved_model(folder) if is_saved_model(folder) else _of_run(folder, averaged)


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
    seen = {
        "crop": data.eval_crop,
        "sampling": data.sampling,
        "stride_frames": data.stride_frames,
    }
    if isinstance(stage, MaskedPretraining):
        encoder = stage.encoder
        preprocessing = Preprocessing(
            num_frames=encoder.num_frames,
            side_px=encoder.side_px,
            mean=encoder.pixel_mean,
            std=encoder.pixel_std,
            in_clip_units=stage.target == "clip",
            **seen,
        )
        config = AutoencoderConfig(encoder=encoder, decoder=stage.decoder)
        return "masked-autoencoder", config, preprocessing
    preprocessing = Preprocessing(
        num_frames=stage.num_frames,
        side_px=stage.encoder.video.side_px,
        mean=CLIP_MEAN,
        std=CLIP_STD,
        **seen,
    )
    return "multimodal-encoder", stage.encoder, preprocessing
