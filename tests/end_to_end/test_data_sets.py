"""Every data set of the catalogue: its recipe runs two steps on the stand-in, and is evaluated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from internvideo.cli import main
from internvideo.data.catalogue import BENCHMARKS, DataSet, data_set
from internvideo.data.catalogue.check import check_data_set, write_stand_in_file
from internvideo.playground.stand_ins import make_stand_in

pytestmark = pytest.mark.slow

_ZERO_SHOT = ("zero-shot-recognition", "multiple-choice")


def _made(name: str, home: Path) -> Path:
    root = home / name
    if not root.exists():
        make_stand_in(name, root)
        write_stand_in_file(data_set(name), root)
    return root


def _source(entry: DataSet, root: Path) -> str:
    """What the reader is given, relative to the stand-in."""
    return "." if entry.source == "." else min(root.glob(entry.source)).name


def _trained(entry: DataSet, root: Path) -> list[str]:
    """Options of `train` that say where the data are."""
    source = _source(entry, root)
    options = ", ".join(f'{name}="{value}"' for name, value in entry.options.items())
    scored = "test" if "test" in entry.splits else "val"
    fields = {
        "data.root": root,
        "data.source": root / source,
        "data.format": entry.reader,
        "data.eval_split": scored,
        "data.options": f"{{{options}}}",
    }
    return [word for name, value in fields.items() for word in ("--set", f"{name}={value}")]


def _is_untrained(entry: DataSet) -> bool:
    return entry.task in _ZERO_SHOT or entry.name.endswith("-zero-shot")


def _run(*words: object) -> None:
    assert main([str(word) for word in words]) == 0, words


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data_sets")


@pytest.fixture(scope="module")
def matched(home: Path) -> Path:
    """Encoder B, two steps of matching: what is evaluated zero-shot."""
    entry = data_set("msr-vtt")
    root = _made("msr-vtt", home)
    out = home / "matched"
    words = ("--set", "other_sources={}", "--set", "data.eval_source=none", "--out", out)
    _run("train", "multimodal_base", "--rehearse", *_trained(entry, root), *words)
    return out


NAMES = [name for name, entry in BENCHMARKS.items() if entry.reader is not None]


@pytest.mark.parametrize("name", NAMES)
def test_a_data_set_trains_and_evaluates_on_its_stand_in(
    name: str, home: Path, matched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = data_set(name)
    root = _made(name, home)
    assert check_data_set(entry, root, decoded=0).problems == ()
    if not entry.recipes:
        pytest.skip(f"{entry.title}: is read and checked; no recipe here")
    if name == "ego4d-moment-queries":
        pytest.skip("its stand-in has no features yet")
    model = matched
    if not _is_untrained(entry):
        model = home / f"run-{name}"
        out = ("--out", model)
        _run("train", entry.recipes[0], "--rehearse", *_trained(entry, root), *out)
    capsys.readouterr()
    scored = "test" if "test" in entry.splits else "val"
    words = ["--data", root / _source(entry, root), "--format", entry.reader, "--split", scored]
    if entry.task == "temporal-localization":
        words += ["--features", next(root.glob("*features"))]
    if entry.task == "open-set":
        words += ["--unknown", root]
    _run("evaluate", entry.task, model, *words, "--root", root, "--json")
    told = json.loads(capsys.readouterr().out)
    # A class-agnostic detector without a classifier has scores of that name.
    assert any(name.endswith(entry.metric) for name in told), sorted(told)
