"""Weights out of files that others wrote: tensors or a clear error, and nothing is executed.

What a file is, its first bytes say and not its name: safetensors, torch's zip or older pickle, or a
TorchScript archive. Pickles are read by torch's own restricted unpickler (`weights_only=True`).
Objects of other classes that training scripts kept beside the weights (histories, options) become
inert and are named; a file that asks for what runs programs is refused as a whole. What a file
claims or inflates to is bounded by its own size.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import logging
import pickle
import re
import string
import struct
import warnings
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from internvideo.errors import CheckpointError
from internvideo.reading import TooDeepError, check_pickle, read_json_document, why_no_file
from internvideo.weights.torchscript import is_torchscript, read_torchscript

_log = logging.getLogger(__name__)

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
    *(RuntimeError, SafetensorError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error),
    *(OverflowError, MemoryError, AssertionError, struct.error, ZeroDivisionError),
)
# How many times its own size a file may inflate to, and its tensors may claim: weights that are
# shared have several names, and some archives are compressed.
_MOST_TIMES, _ALLOWANCE_BYTES = 8, 1 << 20
_MOST_UNKNOWN = 200  # classes
# A file of torch before 1.6: a number, its version, the machine, the objects, names of storages.
_OLDER_PICKLES = 5
# Modules whose functions run programs, open files or load code.
_HOSTILE = frozenset(
    (
        *("os", "posix", "nt", "subprocess", "sys", "builtins", "__builtin__", "importlib"),
        *("runpy", "pty", "socket", "shutil", "ctypes", "code", "codeop", "webbrowser", "pip"),
        *("commands", "multiprocessing", "signal", "threading", "asyncio", "urllib", "http"),
        *("pickle", "pdb", "timeit", "cProfile", "profile", "linecache", "operator", "functools"),
    )
)
_HARMLESS = frozenset(
    f"builtins.{name}" for name in ("set", "frozenset", "complex", "range", "slice", "object")
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
    inside = _latest(path)
    for name in _FILE_NAMES:
        if (file := inside / name).is_file():
            if not name.endswith(".index.json"):
                return (file,)
            return _shards(file)
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
    if (refused := why_no_file(path)) is not None:
        raise CheckpointError(f"{path}: cannot be read as weights: {refused}")
    with path.open("rb") as file:
        beginning = file.read(512)
    try:
        refused = _rejected_by_header(path, beginning)
        if refused is None:
            found = _read(path, beginning)
            if isinstance(found, Mapping):
                _check_claims(path, found)
                return found
            refused = f"holds no state dict but a {type(found).__name__}"
    except CheckpointError:
        raise  # says all there is to say
    except pickle.UnpicklingError as error:
        refused = _explain_unpickling(error)
    except RecursionError:
        refused = "is nested too deeply"
    except _READ_ERRORS as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
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


class Inert:
    """Stands for an object of a class that nothing here knows: takes whatever it is given."""

    def __new__(cls, *arguments: Any, **options: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _InertDict(Inert):
    """Of a class of dictionaries, which the unpickler fills only where they are its own."""

    def __new__(cls, *arguments: Any, **options: Any) -> Any:
        return OrderedDict()


class _InertList(Inert):
    def __new__(cls, *arguments: Any, **options: Any) -> Any:
        return []


def sha256_of(path: Path) -> str:
    if (why := why_no_file(path)) is not None:
        raise CheckpointError(f"{path}: cannot be read: {why}")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_sha256(model: nn.Module) -> str:
    """Digest of a model's weights: names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        digest.update(weight.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Raise `CheckpointError` where a file is not the one that was published."""
    if (found := sha256_of(path)) != expected.lower():
        raise CheckpointError(
            f"{path}: sha256 is {found}, published is {expected.lower()}; the download is damaged "
            "or another file: remove it and download again"
        )


def _latest(folder: Path) -> Path:
    """Where the weights of a folder are; DeepSpeed says in a file which inner folder counts."""
    latest = folder / "latest"
    if not latest.is_file():
        return folder
    name = latest.read_text(errors="replace")[:200].strip()
    if Path(name).name != name:
        raise CheckpointError(f"{latest}: names {name!r}, expected a folder beside it")
    return folder / name


