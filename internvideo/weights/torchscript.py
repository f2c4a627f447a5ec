"""Tensors out of a TorchScript archive, such as OpenAI's CLIP files, without running any of it.

An archive is a zip with `data.pkl`, raw bytes below `data/`, and code that `torch.jit.load` would
compile and could run. Here the code is never looked at, and the pickle is read by an unpickler that
knows four things: a storage, a tensor on it, a plain container, and a module as a bag of
attributes. Whatever else the pickle asks for is refused before it is called.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_DTYPES = {
    f"{name}Storage": dtype
    for name, dtype in (
        ("Double", torch.float64),
        ("Float", torch.float32),
        ("Half", torch.float16),
        ("BFloat16", torch.bfloat16),
        ("Long", torch.int64),
        ("Int", torch.int32),
        ("Short", torch.int16),
        ("Char", torch.int8),
        ("Byte", torch.uint8),
        ("Bool", torch.bool),
    )
}


def is_torchscript(archive: zipfile.ZipFile) -> bool:
    return any("/code/" in name or name.endswith("/constants.pkl") for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Name the parameters and buffers of the archived module as its `state_dict()` would.

    Raises:
        pickle.UnpicklingError: The archive asks for anything but tensors in modules.
        zipfile.BadZipFile, KeyError: A part of it is damaged or missing.
    """
    with zipfile.ZipFile(path) as archive:
        start, *_ = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = start.removesuffix("data.pkl")
        with archive.open(start) as stream:
            module = _TensorUnpickler(stream, archive, folder).load()
    return dict(_tensors(module))


class _Module:
    """A module of the archive, of whatever class: only its attributes count."""

    def __setstate__(self, state: Any) -> None:
        self.attributes = dict(state) if isinstance(state, Mapping) else {}


class _TensorUnpickler(pickle.Unpickler):
    def __init__(self, stream: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(stream)
        self.archive, self.folder = archive, folder
        self.storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "__torch__":
            return _Module
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        match module, name:
            case "collections", "OrderedDict":
                return OrderedDict
            case "torch._utils", "_rebuild_tensor_v2":
                return _tensor
            case "torch._utils", "_rebuild_parameter":
                return lambda tensor, *_: tensor
            case "torch.jit._pickle", _:
                # A list of numbers, and the like, with its type.
                return lambda value, *_: value
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not executed")

    def persistent_load(self, pid: Any) -> Tensor:
        match pid:
            case ("storage", torch.dtype() as dtype, str(key), _, int()):
                if key not in self.storages:
                    content = bytearray(self.archive.read(f"{self.folder}data/{key}"))
                    self.storages[key] = (
                        torch.frombuffer(content, dtype=dtype)
                        if content
                        else torch.empty(0, dtype=dtype)
                    )
                return self.storages[key]
        raise pickle.UnpicklingError(f"it refers to {str(pid)[:80]}, which is no storage")


def _tensor(storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    size, stride = tuple(size), tuple(stride)
    if not all(isinstance(n, int) and n >= 0 for n in (*size, *stride, offset)):
        raise pickle.UnpicklingError(f"a tensor has the shape {str(size)[:80]}")
    reach = offset + 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if 0 not in size and not 0 <= offset < reach <= len(storage):
        raise pickle.UnpicklingError(f"a tensor of shape {size} lies outside its storage")
    return torch.as_strided(storage, size, stride, offset)


def _tensors(module: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    if not isinstance(module, _Module):
        raise pickle.UnpicklingError("it holds no module")
    for name, value in getattr(module, "attributes", {}).items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, _Module):
            yield from _tensors(value, f"{prefix}{name}.")
