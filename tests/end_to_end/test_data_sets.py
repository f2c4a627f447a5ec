"""Every data set of the catalogue: its commands run on the stand-in, two steps and an evaluation.

They are the commands that `internvideo reproduce NAME --rehearse` prints.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from internvideo.cli import main
from internvideo.cli.reproduction import commands, is_zero_shot
from internvideo.data.catalogue import BENCHMARKS, CORPORA, data_set

pytestmark = pytest.mark.slow

# Kinetics-710 is no row of the paper's results, but what all of them are trained on before.
ENTRIES = {**BENCHMARKS, "kinetics-710": CORPORA["kinetics-710"]}


def _run(words: list[str]) -> None:
    assert main(words) == 0, words


def _made(name: str, home: Path) -> Path:
    root = home / name
    if not root.exists():
        _run(["data", "make", name, "--out", str(root)])
    return root


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data_sets")


@pytest.fixture(scope="module")
def encoder_b(home: Path) -> str:
    """Encoder B after two steps of matching, which is what zero-shot rows evaluate."""
    root = _made("msr-vtt", home)
    out = str(home / "matched")
    data = ["data.source=.", "data.format=msr-vtt", "data.eval_split=test"]
    settings = ["other_sources={}", "data.eval_source=none", *data]
    words = ["train", "multimodal_base", "--rehearse", "--data", str(root), "--out", out]
    _run(words + [word for setting in settings for word in ("--set", setting)])
    return out


@pytest.mark.parametrize("name", ENTRIES)
def test_a_data_set_trains_and_evaluates_on_its_stand_in(
    name: str, home: Path, encoder_b: str, capsys: pytest.CaptureFixture[str]
) -> None:
    entry, root = data_set(name), _made(name, home)
    check, *others, evaluate = [
        words[1:] for words in commands(entry, root, home / f"runs-{name}", rehearse=True)
    ]
    if is_zero_shot(entry):
        evaluate[2] = encoder_b
    _run([*check, "--decode", "0"])
    for words in others:
        _run(words)
    capsys.readouterr()
    _run([*evaluate, "--json"])
    told = json.loads(capsys.readouterr().out)
    # A class-agnostic detector without a classifier has scores of that name.
    assert any(name.endswith(entry.metric) for name in told), sorted(told)


def test_every_recipe_named_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    every = (*BENCHMARKS.values(), *CORPORA.values())
    for name in sorted({name for entry in every for name in entry.recipes}):
        assert main(["show", name]) == 0
        assert f"name = {name}" in capsys.readouterr().out
