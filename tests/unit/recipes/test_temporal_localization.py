"""Recipes of temporal localization: the published numbers, and the tiny one from end to end."""

from __future__ import annotations

import json

import pytest

from internvideo.cli import main
from internvideo.errors import ConfigError
from internvideo.playground import plant_features
from internvideo.recipes import recipe


@pytest.mark.parametrize(
    ("name", "steps", "outputs", "threshold"),
    [
        ("thumos14", 50 * 100, 20, 0.3),
        ("activitynet", 15 * 1253, 200, 0.5),
        ("activitynet_agnostic", 15 * 1253, 1, 0.5),
        ("hacs", 25 * 2350, 200, 0.5),
        ("hacs_agnostic", 25 * 2350, 1, 0.5),
        ("fineaction", 25 * 527, 106, 0.5),
        ("fineaction_agnostic", 25 * 527, 1, 0.5),
        ("ego4d_mq", 25 * 743, 110, 0.1),
    ],
)
def test_published_runs_have_the_published_numbers(name, steps, outputs, threshold):
    run = recipe(f"temporal_localization_{name}")

    assert run.training.num_steps == steps
    assert run.training.ema_decay == 0.999
    assert run.stage.model.num_classes == outputs
    assert run.stage.class_agnostic is (outputs == 1)
    assert run.stage.detection.suppression.per_class is (outputs > 1)
    assert run.stage.thresholds[0] == threshold


def test_the_tiny_recipe_trains_and_is_evaluated_from_the_command_line(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "planted-features", "--out", "data/planted"]) == 0
    few = ["--set", "training.num_steps=2", "--set", "training.optimiser.warmup_steps=1"]
    train = ["train", "temporal_localization_tiny", "--out", "runs/tal", "--device", "cpu"]
    assert main([*train, *few]) == 0
    capsys.readouterr()

    asked = ["evaluate", "temporal-localization", "runs/tal", "--ema", "--json", "--device", "cpu"]
    data = ["--data", "data/planted/segments.csv", "--format", "segment-csv"]
    assert main([*asked, *data, "--out", "page.html"]) == 0

    scores = json.loads(capsys.readouterr().out)
    assert (scores["num_evaluated"], scores["num_total"]) == (12, 12)
    assert 0 <= scores["map/average"] <= 1
    assert "Timelines" in (tmp_path / "page.html").read_text()


def test_planted_features_are_those_of_their_seed_and_overwrite_nothing(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        plant_features(tmp_path / name, seed=seed)
    texts = [(tmp_path / name / "segments.csv").read_text() for name in "abc"]

    assert texts[0] == texts[1] != texts[2]
    with pytest.raises(ConfigError, match="exists already"):
        plant_features(tmp_path / "a")