def _shards(index: Path) -> tuple[Path, ...]:
    """The files that an index of split weights names, which lie beside it."""
    try:
        names = {str(name) for name in read_json_document(index)["weight_map"].values()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index}: is no index of weights ({error})") from error
    outside = [name for name in names if Path(name).name != name]
    if outside or not names:
        raise CheckpointError(f"{index}: names {sorted(outside)[:1] or 'no file'} for weights")
    return tuple(index.parent / name for name in sorted(names))


def _check_claims(path: Path, found: Mapping[Any, Any]) -> None:
    """Refuse tensors that claim more than the file can hold, or that hold no values here."""
    total, most = 0, _MOST_TIMES * path.stat().st_size + _ALLOWANCE_BYTES
    for name, tensor in _tensors_in(found):
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise CheckpointError(
                f"{path}: {name} is a tensor of another kind ({tensor.layout}, "
                f"{tensor.device.type}); save plain weights"
            )
        total += tensor.numel() * tensor.element_size()
        if total > most:
            raise CheckpointError(
                f"{path}: its tensors claim more than {most} bytes, {_MOST_TIMES} times what the "
                f"file holds, such as {name} {tuple(tensor.shape)}; it is damaged or made to fill "
                "the memory"
            )


def _tensors_in(found: Any, path: str = "", depth: int = 4) -> Iterator[tuple[str, Tensor]]:
    if isinstance(found, Tensor):
        yield path, found
    elif isinstance(found, Mapping) and depth:
        for name, value in found.items():
            yield from _tensors_in(value, f"{path}.{name}" if path else str(name), depth - 1)


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
            _check_inflation(path, archive)
            scripted = is_torchscript(archive)
            for name in archive.namelist():
                if name.endswith(".pkl"):
                    check_pickle(io.BytesIO(archive.read(name)))
        if scripted:
            return read_torchscript(path)
        with torch.serialization.safe_globals(_SAFE_GLOBALS):
            return _load(path, set(torch.serialization.get_unsafe_globals_in_checkpoint(path)))
    try:
        with path.open("rb") as stream:
            for _ in range(_OLDER_PICKLES):
                check_pickle(stream)
    except ValueError as error:
        if isinstance(error, TooDeepError):
            raise
        # torch stops where this did, and says more about it.
    return _load(path, set())


def _load(path: Path, unknown: set[str]) -> Any:
    """Read a file of torch.save; objects of classes that are not known become inert."""
    inert: dict[str, type] = {}
    for _ in range(_MOST_UNKNOWN):
        for name in unknown - inert.keys():
            if not _may_be_inert(name):
                raise pickle.UnpicklingError(f"asks for {name}")
            inert[name] = _stand_in(name, Inert)
        stubs = [(stub, name) for name, stub in inert.items()]
        try:
            with warnings.catch_warnings(), torch.serialization.safe_globals(_SAFE_GLOBALS + stubs):
                warnings.simplefilter("ignore")  # of storages of older files
                found = torch.load(path, map_location="cpu", weights_only=True)
            break
        except pickle.UnpicklingError as error:
            asked = re.search(r"Unsupported global: GLOBAL ([\w.]+)", str(error))
            container = re.search(r"Can only (\w+) .*but got <class '[\w.]*?(\w+)'>", str(error))
            unknown = set() if asked is None else {asked[1]} - inert.keys()
            filled = [] if container is None else [n for n in inert if _last(n) == container[2]]
            if not unknown and not filled:
                raise
            for name in filled:  # a class that is a list or a dictionary, and is filled as such
                is_list = container is not None and container[1] in ("append", "extend")
                inert[name] = _stand_in(name, _InertList if is_list else _InertDict)
    else:
        raise pickle.UnpicklingError(f"asks for more than {_MOST_UNKNOWN} unknown classes")
    if inert:
        _log.warning(
            "%s: objects of %d classes stay unread, nothing of them was executed: %s",
            *(path, len(inert), ", ".join(sorted(inert)[:5])),
        )
    return found


def _stand_in(name: str, kind: type) -> type:
    return type(_last(name), (kind,), {})


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _may_be_inert(name: str) -> bool:
    return name in _HARMLESS or name.split(".")[0] not in _HOSTILE


def _check_inflation(path: Path, archive: zipfile.ZipFile) -> None:
    inflated = sum(member.file_size for member in archive.infolist())
    if inflated > (most := _MOST_TIMES * path.stat().st_size + _ALLOWANCE_BYTES):
        raise CheckpointError(
            f"{path}: cannot be read as weights: inflates to {inflated} bytes, expected at most "
            f"{most} of a file of this size; it is damaged or made to fill the memory"
        )


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
