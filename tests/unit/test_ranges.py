"""Numbers that no run can have are a line before anything is built."""

from __future__ import annotations

import pytest

from internvideo.cli import main
from internvideo.errors import ConfigError
from internvideo.ranges import RANGES, check_ranges
from internvideo.recipes import RECIPES, recipe
from internvideo.runs import override
from tests.unit.cli.test_main import complaint


def test_every_recipe_is_within_the_table():
    for make in RECIPES.values():
        check_ranges(make())


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
        ("data", "scan", "x", "--workers", "1000000000"),
        ("data", "playground", "--out", "x", "--seed", "99999999999999999999999"),
    ],
)
def test_the_command_line_says_it_in_one_line(options, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert "expected" in complaint(capsys, *options)
    assert not list(tmp_path.iterdir())
    assert main(["list", "recipes"]) == 0
