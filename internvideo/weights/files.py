"""Weights out of files that others wrote: tensors or a clear error, and nothing is executed.

What a file is, its first bytes say and not its name: safetensors, torch's zip or older pickle, or a
TorchScript archive. Pickles are read by torch's own restricted unpickler (`weights_only=True`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import re
import string
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from internvideo.errors import CheckpointError
from internvideo.weights.torchscript import is_torchscript, read_torchscript

# A function of numpy that builds scalars; its module has another name since numpy 2.
_SCALAR = np.float32(0).__reduce__()[0]
# What training scripts keep beside weights: options and counts, which can run nothing.
_SAFE_GLOBALS = [
    argparse.Namespace,
    np.dtype,
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    *(np.dtypes.Float32DType, np.dtypes.Float64DType, np.dtypes.Int64DType),
]
# What comes of reading a file that is cut short or was altered.
_READ_ERRORS = (
    *(OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, IndexError),
    *(RuntimeError, SafetensorError, zipfile.BadZipFile),
)
_FILE_NAMES = (
    "model.safetensors",
    "pytorch_model.bin",
    "mp_rank_00_model_states.pt",  # DeepSpeed, weights not sharded
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
)
_PRINTABLE = frozenset(string.printable.encode())
_NOT_WEIGHTS = (
    (rb"\s*<(!DOCTYPE|html|\?xml|head|body)", "a web page; the download failed"),
    (rb"version https://git-lfs", "a Git LFS pointer; fetch the file that it stands for"),
    (rb"\x1f\x8b", "compressed with gzip; unpack it first"),
    (rb"7z\xbc\xaf|Rar!", "an archive; unpack it first"),
)


def find_weights(path: Path) -> tuple[Path, ...]:
    """Give the file, or the files of a folder of `transformers` or DeepSpeed, that hold weights.

    Raises:
        CheckpointError: There is nothing, or a folder without weights.
    """
    if not path.is_dir():
        if not path.exists():
            raise CheckpointError(f"{path}: there is no such file")
        return (path,)
    latest = path / "latest"  # where DeepSpeed says which folder counts
    inside = path / latest.read_text().strip() if latest.is_file() else path
    for name in _FILE_NAMES:
        if (file := inside / name).is_file():
            if not name.endswith(".index.json"):
                return (file,)
            shards = sorted(set(json.loads(file.read_text())["weight_map"].values()))
            return tuple(inside / Path(shard).name for shard in shards)
    found = sorted(child.name for child in path.iterdir())
    raise CheckpointError(
        f"{path}: is a folder without weights (there is {', '.join(found[:5]) or 'nothing'}); "
        f"expected one of {', '.join(_FILE_NAMES[:3])}, or give the file itself"
    )


def read_document(path: Path) -> Mapping[str, Any]:
    """Read what a file of weights holds: tensors by name, perhaps inside other dictionaries.

    Raises:
        CheckpointError: The file is missing, damaged, no weights, or asks to run something.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(512)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read as weights: {error.strerror}") from error
    refused = _rejected_by_header(path, beginning)
    try:
        if refused is None:
            found = _read(path, beginning)
            if isinstance(found, Mapping):
                return found
            refused = f"holds no state dict but a {type(found).__name__}"
    except pickle.UnpicklingError as error:
        refused = _explain_unpickling(error)
    except _READ_ERRORS as error:
        reason = (str(error).splitlines() or ["it ends early"])[0]
        refused = f"is cut short or damaged ({reason[:200]}); download it again"
    raise CheckpointError(
        f"{path}: cannot be read as weights: {refused} (expected .safetensors, a file of "
        "torch.save or a TorchScript archive)"
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict: that of the file, or what the file keeps as `state_dict`."""
    found = read_document(path)
    state = found.get("state_dict", found)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{path}: holds no state dict (names with tensors)")
    return state


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Raise `CheckpointError` where a file is not the one that was published."""
    if (found := sha256_of(path)) != expected.lower():
        raise CheckpointError(
            f"{path}: sha256 is {found}, published is {expected.lower()}; the download is damaged "
            "or another file: remove it and download again"
        )


def _rejected_by_header(path: Path, beginning: bytes) -> str | None:
    if not beginning:
        return "is empty"
    for pattern, what in _NOT_WEIGHTS:
        if re.match(pattern, beginning, re.IGNORECASE):
            return f"is {what}"
    if beginning.startswith(b"PK") and not zipfile.is_zipfile(path):
        return "is cut short (a zip archive without its end); download it again"
    if not set(beginning) - _PRINTABLE:
        return f"is text (it starts with {beginning[:40].decode('latin-1').strip()!r})"
    return None


def _read(path: Path, beginning: bytes) -> Any:
    if beginning[8:9] == b"{":  # safetensors: length of the header, then JSON
        return load_file(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            scripted = is_torchscript(archive)
        if scripted:
            return read_torchscript(path)
    with warnings.catch_warnings(), torch.serialization.safe_globals(_SAFE_GLOBALS):
        warnings.simplefilter("ignore")  # of storages of older files
        return torch.load(path, map_location="cpu", weights_only=True)


def _explain_unpickling(error: pickle.UnpicklingError) -> str:
    """Say in one line what a pickle asked for and why it did not get it."""
    text = " ".join(str(error).split())
    if asked := re.search(
        r"(?:GLOBAL|Unsupported global:?|asks for)\s+(?:GLOBAL\s+)?([\w.]+)", text
    ):
        return (
            f"it asks for {asked[1]}, which could run code; nothing was executed. If you trust its "
            'author, open it there and save its state dict alone: torch.save({"state_dict": ...})'
        )
    if text.startswith("Weights only load failed"):  # what follows advises to switch the check off
        said = re.search(r"WeightsUnpickler error: (.{1,100}?)(?: Check the documentation|$)", text)
        text = said[1] if said else ""
    why = f" ({text[:150]})" if text else ""
    return f"is no checkpoint of torch.save{why}; nothing was executed"
