"""One recorded case: what went in, what the official code gave, and how close we must come.

The layout and the comparison rule are described in the README beside the recorded cases. What a
check never reads it cannot have honoured: such a field or tensor fails the case (`Case.ignored`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

_DATA_TOLERANCE = {"atol": 2e-6, "rtol": 1e-6}


# Fields of `case.json` that describe the case in words and change nothing of what is computed.
_DESCRIPTIONS = {
    "class",  # of the public implementation
    "columns",
    "fields",
    "frame_selection",
    "models",  # named again by what is expected of each
    "official_crop_size",  # the case has its own
    "official_scale_size",
    "row",
    "rows",
    "settings",
    "torchmetrics",  # its version
    "values",
    "which",
}


class Mismatch(AssertionError):
    """Something that was compared lies outside its tolerance."""


class Fields(Mapping[str, Any]):
    """A JSON object that remembers which of its fields were read."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {name: _fields(value) for name, value in values.items()}
        self._read: set[str] = set()
        self._settled: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        value = self._values[name]
        self._read.add(name)
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)

    def without_effect(self, *names: str) -> None:
        """Count fields as read, wholly, that change nothing of what the case computes."""
        self._settled.update(names)

    def ignored(self, prefix: str) -> Iterator[str]:
        """Yield paths of what was never read."""
        for name, value in self._values.items():
            if name in self._settled:
                continue
            if name in self._read:
                yield from _ignored(value, f"{prefix}.{name}")
            else:
                yield f"{prefix}.{name}"


def _fields(value: Any) -> Any:
    if isinstance(value, dict):
        return Fields(value)
    return [_fields(one) for one in value] if isinstance(value, list) else value


def _ignored(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Fields):
        yield from value.ignored(path)
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from _ignored(one, f"{path}[{i}]")


def plain(value: Any) -> Any:
    """Turn fields into what JSON can hold; none counts as read by that."""
    if isinstance(value, Fields):
        return {name: plain(one) for name, one in value._values.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


class Case:
    """A folder with `case.json` and, where it has them, `tensors.safetensors` and `data.json`."""

    def __init__(self, folder: Path, *, through_import: bool = False) -> None:
        self.folder = folder
        self.through_import = through_import  # whether weights go in as a file of others
        self.num_imported = 0
        self.meta: dict[str, Any] = json.loads((folder / "case.json").read_text())
        self.name: str = self.meta["name"]
        self.config = Fields(self.meta["config"])
        self._read_tensors: set[str] = set()
        self.max_error = 0.0
        self.num_compared = 0

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        path = self.folder / "tensors.safetensors"
        return load_file(path) if path.exists() else {}

    @cached_property
    def data(self) -> dict[str, Any]:
        path = self.folder / "data.json"
        read = json.loads(path.read_text()) if path.exists() else {"inputs": None, "expected": None}
        return {part: _fields(value) for part, value in read.items()}

    def tensor(self, name: str) -> Tensor:
        """The tensor of a full name such as `inputs/video`."""
        self._read_tensors.add(name)
        return self.tensors[name]

    def group(self, prefix: str) -> dict[str, Tensor]:
        """Tensors under `prefix/`, without the prefix: inputs, weights, expected, ...

        What is expected counts as read only where it is compared.
        """
        start = f"{prefix}/"
        if not start.startswith("expected/"):
            self._read_tensors |= {name for name in self.tensors if name.startswith(start)}
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}

    def require(self, **fixed: Any) -> None:
        """Read fields of the configuration that our code knows with one value only."""
        for name, value in fixed.items():
            if self.config.get(name, value) != value:
                raise Mismatch(f"{name} is {self.config[name]!r}; only {value!r} is known here")

    def ignored(self) -> list[str]:
        """Name the fields and tensors that no check has read, descriptions aside."""
        fields = [f for f in self.config.ignored("config") if f.split(".")[1] not in _DESCRIPTIONS]
        for part, value in self.data.items():
            fields += _ignored(value, part)
        return [*fields, *sorted(self.tensors.keys() - self._read_tensors)]

    def close(self, name: str, got: Tensor) -> None:
        """Compare with the tensor recorded as `expected/<name>`, by that tensor's tolerance."""
        key = f"expected/{name}"
        tolerance = self.meta["tensors"].get(key, {}).get("tolerance", self.meta["tolerance"])
        self._compare(name, got, self.tensor(key), tolerance)

    def equal(self, name: str, got: Any, expected: Any) -> None:
        """Compare values of `data.json`: numbers by its tolerance, everything else exactly."""
        self.num_compared += 1
        if isinstance(expected, Mapping):
            if set(got) != set(expected):
                raise Mismatch(f"{name}: keys {sorted(got)} instead of {sorted(expected)}")
            for key, value in expected.items():
                self.equal(f"{name}.{key}", got[key], value)
        elif isinstance(expected, list):
            if len(got) != len(expected):
                raise Mismatch(f"{name}: {len(got)} items instead of {len(expected)}")
            for i, (left, right) in enumerate(zip(got, expected, strict=True)):
                self.equal(f"{name}[{i}]", left, right)
        elif isinstance(expected, float):
            left, right = torch.tensor(float(got)).double(), torch.tensor(expected).double()
            self._compare(name, left, right, _DATA_TOLERANCE)
        elif got != expected:
            raise Mismatch(f"{name}: {got!r} instead of {expected!r}")

    def _compare(self, name: str, got: Tensor, expected: Tensor, tolerance: dict[str, Any]) -> None:
        self.num_compared += 1
        if got.shape != expected.shape:
            raise Mismatch(f"{name}: shape {tuple(got.shape)} instead of {tuple(expected.shape)}")
        if not expected.is_floating_point():
            if not torch.equal(got.to(expected.dtype), expected):
                raise Mismatch(f"{name}: integers or flags differ")
            return
        error = (got.detach().double() - expected.double()).abs()
        allowed = tolerance["atol"] + tolerance["rtol"] * expected.double().abs()
        if error.numel():
            self.max_error = max(self.max_error, float(error.max()))
        if not bool((error <= allowed).all()):
            raise Mismatch(f"{name}: error {float(error.max()):.3g} above {tolerance}")
