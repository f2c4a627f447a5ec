"""How the vectors of an index lie in their file, and how they are written there.

Row r is a vector of `width` numbers: float16, or a float32 scale followed by int8.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from internvideo.errors import CheckpointError

VectorType = Literal["float16", "int8"]


def row_type(vectors: VectorType, width: int) -> np.dtype[Any]:
    """How one vector lies in the file."""
    if vectors == "float16":
        return np.dtype([("values", "<f2", (width,))])
    return np.dtype([("scale", "<f4"), ("values", "i1", (width,))])


def encode_rows(values: Float[np.ndarray, "n e"], vectors: VectorType) -> NDArray[Any]:
    """Vectors as they are stored; int8 keeps the largest component of each as 127."""
    rows = np.zeros(len(values), row_type(vectors, values.shape[1]))
    if vectors == "float16":
        rows["values"] = values
        return rows
    scale = np.maximum(np.abs(values).max(1, initial=0.0), 1e-12) / 127
    rows["scale"] = scale
    rows["values"] = np.rint(values / scale[:, None])
    return rows


def decode_rows(rows: NDArray[Any]) -> Float[np.ndarray, "n e"]:
    """Stored vectors in float32; raises `CheckpointError` where they are no numbers."""
    values = rows["values"]
    if values.dtype == np.float16:  # which torch widens three times as quickly as numpy
        values = torch.from_numpy(np.ascontiguousarray(values)).float().numpy()
    values = values.astype(np.float32, copy=False)
    if "scale" in (rows.dtype.names or ()):
        with np.errstate(over="ignore", invalid="ignore"):
            values *= rows["scale"][:, None]
    if not np.isfinite(values).all():
        raise CheckpointError(
            "the vectors of the index are damaged: some are not finite; restore it from a copy, or "
            "remove the folder and index again"
        )
    return values


def append_rows(path: Path, first: int, parts: Sequence[NDArray[Any]]) -> None:
    """Write rows from row `first` on and have them on the disk before returning."""
    if not parts:
        return
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.seek(first * parts[0].dtype.itemsize)
        for part in parts:
            file.write(part.tobytes())
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
