"""Files with exactly the names and shapes of full-size official models are imported whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from internvideo.hub import import_weights
from internvideo.weights import read_state
from tests.conftest import SHARED

_OPTIMISER = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
State = dict[str, Tensor]


def _as_internvideo(state: State) -> State:
    """Put `clip.` before all names but those of the caption decoder."""
    return {k if k.startswith("caption_decoder.") else f"clip.{k}": v for k, v in state.items()}


def _under(prefix: str) -> Callable[[State], State]:
    return lambda state: {prefix + name: value for name, value in state.items()}


# How each kind of file is published, and copies of it that are around.
_WRAPPERS: dict[str, dict[str, Callable[[State], Any]]] = {
    "shapes_videomae": {
        "training": lambda s: {"model": s, "optimizer": _OPTIMISER, "epoch": 799, "scaler": {}},
        "deepspeed": lambda s: {"module": s, "dp_world_size": 64, "lr_scheduler": None},
        "averaged beside": lambda s: {"model": s, "model_ema": s},
        "parallel": lambda s: {"model": _under("module.")(s)},
        "hub copy": _under("model."),
        "backbone": _under("backbone."),
        "open set": lambda s: {"meta": {}, "state_dict": _under("backbone.")(s)},
    },
    "shapes_uniformerv2": {
        "released": _under("backbone."),
        "training": lambda s: {"epoch": 1, "model_state": _under("backbone.")(s), "cfg": "A: 1"},
        "parallel": _under("module.backbone."),
    },
    "shapes_internvideo_mm": {
        "released": lambda s: {"state_dict": _as_internvideo(s), "epoch": 3},
        "retrieval": _as_internvideo,
        "parallel": lambda s: _under("module.")(_as_internvideo(s)),
    },
    "shapes_viclip": {
        "training": lambda s: {"model": s, "global_step": 5},
        "deepspeed": lambda s: {"module": s},
    },
}


def _models(*, slow_above: float = float("inf")) -> Iterator[Any]:
    """Layouts by name; networks of more parameters than that take a minute and 6 GB each."""
    for path in sorted((SHARED / "golden").glob("shapes_*/data.json")):
        case = path.parent.name
        wrappers = next((w for start, w in _WRAPPERS.items() if case.startswith(start)), None)
        if wrappers is None:
            continue  # heads of tasks, which are no encoders
        for name, expected in json.loads(path.read_text())["expected"].items():
            marks = [pytest.mark.slow] if expected["parameters"] > slow_above else []
            yield pytest.param(expected, wrappers, id=name, marks=marks)


def _state(expected: dict[str, Any]) -> State:
    """Numbers of one value each, which take no room in memory or in a file."""
    return {
        name: (
            torch.tensor(3) if name in expected["buffers"] and not shape else torch.tensor(0.5)
        ).expand(shape)
        for name, shape in expected["keys"].items()
    }


@pytest.mark.parametrize(("expected", "wrappers"), list(_models()))
def test_names_are_recognised_in_every_wrapper(expected, wrappers):
    state = _state(expected)
    plain = read_state(state)

    for wrap in wrappers.values():
        read = read_state(wrap(state))
        assert (read.family, read.dropped) == (plain.family, {})
        assert {k: v.shape for k, v in read.tensors.items()} == {
            k: v.shape for k, v in plain.tensors.items()
        }
        assert len([n for names in read.sources.values() for n in names]) == len(state)


@pytest.mark.parametrize(("expected", "wrappers"), list(_models(slow_above=3e8)))
def test_every_tensor_of_a_full_size_file_is_accounted_for(
    expected, wrappers, tmp_path: Path, monkeypatch
):
    # Tensors of one value each claim far more than their file holds, which is else refused.
    monkeypatch.setattr("internvideo.weights.files._ALLOWANCE_BYTES", 1 << 40)
    state, wrap = _state(expected), next(iter(wrappers.values()))
    torch.save(wrap(state), tmp_path / "weights.pth")

    imported = import_weights(tmp_path / "weights.pth")

    model = imported.pretrained.model
    assert sum(p.numel() for p in model.parameters()) == expected["parameters"]
    assert len([n for entry in imported.tensors for n in entry.sources]) == len(state)
    assert [entry.name for entry in imported.tensors] == list(model.state_dict())
    assert {entry.how for entry in imported.tensors} <= {"loaded", "renamed"}
    filled = [value.flatten()[0].item() for value in model.state_dict().values() if value.ndim]
    assert set(filled) == {0.5}
