"""A saved model: one folder that says all about itself, whether we trained it or imported it.

    model.safetensors   weights under the model's own names
    config.json         {"kind", "config", "preprocessing"}: rebuilds the model, says what it is fed
    labels.json         class names, where it has classes: row i of the head is labels[i]
    tokenizer.json      where it reads or writes words
    provenance.json     where the weights came from

Nothing in it is executed when it is read. A folder is written beside its place and renamed, so it
is complete or absent. Checkpoints of a run are such folders, with more beside: ema.safetensors is
the moving average of the weights, and config.json holds the run as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from internvideo.config import refuse_unknown
from internvideo.errors import CheckpointError, ConfigError, unknown_name
from internvideo.heads import (
    ActionDetector,
    ActionDetectorConfig,
    Anticipator,
    AnticipatorConfig,
    CoordinatedClassifier,
    CoordinatedClassifierConfig,
    Navigator,
    NavigatorConfig,
    QuestionAnswerer,
    QuestionAnswererConfig,
    Retriever,
    RetrieverConfig,
    VideoClassifier,
    VideoClassifierConfig,
)
from internvideo.models import (
    AutoencoderConfig,
    MaskedAutoencoder,
    MaskedEncoder,
    MaskedEncoderConfig,
    MultimodalEncoder,
    MultimodalEncoderConfig,
    UniFormer,
    UniFormerConfig,
    Viclip,
    ViclipConfig,
)
from internvideo.ranges import check_ranges
from internvideo.reading import read_json_document
from internvideo.tasks import TemporalDetectorConfig
from internvideo.text import Tokenizer, WordPieces
from internvideo.tiny import (
    TinyAutoencoderConfig,
    TinyMultimodalConfig,
    build_masked_autoencoder,
    build_multimodal,
)
from internvideo.values import Preprocessing
from internvideo.writing import replace_text, written_beside

# What a model makes itself beside weights of no size, such as tables of positions.
_MOST_TABLE_BYTES = 256 << 20

ModelConfig = (
    MaskedEncoderConfig
    | AutoencoderConfig
    | TinyAutoencoderConfig
    | VideoClassifierConfig
    | CoordinatedClassifierConfig
    | QuestionAnswererConfig
    | UniFormerConfig
    | MultimodalEncoderConfig
    | TinyMultimodalConfig
    | RetrieverConfig
    | ViclipConfig
    | TemporalDetectorConfig
    | ActionDetectorConfig
    | AnticipatorConfig
    | NavigatorConfig
)

# What can be saved: its configuration, and what makes a model of that.
KINDS: dict[str, tuple[type[ModelConfig], Callable[[Any], nn.Module]]] = {
    "masked-encoder": (MaskedEncoderConfig, MaskedEncoder),
    "masked-autoencoder": (
        AutoencoderConfig,
        lambda config: MaskedAutoencoder(config.encoder, config.decoder),
    ),
    "tiny-masked-autoencoder": (
        TinyAutoencoderConfig,
        lambda config: build_masked_autoencoder(config.encoder, config.decoder, config.front_end),
    ),
    "video-classifier": (VideoClassifierConfig, VideoClassifier),
    "coordinated-classifier": (CoordinatedClassifierConfig, CoordinatedClassifier),
    "question-answerer": (QuestionAnswererConfig, QuestionAnswerer),
    "uniformer": (UniFormerConfig, UniFormer),
    "multimodal-encoder": (MultimodalEncoderConfig, MultimodalEncoder),
    "tiny-multimodal-encoder": (
        TinyMultimodalConfig,
        lambda config: build_multimodal(config.encoder, config.front_end),
    ),
    "retriever": (RetrieverConfig, Retriever),
    "viclip": (ViclipConfig, Viclip),
    "action-detector": (ActionDetectorConfig, ActionDetector),
    "anticipator": (AnticipatorConfig, Anticipator),
    "temporal-detector": (TemporalDetectorConfig, lambda config: config.build()),
    "navigator": (NavigatorConfig, Navigator),
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pretrained:
    """A model with what is needed to use it; `kind` is a name of `KINDS`."""

    model: nn.Module
    kind: str
    config: ModelConfig
    preprocessing: Preprocessing
    classes: tuple[str, ...] = ()
    tokenizer: Tokenizer | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)


def save_pretrained(pretrained: Pretrained, folder: str | Path) -> Path:
    """Write a folder that `load_pretrained` reads; one that is there already is not touched.

    Raises:
        CheckpointError: The folder exists, cannot be written, or classes do not fit the model.
    """
    folder = Path(folder)
    if folder.exists():
        raise CheckpointError(f"{folder}: exists already; choose another folder or remove it")
    check_classes(pretrained)
    documents = {
        "config": model_description(pretrained.kind, pretrained.config, pretrained.preprocessing),
        "labels": list(pretrained.classes) or None,
        "tokenizer": pretrained.tokenizer and pretrained.tokenizer.to_document(),
        "provenance": dict(pretrained.provenance),
    }
    try:
        with written_beside(folder) as beside:
            state = {k: v.contiguous() for k, v in pretrained.model.state_dict().items()}
            save_file(state, beside / "model.safetensors", metadata={"format": "pt"})
            for name, document in documents.items():
                if document is not None:
                    text = json.dumps(document, indent=2, ensure_ascii=False)
                    (beside / f"{name}.json").write_text(text + "\n", encoding="utf-8")
            beside.rename(folder)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: cannot be written ({error})") from error
    return folder


def add_provenance(folder: Path, facts: Mapping[str, Any]) -> None:
    """Add to the provenance of a saved model, such as what was measured after training.

    Raises:
        CheckpointError: What is there cannot be read, or it cannot be written.
    """
    path = folder / "provenance.json"
    document = {**_document(folder, "provenance"), **facts}
    try:
        replace_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written ({error})") from error


def model_description(
    kind: str, config: ModelConfig, preprocessing: Preprocessing
) -> dict[str, Any]:
    """What config.json says of a model, enough to rebuild and to feed it."""
    return {"kind": kind, "config": to_json(config), "preprocessing": to_json(preprocessing)}


def is_saved_model(folder: Path) -> bool:
    """Whether a folder was written by `save_pretrained`, or is a checkpoint of a run."""
    try:
        document = read_json_document(folder / "config.json")
    except ValueError:
        return False
    return isinstance(document, dict) and document.keys() >= {"kind", "config"}


def read_saved_model(folder: Path, *, averaged: bool = False) -> Pretrained:
    """Read what `save_pretrained` wrote, or a checkpoint of a run, ready for evaluation.

    Args:
        folder: Where config.json and the weights lie.
        averaged: Take the moving average of the weights, which some checkpoints hold.

    Raises:
        CheckpointError: A part is missing or damaged, or weights and config.json disagree.
    """
    weights = folder / ("ema.safetensors" if averaged else "model.safetensors")
    if not weights.is_file():
        if averaged and (folder / "model.safetensors").is_file():
            raise CheckpointError(f"{folder}: this run kept no moving average; use averaged=False")
        if inside := _models_inside(folder):
            raise CheckpointError(
                f"{folder}: is no model but holds {len(inside)}: {', '.join(inside[:10])}; name one"
            )
        found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else "no folder"
        raise CheckpointError(f"{folder}: no {weights.name} there (found: {found})")
    document = _document(folder, "config")
    if not isinstance(document, dict):
        raise CheckpointError(
            f"{folder / 'config.json'}: expected an object, found {document!r:.80}"
        )
    if "kind" not in document:
        missing = "it names no kind of model" if document else "it is missing"
        raise CheckpointError(
            f"{folder}: {missing}: config.json has to say what model this is; checkpoints of "
            "versions before it did so cannot be opened, train them again"
        )
    kind = document["kind"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise CheckpointError(f"{folder}: {unknown_name('kind of model', str(kind), KINDS)}")
    where = f"{folder / 'config.json'}"
    config = from_json(KINDS[kind][0], document.get("config"), where)
    preprocessing = from_json(Preprocessing, document.get("preprocessing", {}), where)
    labels, tokenizer = _document(folder, "labels"), _document(folder, "tokenizer")
    try:
        state = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{weights}: damaged ({error})") from error
    try:
        # Without values first: a config.json that claims more than the weights takes no memory.
        _check_agreement(build_empty(kind, config, weights.stat().st_size), state)
        model = build_model(kind, config)
        model.load_state_dict(state)
    except (RuntimeError, ConfigError, ValueError, TypeError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())[:1000]
        raise CheckpointError(f"{folder}: weights and config.json disagree: {reason}") from error
    pretrained = Pretrained(
        model=model.eval(),
        kind=kind,
        config=config,
        preprocessing=preprocessing,
        classes=_names(folder / "labels.json", labels),
        tokenizer=_tokenizer(folder / "tokenizer.json", tokenizer),
        provenance=_document(folder, "provenance"),
    )
    check_classes(pretrained)
    return pretrained


def _models_inside(folder: Path) -> list[str]:
    """Runs and saved models right below a folder."""
    if not folder.is_dir():
        return []
    return [
        str(path)
        for path in sorted(folder.iterdir())
        if (path / "checkpoints" / "last").exists() or is_saved_model(path)
    ]


def _names(path: Path, found: Any) -> tuple[str, ...]:
    """Class names of a labels.json; one string is no list of names."""
    if not found:
        return ()
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise CheckpointError(f"{path}: expected a list of class names, found {found!r:.80}")
    return tuple(found)


def _tokenizer(path: Path, document: Any) -> Tokenizer | None:
    if not document:
        return None
    try:
        return WordPieces.from_document(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: is no tokenizer ({error})") from error


def _check_agreement(empty: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Compare names, shapes and kinds of numbers of weights with those of a model."""
    own = empty.state_dict()
    for names, what in ((own.keys() - state, "are missing"), (state.keys() - own, "have no place")):
        if names:
            raise ConfigError(f"{len(names)} tensors {what} ({', '.join(sorted(names)[:4])})")
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            raise ConfigError(
                f"{name} has shape {tuple(tensor.shape)}, the model needs {tuple(own[name].shape)}"
            )
        is_float = tensor.is_floating_point()
        if is_float != own[name].is_floating_point() or tensor.is_complex():
            raise ConfigError(f"{name} is {tensor.dtype}, the model needs {own[name].dtype}")
        if is_float and bool(tensor.isnan().any()):
            raise ConfigError(f"{name} holds NaN; the file is damaged or its training diverged")


