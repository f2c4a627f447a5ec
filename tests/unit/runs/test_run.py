"""Runs: into JSON and back, overrides by path, and TOML files."""

from __future__ import annotations

import json

import pytest

from internvideo.errors import ConfigError
from internvideo.recipes import RECIPES, recipe
from internvideo.runs import from_document, override, read_run, to_document
from internvideo.values import TokenGrid


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json(name):
    run = RECIPES[name]()

    assert run.name == name
    assert from_document(json.loads(json.dumps(to_document(run)))) == run


def test_what_a_recipe_starts_from_is_a_recipe():
    runs = [make() for make in RECIPES.values()]
    starts = [
        getattr(run.stage, field, None)
        for run in runs
        for field in ("initial_weights", "masked", "multimodal")
    ]
    named = {start.removeprefix("runs/") for start in starts if str(start).startswith("runs/")}

    assert len(named) > 10
    assert named <= set(RECIPES)


def test_a_run_of_before_there_were_tasks_is_still_read():
    run = recipe("recognition_tiny_actions_a")
    document = to_document(run)
    document["stage"]["kind"] = "post-pretraining"

    assert from_document(document) == run


def test_an_override_replaces_a_nested_field():
    run = override(
        recipe("mae_tiny_actions"),
        ["stage.encoder.tubelet.time=4", "data.flip=false", "training.optimiser.lr=1e-3"],
    )

    assert run.stage.encoder.grid == TokenGrid(time=2, height=8, width=8)
    assert run.data.flip is False
    assert run.training.optimiser.lr == 1e-3


def test_none_and_plain_text_can_be_set():
    run = override(recipe("mae_tiny_actions"), ["data.eval_split=none", "data.root=my videos"])

    assert run.data.eval_split is None
    assert run.data.root == "my videos"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "training.num_stps=3",
            "unknown field of training in --set: 'num_stps'; did you mean 'num_",
        ),
        (
            "trainig.num_steps=3",
            "unknown field of a run in --set: 'trainig'; did you mean 'training",
        ),
        ("seed.deeper=3", "seed has no fields"),
        ("training.num_steps", "write it as path.to.field=value"),
        ("training.num_steps=many", "training.num_steps: Input should be a valid integer"),
        ("stage.encoder.width=90", "encoder width 90 is not divisible by 4 heads"),
        ("stage.encoder.side_px=65", "side_px 65 is not a positive multiple"),
        ("stage.masking.ratio=0.001", "hides 0 of the"),
        ("training.batch_size=33", "batch_size 33 is not a multiple of accumulation x views"),
        ("data.crop=middle", "data.crop"),
        ("seed=-1", "--set: seed is -1; it must not be negative"),
    ],
)
def test_a_wrong_setting_is_named(setting, message):
    with pytest.raises(ConfigError) as caught:
        override(recipe("mae_tiny_actions"), [setting])

    assert message in str(caught.value)
    assert "--set: --set" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'mae_tiny_actions'"):
        recipe("mae_tiny_action")


def test_a_toml_file_changes_a_recipe(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'recipe = "mae_tiny_videos"\nname = "mine"\n[training]\nnum_steps = 7\n'
        "[training.optimiser]\nwarmup_steps = 2\n"
    )

    run = read_run(path, RECIPES)

    assert (run.name, run.training.num_steps) == ("mine", 7)
    assert run.training.batch_size == recipe("mae_tiny_videos").training.batch_size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[training]\nnum_steps = 7\n", 'has no line recipe = "NAME"'),
        ('recipe = "mae_tiny_videos"\n[training]\nstps = 7\n', "mine.toml.training: 'stps'"),
        ('recipe = "mae_tiny_videos"\n[training\n', "not valid TOML"),
        ('recipe = "mae_huge"\n', "unknown recipe 'mae_huge'"),
    ],
)
def test_a_wrong_toml_file_is_explained(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        read_run(path, RECIPES)
    assert message in str(caught.value)
