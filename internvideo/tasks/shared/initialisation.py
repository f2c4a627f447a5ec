"""What a classifier starts from: a run or checkpoint of ours, a saved model, released weights.

Any of these may be of a pretraining, which has no head, or of a classifier of other classes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import (
    ActionDetectorConfig,
    VideoClassifier,
    VideoClassifierConfig,
    map_head_rows,
    rows_of_classes,
)
from internvideo.reading import read_json_document
from internvideo.training import load
from internvideo.weights import (
    StartReport,
    classifier_weights,
    initialise_classifier,
    read_document,
)

logger = logging.getLogger(__name__)

# Fields of an encoder's configuration that may differ from those it was pretrained with.
_FREE = {
    "num_frames",
    "side_px",
    "drop_path",
    "final_norm",
    "recompute_activations",
    "global_dropout",
    "global_drop_path",
    "frozen_backbone",
}
# And of a front end's, by its kind.
_FREE_OF_FRONT_ENDS = {
    "masked-front-end": {"frame_differences", "num_salient_tubelets", "mimetic_init_scale"},
    "uniformer-front-end": {"num_salient_patches", "mimetic_init_scale"},
}
# Weights of a front end that masked pretraining, which sees no whole clips, does not have.
_NEW_TO_PRETRAINING = r"^encoder\.patch_embed\.difference_proj\."


@dataclass(frozen=True, kw_only=True, slots=True)
class InitialWeights:
    """Weights as they were read, and the documents that lay beside them."""

    path: Path
    weights: Mapping[str, Tensor]
    documents: Mapping[str, Any]


def read_initial_weights(
    path: Path, config: VideoClassifierConfig | ActionDetectorConfig
) -> InitialWeights:
    """Read what a classifier or detector shall start from, before anything else is opened.

    Raises:
        CheckpointError: There are no weights, or they are of another encoder.
    """
    if not path.exists():
        raise CheckpointError(
            f"{path}: no such run, checkpoint or file to start from; train it first, or set "
            "stage.initial_weights to another one, or to none"
        )
    documents: Mapping[str, Any] = {}
    if path.is_file():
        state = read_document(path)
    else:
        last = path / "checkpoints" / "last"
        loaded = load(last if (last / "model.safetensors").exists() else path)
        state, documents = loaded.model, loaded.documents
    _check_encoder((documents.get("config") or {}).get("run"), config, path)
    try:
        weights = classifier_weights(state)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return InitialWeights(path=path, weights=weights, documents=documents)


def initialise_by_class(
    model: VideoClassifier,
    initial: InitialWeights,
    classes: Sequence[str],
    *,
    head_rows: str | None = None,
) -> StartReport:
    """Fill a classifier of `classes` with what there is for it, and say what that was.

    A head that knows the names of all these classes comes along; one that knows none of them does
    if it has equally many, or by `head_rows`, a JSON list of its row for each class.

    Raises:
        CheckpointError: The weights do not fit the encoder.
        ConfigError: `head_rows` cannot be read.
    """
    weights, known = initial.weights, tuple(initial.documents.get("labels") or ())
    if head_rows is not None:
        weights = map_head_rows(weights, _read_rows(Path(head_rows)))
    elif "head.weight" in weights and known:
        weights = _rows_by_name(model, weights, classes, known)
    report = initialise_classifier(model, weights, new=_NEW_TO_PRETRAINING)
    logger.info("%s: %s", initial.path, report)
    return report


def _rows_by_name(
    model: nn.Module, weights: Mapping[str, Tensor], classes: Sequence[str], known: Sequence[str]
) -> dict[str, Tensor]:
    """Give each class that was known its row of the head; rows of added classes start anew."""
    kept = [place for place, name in enumerate(classes) if name in known]
    rest = {name: value for name, value in weights.items() if not name.startswith("head.")}
    if not kept:
        return rest
    rows = rows_of_classes([classes[place] for place in kept], known)
    mapped = map_head_rows(weights, rows)
    for name in ("head.weight", "head.bias"):
        head = model.get_parameter(name).detach().to("cpu", copy=True)
        head[kept] = mapped[name].to(head)
        rest[name] = head
    if len(kept) < len(classes):
        logger.info("kept the rows of %d classes, %d are new", len(kept), len(classes) - len(kept))
    return rest


def _read_rows(path: Path) -> list[int]:
    try:
        rows = read_json_document(path)
    except ValueError as error:
        raise ConfigError(f"{path}: cannot be read as a JSON list of rows ({error})") from error
    if not isinstance(rows, list) or not all(isinstance(row, int) for row in rows):
        raise ConfigError(f"{path}: expected a JSON list of row numbers, such as [3, 0, 17]")
    return rows


def _check_encoder(
    document: Any, config: VideoClassifierConfig | ActionDetectorConfig, path: Path
) -> None:
    """Compare with the encoder that was trained: most of its fields leave no trace in shapes."""
    if not isinstance(document, Mapping) or "stage" not in document:
        return  # a saved model; its configuration is that of its weights' family
    stage = document["stage"]
    model = stage.get("model", stage)
    trained = model["encoder"].get("video", model["encoder"])
    ours, usual = (
        json.loads(json.dumps(asdict(encoder)))
        for encoder in (config.encoder, type(config.encoder)())
    )
    unlike = [
        f"{name}={ours[name]} instead of {value}"
        for name, value in (usual | trained).items()  # a field that a run is older than
        if name in ours and name not in _FREE and ours[name] != value
    ]
    unlike += _unlike_front_ends(model.get("front_end"), config)
    if unlike:
        raise CheckpointError(
            f"{path}: its encoder is another one than model.encoder, which has {', '.join(unlike)}"
        )


def _unlike_front_ends(
    trained: Any, config: VideoClassifierConfig | ActionDetectorConfig
) -> list[str]:
    """Compare the part of a front end that weights depend on."""
    ours = None if config.front_end is None else asdict(config.front_end)
    if ours is None or trained is None:
        return [] if ours is trained else [f"front_end={ours} instead of {trained}"]
    return [
        f"front_end.{name}={value} instead of {trained.get(name)}"
        for name, value in ours.items()
        if name not in _FREE_OF_FRONT_ENDS[ours["kind"]] and trained.get(name) != value
    ]
