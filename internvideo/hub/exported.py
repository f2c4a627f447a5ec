"""Open an exported classifier, an ONNX file or a program of `torch.export`, to predict with it.

Classes and preprocessing are those that the file says of itself (`export.py`), or those of a
description beside it, `NAME.json` with the same keys, for files that others made. Runs on the
processor.

A `.pt2` is a program, and torch runs what it names. It is looked through before it is loaded: its
steps are operations on tensors, its sizes plain arithmetic, and nothing in it is compiled code or a
pickle of anything else than tensors.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from internvideo.errors import CheckpointError, ConfigError
from internvideo.hub.pretrained import Preprocessing, from_json
from internvideo.models.export import METADATA_FILE
from internvideo.reading import check_inflation, parse_json, read_json_document, why_no_file
from internvideo.tasks import RecognitionModel, kept_threshold

SUFFIXES = (".onnx", ".pt2")
# What an export says of its pixels besides the fields of `Preprocessing`.
_LAYOUT = {"layout": "b c t h w", "colours": "RGB", "pixels": "(byte / 255 - mean) / std"}
_TENSOR_STEP = re.compile(r"torch\.ops\.aten\.\w+\.\w+|_operator\.[a-z]+")
_SIZE = re.compile(
    r"(?:\b(?:Symbol|Integer|Add|Mul|Pow|Max|Min|Mod|FloorDiv|positive|nonnegative|integer|True|[su]?\d+)"
    r"\b|[\s'+\-*/(),<>=])*"
)
_MOST_PROGRAM_BYTES = 256 << 20


class _Program(nn.Module):
    """A file as the network that it was."""

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._run = run

    def forward(self, clip: Tensor) -> Tensor:
        return self._run(clip)


class ExportedClassifier(RecognitionModel):
    """A classifier that runs from an exported file."""

    has_gradients = False

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")


def open_exported(path: str | Path) -> ExportedClassifier:
    """Open a classifier from a file that ends in .onnx or .pt2.

    Raises:
        CheckpointError: It is damaged, no classifier, or says no classes or preprocessing.
        ConfigError: The package that runs it is missing.
    """
    path = Path(path)
    if (why := why_no_file(path)) is not None:
        raise CheckpointError(f"{path}: cannot be read ({why})")
    run, said = _onnx(path) if path.suffix == ".onnx" else _program(path)
    said |= _beside(path)
    if (part := said.get("part", "classifier")) != "classifier":
        raise CheckpointError(f"{path}: holds the part {part!r} of a model, which names no classes")
    classes, seen = said.get("classes"), said.get("preprocessing")
    if not classes or not seen:
        raise CheckpointError(
            f"{path}: says no {'preprocessing' if classes else 'classes'}; write them beside it, "
            f'into {path.with_suffix(".json")}: {{"classes": ["run", ...], "preprocessing": '
            '{"num_frames": 16, "side_px": 224, "mean": [...], "std": [...]}}'
        )
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise CheckpointError(f"{path}: classes are a list of names, found {classes!r:.80}")
    if not isinstance(seen, dict) or any(seen.pop(k, v) != v for k, v in _LAYOUT.items()):
        raise CheckpointError(f"{path}: is for clips of another layout than {_LAYOUT}")
    fields = from_json(Preprocessing, seen, str(path))
    model = ExportedClassifier(
        _Program(run),
        classes,
        num_frames=fields.num_frames,
        side_px=fields.side_px,
        mean=fields.mean,
        std=fields.std,
        sampling=fields.sampling,
        stride_frames=fields.stride_frames,
        crop=fields.crop,
        multi_label=bool(said.get("multi_label", False)),
        unknown_below=kept_threshold(said.get("provenance")),
    )
    blank = torch.zeros(1, fields.num_frames, fields.side_px, fields.side_px, 3, dtype=torch.uint8)
    try:
        model.classify_clips(blank)
    except Exception as error:  # each runtime has errors of its own
        raise CheckpointError(
            f"{path}: does not name clips of {fields.num_frames} frames of {fields.side_px} px "
            f"({_short(error)})"
        ) from error
    return model


def _onnx(path: Path) -> tuple[Callable[[Tensor], Tensor], dict[str, Any]]:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f"{path}: running it needs the package 'onnxruntime': pip install onnxruntime"
        ) from error
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        said = {k: parse_json(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    except ValueError:
        said = {}  # of another tool
    except Exception as error:  # its errors have no common base
        raise CheckpointError(f"{path}: is no ONNX file that runs ({_short(error)})") from error
    inputs, outputs = session.get_inputs(), [output.name for output in session.get_outputs()]
    if len(inputs) != 1:
        raise CheckpointError(
            f"{path}: takes {len(inputs)} inputs, a classifier takes a clip alone"
        )
    output = "logits" if "logits" in outputs else outputs[0]

    def run(clip: Tensor) -> Tensor:
        return torch.from_numpy(session.run([output], {inputs[0].name: clip.numpy()})[0])

    return run, said


def _program(path: Path) -> tuple[Callable[[Tensor], Tensor], dict[str, Any]]:
    extra = {METADATA_FILE: ""}
    try:
        _check_program(path)
        # torch reads its parts without the check of what pickles ask for, unless this is set.
        with patch.dict(os.environ, {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}):
            program = torch.export.load(path, extra_files=extra).module()
        said = parse_json(extra[METADATA_FILE] or "{}")
    except CheckpointError:
        raise
    except Exception as error:  # of a damaged file torch raises whatever it comes upon
        raise CheckpointError(f"{path}: is no program that runs ({_short(error)})") from error

    def run(clip: Tensor) -> Tensor:
        found = program(clip)
        found = next(iter(found.values())) if isinstance(found, Mapping) else found
        return found if isinstance(found, Tensor) else found[0]

    return run, said if isinstance(said, dict) else {}


def _check_program(path: Path) -> None:
    """Refuse a `.pt2` in which there is more than operations on tensors."""
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        check_inflation(file)
        for member in archive.infolist():
            if "aotinductor" in member.filename:
                raise CheckpointError(f"{path}: holds compiled code, which is not run")
            if not member.filename.endswith(".json"):
                continue
            if member.file_size > _MOST_PROGRAM_BYTES:
                raise CheckpointError(f"{path}: its program has {member.file_size} bytes")
            for name, value in _named(parse_json(archive.read(member))):
                if name == "target" and isinstance(value, str) and "." in value:
                    allowed = _TENSOR_STEP.fullmatch(value)
                elif name == "expr_str":
                    allowed = isinstance(value, str) and _SIZE.fullmatch(value)
                else:
                    allowed = name != "use_pickle" or value is False
                if not allowed:
                    raise CheckpointError(
                        f"{path}: asks for {name} {value!r:.80}, which is no operation on tensors; "
                        "nothing was executed"
                    )


def _named(document: Any) -> Iterator[tuple[str, Any]]:
    """All values of a JSON document with their names."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield name, value
            yield from _named(value)
    elif isinstance(document, list):
        for value in document:
            yield from _named(value)


def _beside(path: Path) -> dict[str, Any]:
    file = path.with_suffix(".json")
    if not file.is_file():
        return {}
    try:
        found = read_json_document(file)
    except ValueError as error:
        raise CheckpointError(f"{file}: is no JSON ({error})") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{file}: expected an object, found {found!r:.80}")
    return found


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
