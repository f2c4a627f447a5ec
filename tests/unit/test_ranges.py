"""Numbers that no run can have are a line before anything is built."""

from __future__ import annotations

import pytest
import torch

from internvideo.cli import main
from internvideo.errors import ConfigError
from internvideo.ranges import RANGES, _numbers, check_ranges
from internvideo.recipes import RECIPES, recipe
from internvideo.runs import execute, override, to_document
from internvideo.training import Process
from internvideo.values import Share
from tests.unit.cli.test_main import complaint


def test_every_recipe_is_within_the_table():
    for make in RECIPES.values():
        check_ranges(make())


def test_every_number_of_every_recipe_has_a_range():
    names = {
        name for make in RECIPES.values() for _, name, _ in _numbers(to_document(make()), "", "")
    }

    assert names - RANGES.keys() == set()


@pytest.mark.parametrize("value", ["-1e300", "1e300", str(2**70)])
def test_no_number_of_a_recipe_is_unbounded(value):
    run = recipe("multimodal_tiny_playground")
    for path, _, _ in _numbers(to_document(run), "", ""):
        if "[" in path or "rates" in path:  # written otherwise
            continue
        with pytest.raises(ConfigError, match=path.rsplit(".", 1)[-1]):
            override(run, [f"{path}={value}"])


def test_ranges_are_rising():
    assert all(least < most for least, most in RANGES.values())


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e300", "-1"])
@pytest.mark.parametrize(
    "field",
    [
        *("training.optimiser.lr", "training.optimiser.eps", "data.eval_crop", "data.num_workers"),
        *("stage.encoder.drop_path", "stage.encoder.mlp_ratio", "data.short_side_px", "seed"),
        *("training.optimiser.weight_decay", "training.num_steps", "stage.encoder.width"),
        *("data.stride_frames", "stage.encoder.num_frames", "training.batch_size"),
    ],
)
def test_values_out_of_range_name_their_field(field, value):
    if (field, value) == ("data.stride_frames", "-1"):
        pass  # refused by the data themselves
    with pytest.raises(ConfigError) as raised:
        override(recipe("mae_tiny_videos"), [f"{field}={value}"])
    assert field.rsplit(".", 1)[-1] in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        ("train", "mae_tiny_videos", "--set", "stage.encoder.width=1099511627776"),
        ("train", "mae_tiny_videos", "--set", "data.num_workers=1000000"),
        ("train", "mae_tiny_videos", "--set", "training.batch_size=99999999999"),
        ("data", "scan", "x", "--workers", "1000000000"),
        ("data", "playground", "--out", "x", "--seed", "99999999999999999999999"),
    ],
)
def test_the_command_line_says_it_in_one_line(options, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert "expected" in complaint(capsys, *options)
    assert not list(tmp_path.iterdir())
    assert main(["list", "recipes"]) == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("stage.encoder.width=65536", "stage.encoder.depth=96"), "the weights of its network"),
        (("training.batch_size=8388608", "data.num_workers=0"), "the 8388608 clips of a step"),
    ],
)
def test_sizes_that_no_memory_holds_are_refused_before_anything_is_made(settings, said, tmp_path):
    run = override(recipe("mae_tiny_videos"), [*settings, f"data.source={tmp_path}"])

    with pytest.raises(ConfigError, match=rf"{said} take .* GB, and there are"):
        execute(run, tmp_path / "run", process=Process(share=Share(), device=torch.device("cpu")))

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "error", [MemoryError("12 GB"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_memory_that_runs_out_on_the_way_is_one_line(error, capsys, monkeypatch):
    def fail(*unused):
        raise error

    monkeypatch.setattr("internvideo.cli.inspect.List.run", fail)

    assert main(["list", "recipes"]) == 1
    assert capsys.readouterr().err.startswith("internvideo: there is not enough memory (")