def build_model(kind: str, config: ModelConfig, *, device: torch.device | None = None) -> nn.Module:
    """Make a model of a kind; on the device "meta" it has shapes and no values."""
    with device or torch.device("cpu"):
        return KINDS[kind][1](config)


def build_empty(kind: str, config: ModelConfig, num_bytes: int) -> nn.Module:
    """Make a model without values, and see that it would not take many times its weights' bytes.

    Raises:
        CheckpointError: Tables that it makes itself, as of positions, would be that large.
    """
    empty = build_model(kind, config, device=torch.device("meta"))
    own = sum(buffer.numel() * buffer.element_size() for buffer in empty.buffers())
    if own > (most := _MOST_TABLE_BYTES + 8 * num_bytes):
        raise CheckpointError(
            f"the model's tables take {own} bytes, expected at most {most} beside weights of "
            f"{num_bytes}; its clips are too large"
        )
    return empty


def to_json(config: Any) -> Any:
    """A configuration as a JSON value; `from_json` gives back an equal one."""
    return TypeAdapter(type(config)).dump_python(config, mode="json")


def from_json(of: type[Any], document: Any, where: str) -> Any:
    """Build a configuration from a JSON value, or raise `CheckpointError`."""
    try:
        check_ranges(document)
        config = TypeAdapter(of).validate_python(document)
        refuse_unknown(document, to_json(config), of.__name__)
    except (ValidationError, ConfigError, RecursionError, OverflowError) as error:
        reason = " ".join(str(error).split())[:1000]
        raise CheckpointError(f"{where}: is no {of.__name__} ({reason})") from error
    return config


def num_classes_of(config: ModelConfig) -> int | None:
    """Rows of the head, or None where there is none."""
    if isinstance(config, CoordinatedClassifierConfig):
        return config.masked.num_classes
    if isinstance(config, QuestionAnswererConfig):
        return config.num_answers
    return getattr(config, "num_classes", None)


def check_classes(pretrained: Pretrained) -> None:
    """Raise `CheckpointError` where there is not one label for each row of the head."""
    rows, names = num_classes_of(pretrained.config), len(pretrained.classes)
    if names and rows != names:
        raise CheckpointError(
            f"{names} labels for a model with {rows or 'no'} classes; give one label "
            "for each row of its head"
        )


def _document(folder: Path, name: str) -> Any:
    path = folder / f"{name}.json"
    if not path.exists():
        return {}
    try:
        return read_json_document(path)
    except ValueError as error:
        raise CheckpointError(f"{path}: is no JSON ({error})") from error
