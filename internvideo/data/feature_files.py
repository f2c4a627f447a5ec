"""Files of features: the rows of one video, written as they come, and a JSON that tells of them.

    clip.mp4.safetensors   "features" (windows, ...), or clip.mp4.npy
    clip.mp4.json          source, model, request, shape, and for each row its seconds

The array comes under its name when it is whole, and the JSON after it: where that is, both are
complete. Nothing of an array is kept in memory.
Source: the layouts of safetensors (an 8-byte length, a JSON header, bytes) and of NumPy's npy 1.0.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from internvideo.errors import ConfigError, DecodeError
from internvideo.reading import BROKEN_ARRAY, read_json_document, why_no_file

FeatureFormat = Literal["safetensors", "npy"]
FeatureType = Literal["float32", "float16"]

# A day of windows, at several a second, with three times each.
_MOST_SIDE_CAR_BYTES = 256 << 20

_TYPES: dict[str, tuple[torch.dtype, str]] = {
    "float32": (torch.float32, "F32"),
    "float16": (torch.float16, "F16"),
}


def write_features(
    path: Path, num_rows: int, batches: Iterable[Tensor], *, dtype: FeatureType
) -> tuple[int, ...]:
    """Write `num_rows` rows in the format of the path's suffix and return the array's shape.

    Raises:
        DecodeError: If a row is not finite in that type.
        ConfigError: If the file cannot be written.
    """
    beside = path.with_name(f".{path.name}-writing")
    shape: tuple[int, ...] = (num_rows,)
    try:
        with beside.open("wb") as file:
            for batch in batches:
                if file.tell() == 0:
                    shape = (num_rows, *batch.shape[1:])
                    _write_header(file, path.suffix, shape, dtype)
                rows = batch.to("cpu", _TYPES[dtype][0]).contiguous()
                if not rows.isfinite().all():
                    raise DecodeError(
                        f"{path.name}: a feature is not finite in {dtype}; the weights are damaged "
                        "or the type is too narrow"
                    )
                file.write(rows.numpy().tobytes())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        beside.unlink(missing_ok=True)
    return shape


def read_features(path: str | Path) -> tuple[Float[Tensor, "windows ..."], dict[str, Any]]:
    """Read the rows of one video and the JSON beside them.

    Raises:
        ConfigError: If a file is missing or damaged, or the two do not belong together.
    """
    path = Path(path)
    document = described(path)
    if path.exists() and (why := why_no_file(path)) is not None:
        raise ConfigError(f"{path}: cannot be read as features ({why})")
    try:
        if path.suffix == ".npy":
            rows = torch.from_numpy(np.load(path, allow_pickle=False))
        else:
            rows = load_file(path)["features"]
    except (*BROKEN_ARRAY, SafetensorError) as error:
        raise ConfigError(f"{path}: cannot be read as features ({error})") from error
    if document is None:
        raise ConfigError(f"{path}: nothing tells of it; expected {side_car(path).name} beside it")
    if list(rows.shape) != document["features"]["shape"]:
        raise ConfigError(
            f"{path}: holds {list(rows.shape)} and {side_car(path).name} tells of "
            f"{document['features']['shape']}; extract it again"
        )
    return rows, document


def side_car(path: Path) -> Path:
    """Where the JSON beside a file of features lies."""
    return path.with_suffix(".json")


def described(path: Path) -> dict[str, Any] | None:
    """What the JSON beside a file of features tells; None where it is missing or broken."""
    try:
        document = read_json_document(side_car(path), most_bytes=_MOST_SIDE_CAR_BYTES)
    except ValueError:
        return None
    return document if isinstance(document, dict) and "features" in document else None


def is_complete(path: Path, document: Mapping[str, Any]) -> bool:
    """Whether a file of features has all the bytes that its JSON tells of."""
    try:
        return path.stat().st_size == document["features"]["num_bytes"]
    except OSError:
        return False


def _write_header(file: BinaryIO, suffix: str, shape: tuple[int, ...], dtype: FeatureType) -> None:
    if suffix == ".npy":
        description = {"descr": np.dtype(dtype).newbyteorder("<").str, "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, {**description, "shape": shape})
        return
    num_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    tensor = {"dtype": _TYPES[dtype][1], "shape": shape, "data_offsets": [0, num_bytes]}
    header = json.dumps({"features": tensor}).encode()
    header += b" " * (-len(header) % 8)
    file.write(len(header).to_bytes(8, "little") + header)
