"""What a classifier starts from: a run or checkpoint of ours, a saved model, released weights.

Any of these may be of a pretraining, which has no head, or of a classifier of other classes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import (
    VideoClassifier,
    VideoClassifierConfig,
    map_head_rows,
    rows_of_classes,
)
from internvideo.models import (
    StartReport,
    classifier_weights,
    initialise_classifier,
    unwrap,
)
from internvideo.training import load, read_document

logger = logging.getLogger(__name__)

# Fields of an encoder's configuration that may differ from those it was pretrained with.
_FREE = {
    "num_frames",
    "side_px",
    "drop_path",
    "final_norm",
    "aligned_attention",  # of a start only
    "recompute_activations",
    "global_dropout",
    "global_drop_path",
    "frozen_backbone",
}


def start_classifier(
    model: VideoClassifier, path: Path, classes: Sequence[str], *, head_rows: str | None = None
) -> StartReport:
    """Fill a classifier of `classes` with what `path` has for it, and say what that was.

    A head that knows the names of all these classes comes along; one that knows none of them does
    if it has equally many, or by `head_rows`, a JSON list of its row for each class.

    Raises:
        CheckpointError: There are no weights, or they are of another encoder.
        ConfigError: `head_rows` cannot be read.
    """
    state, documents = _read(path)
    _check_encoder(documents.get("config"), model.config, path)
    weights, known = classifier_weights(state), tuple(documents.get("labels") or ())
    if head_rows is not None:
        weights = map_head_rows(weights, _read_rows(Path(head_rows)))
    elif "head.weight" in weights and known:
        if set(classes) <= set(known):
            weights = map_head_rows(weights, rows_of_classes(classes, known))
        else:
            weights = {k: v for k, v in weights.items() if not k.startswith("head.")}
    report = initialise_classifier(model, weights)
    logger.info("%s: %s", path, report)
    return report


def _read(path: Path) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
    if path.is_file():
        state = unwrap(read_document(path))
        if not all(isinstance(value, Tensor) for value in state.values()):
            raise CheckpointError(f"{path}: holds no state dict (names with tensors)")
        return state, {}
    last = path / "checkpoints" / "last"
    loaded = load(last if (last / "model.safetensors").exists() else path)
    return loaded.model, loaded.documents


def _read_rows(path: Path) -> list[int]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a JSON list of rows ({error})") from error
    if not isinstance(rows, list) or not all(isinstance(row, int) for row in rows):
        raise ConfigError(f"{path}: expected a JSON list of row numbers, such as [3, 0, 17]")
    return rows


def _check_encoder(document: Any, config: VideoClassifierConfig, path: Path) -> None:
    """Compare with the encoder that was trained: most of its fields leave no trace in shapes."""
    if not isinstance(document, Mapping) or "stage" not in document:
        return  # a saved model; its configuration is that of its weights' family
    stage = document["stage"]
    model = stage.get("model", stage)
    trained = model["encoder"].get("video", model["encoder"])
    ours = json.loads(json.dumps(asdict(config.encoder)))
    unlike = [
        f"{name}={ours[name]} instead of {value}"
        for name, value in trained.items()
        if name in ours and name not in _FREE and ours[name] != value
    ]
    if unlike:
        raise CheckpointError(
            f"{path}: its encoder is another one than model.encoder, which has {', '.join(unlike)}"
        )
    units = model.get("units") or ("clip" if stage.get("target") == "clip" else "fixed")
    if units != config.units:
        logger.warning(
            "%s: its encoder learned with model.units=%r and not %r", path, units, config.units
        )
