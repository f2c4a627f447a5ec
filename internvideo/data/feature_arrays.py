"""Released feature files of one video as an array (f, d): npy, npz, csv, pickle.

A pickle is read without running anything that it names: only numpy arrays, plain containers and
numbers can come out. Every damage is one line that names the file, and the row where there is
one.
Source: the files of ActionFormer (npy), FineAction (csv of 100 steps), HACS SlowFast (pickle).
"""

from __future__ import annotations

import csv
import io
import pickle
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from internvideo.errors import DecodeError
from internvideo.reading import BROKEN_ARRAY, check_inflation, check_pickle, why_no_file

# What a pickled array needs to be put together again; both homes of numpy's internals.
_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *(
        (f"numpy.{core}.{module}", name)
        for core in ("core", "_core")
        for module, name in (
            ("multiarray", "_reconstruct"),
            ("multiarray", "scalar"),
            ("numeric", "_frombuffer"),
        )
    ),
    ("collections", "OrderedDict"),
}


def read_feature_array(path: str | Path, *, key: str | None = None) -> Float32[np.ndarray, "f d"]:
    """Read one row a step.

    Args:
        path: A file ending in .npy, .npz, .csv, .pkl or .pickle.
        key: Name of the array where the file holds several; without it there must be only one
            with two axes.

    Raises:
        DecodeError: If the file is missing, cut off, of another kind, or not finite.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        known = ", ".join(sorted(_READERS))
        raise DecodeError(
            f"{path}: features in {path.suffix or 'no'} files are not read; {known} are"
        )
    if not path.exists():
        raise DecodeError(f"{path}: there is no such feature file")
    if (why := why_no_file(path)) is not None:
        raise DecodeError(f"{path}: cannot be read as features ({why})")
    try:
        found = _READERS[path.suffix](path)
    except _UnsafeError as error:
        raise DecodeError(
            f"{path}: {error}; only pickles of plain numpy arrays are read, save it as npy"
        ) from None
    except (*BROKEN_ARRAY, pickle.UnpicklingError, csv.Error) as error:
        if isinstance(error, DecodeError):
            raise
        reason = str(error) or type(error).__name__
        raise DecodeError(
            f"{path}: cannot be read as features ({reason}); is it cut off?"
        ) from None
    rows = _only_array(path, found, key)
    if rows.ndim == 3 and rows.shape[0] == 1:
        rows = rows[0]
    if rows.ndim != 2 or not rows.size or rows.dtype.kind not in "fiu":
        raise DecodeError(
            f"{path}: holds {rows.dtype} of shape {rows.shape}, expected numbers (steps, channels)"
        )
    return check_finite(path, rows.astype(np.float32))


def check_finite(path: Path, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows, or raise `DecodeError` naming the first that is not finite."""
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise DecodeError(
            f"{path}: row {int(np.argmin(finite))} of {len(rows)} holds NaN or infinity; extract "
            "the video again or leave it out"
        )
    return rows


class _UnsafeError(pickle.UnpicklingError):
    """A pickle names something that is not part of an array."""


class _ArrayUnpickler(pickle.Unpickler):
    """Puts numpy arrays and plain containers together, and refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _latin1_bytes
        if (module, name) not in _ALLOWED:
            raise _UnsafeError(f"names {module}.{name}, which is no numpy array")
        return super().find_class(module, name)


def _latin1_bytes(text: str, encoding: str) -> bytes:
    """What pickles of protocol 2 hold bytes as."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it holds bytes in {encoding!r}")
    return text.encode("latin1")


def _read_pickle(path: Path) -> Any:
    content = io.BytesIO(path.read_bytes())
    check_pickle(content)
    content.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's, of what damaged bytes ask of it
            return _ArrayUnpickler(content, encoding="latin1").load()
    except (
        *(AttributeError, IndexError, ImportError, KeyError, TypeError, UnicodeError),
        *(MemoryError, OverflowError),
    ) as error:
        # What damaged bytes lead the unpickler to, besides its own error.
        raise pickle.UnpicklingError(f"{type(error).__name__}: {error}") from None


def _read_numpy(path: Path) -> Any:
    """Read an array, or those of an archive by their names, whatever the file is called."""
    with path.open("rb") as file:
        if file.read(2) == b"PK":
            check_inflation(file)
        file.seek(0)
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        return {name: found[name] for name in found.files}


def _read_csv(path: Path) -> Any:
    rows: list[list[float]] = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        for line, cells in enumerate(csv.reader(file), 1):
            if not cells:
                continue
            try:
                row = [float(cell) for cell in cells]
            except ValueError:
                if line == 1:  # names of the columns
                    continue
                raise DecodeError(
                    f"{path}, line {line}: holds something else than numbers"
                ) from None
            if rows and len(row) != len(rows[0]):
                raise DecodeError(
                    f"{path}, line {line}: has {len(row)} numbers, the lines before {len(rows[0])}"
                )
            rows.append(row)
    return np.array(rows)


_READERS: dict[str, Callable[[Path], Any]] = {
    ".npy": _read_numpy,
    ".npz": _read_numpy,
    ".csv": _read_csv,
    ".pkl": _read_pickle,
    ".pickle": _read_pickle,
}


def _only_array(path: Path, found: Any, key: str | None) -> NDArray[Any]:
    if isinstance(found, Mapping):
        if key is not None and key not in found:
            raise DecodeError(f"{path}: holds no {key!r}, but {', '.join(map(str, found))}")
        arrays = {k: v for k, v in found.items() if isinstance(v, np.ndarray) and v.ndim >= 2}
        if key is not None:
            found = found[key]
        elif len(arrays) == 1:
            found = next(iter(arrays.values()))
        else:
            raise DecodeError(
                f"{path}: holds {len(arrays)} arrays ({', '.join(map(str, found))}); say which"
            )
    if isinstance(found, list | tuple):
        try:
            found = np.array(found)
        except ValueError:
            raise DecodeError(f"{path}: its rows differ in length") from None
    if not isinstance(found, np.ndarray):
        raise DecodeError(f"{path}: holds a {type(found).__name__}, expected an array")
    return found
