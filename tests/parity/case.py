"""One recorded case: what went in, what the official code gave, and how close we must come.

The layout and the comparison rule are described in the README beside the recorded cases.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

_DATA_TOLERANCE = {"atol": 2e-6, "rtol": 1e-6}


class Mismatch(AssertionError):
    """Something that was compared lies outside its tolerance."""


class Case:
    """A folder with `case.json` and, where it has them, `tensors.safetensors` and `data.json`."""

    def __init__(self, folder: Path, *, through_import: bool = False) -> None:
        self.folder = folder
        self.through_import = through_import  # whether weights go in as a file of others
        self.num_imported = 0
        self.meta: dict[str, Any] = json.loads((folder / "case.json").read_text())
        self.name: str = self.meta["name"]
        self.config: dict[str, Any] = self.meta["config"]
        self.max_error = 0.0
        self.num_compared = 0

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        path = self.folder / "tensors.safetensors"
        return load_file(path) if path.exists() else {}

    @cached_property
    def data(self) -> dict[str, Any]:
        path = self.folder / "data.json"
        return json.loads(path.read_text()) if path.exists() else {"inputs": None, "expected": None}

    def group(self, prefix: str) -> dict[str, Tensor]:
        """Tensors under `prefix/`, without the prefix: inputs, weights, expected, ..."""
        start = f"{prefix}/"
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}

    def close(self, name: str, got: Tensor) -> None:
        """Compare with the tensor recorded as `expected/<name>`, by that tensor's tolerance."""
        key = f"expected/{name}"
        tolerance = self.meta["tensors"].get(key, {}).get("tolerance", self.meta["tolerance"])
        self._compare(name, got, self.tensors[key], tolerance)

    def equal(self, name: str, got: Any, expected: Any) -> None:
        """Compare values of `data.json`: numbers by its tolerance, everything else exactly."""
        self.num_compared += 1
        if isinstance(expected, dict):
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
