"""Both encoders from their pretraining to classes: trained, cut off, resumed, read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from internvideo.cli import main
from internvideo.hub import load_model, load_recogniser
from internvideo.stages import FinetuneStage
from tests.end_to_end.conftest import SECONDS
from tests.end_to_end.runs import assert_same_bits, metrics

pytestmark = pytest.mark.slow

_STEPS = [setting for setting in SECONDS if setting.startswith("training.")]
# Each encoder: its pretraining, what follows it, and how both are made small.
_A = ["side_px=32", "width=24", "depth=2"]
_B = [
    *_A,
    "num_heads=2",
    "num_global_heads=2",
    "global_layers=[1]",
]
RUNS = {
    "A": (
        "mae_tiny_playground",
        [*SECONDS, "stage.encoder.depth=2", "training.num_steps=4"],
        "post_pretrain_tiny_playground",
        [f"stage.model.encoder.{change}" for change in _A],
    ),
    "B": (
        "multimodal_tiny_playground",
        [
            *_STEPS,
            "training.num_steps=4",
            *(f"stage.encoder.video.{change}" for change in _B),
            "stage.encoder.captioner=none",
            "stage.front_end.num_salient_patches=8",
            "data.cache_mb=0",
        ],
        "post_pretrain_tiny_playground_b",
        [
            *(f"stage.model.encoder.{change}" for change in _B),
            "stage.model.front_end.num_salient_patches=8",
        ],
    ),
}


def train(recipe: str, playground: Path, out: Path, settings: list[str], *more: str) -> int:
    overrides = [part for setting in settings for part in ("--set", setting)]
    return main(["train", recipe, "--data", str(playground), "--out", str(out), *overrides, *more])


def started(out: Path) -> dict[str, Any]:
    return json.loads((out / "checkpoints" / "last" / "start.json").read_text())


@pytest.fixture(scope="module", params=RUNS)
def post_pretraining(request, playground, tmp_path_factory) -> tuple[str, list[str]]:
    """A recipe and the settings of its run, with something to start from."""
    before, small_before, recipe, small = RUNS[request.param]
    start = tmp_path_factory.mktemp("before") / "run"
    assert train(before, playground, start, small_before) == 0
    settings = [*_STEPS, *small, f"stage.initial_weights={start}", "training.ema_decay=0.9"]
    return recipe, [*settings, 'stage.mixing={mode="sample"}'] if recipe.endswith(
        "_b"
    ) else settings


@pytest.fixture(scope="module")
def finished(post_pretraining, playground, tmp_path_factory) -> Path:
    recipe, settings = post_pretraining
    out = tmp_path_factory.mktemp("after") / "run"
    assert train(recipe, playground, out, settings) == 0
    return out


def test_scores_and_the_start_are_written_down(finished):
    names = {name for entry in metrics(finished) for name in entry}

    assert {"loss/classification", "eval/top1", "eval/top5", "eval/mean_class"} <= names
    # Pretraining sees no frame differences, so their projection is new with the head.
    new = ("fc_norm.", "pool.", "head.", "encoder.patch_embed.difference_proj.")
    assert all(name.startswith(new) for name in started(finished)["new"])
    assert "head.weight" in started(finished)["new"]
    assert "Mean class" in (finished / "report.html").read_text()


def test_a_classifier_brings_its_class_names(finished, playground):
    recogniser = load_recogniser(finished, averaged=True)

    frames = torch.zeros(1, recogniser.num_frames, 32, 32, 3, dtype=torch.uint8)
    assert recogniser.classify_clips(frames).shape == (1, len(recogniser.classes))
    used = {line.split(",")[1] for line in (playground / "manifest.csv").read_text().splitlines()}
    assert set(recogniser.classes) == used - {"label"}
    assert load_model(finished).config.num_classes == len(recogniser.classes)


def test_a_run_that_was_cut_off_resumes_to_the_same_bits(
    finished, post_pretraining, playground, tmp_path, monkeypatch
):
    recipe, settings = post_pretraining
    out = tmp_path / "run"
    prepare, steps = FinetuneStage.prepare, iter(range(8))

    def prepare_or_stop(stage, batches):
        if next(steps, None) is None:
            raise SystemExit("power cut")
        return prepare(stage, batches)

    with monkeypatch.context() as patched, pytest.raises(SystemExit, match="power cut"):
        patched.setattr(FinetuneStage, "prepare", prepare_or_stop)
        train(recipe, playground, out, settings)
    assert (out / "checkpoints" / "last").resolve().name == "step-6"

    assert train(recipe, playground, out, settings, "--resume") == 0

    assert_same_bits(out, finished)


def test_the_next_run_takes_the_head_along(finished, post_pretraining, playground, tmp_path):
    recipe, settings = post_pretraining
    head_alone = [f"stage.initial_weights={finished}", "stage.trained=head", "training.num_steps=3"]

    assert train(recipe, playground, tmp_path / "run", [*settings, *head_alone]) == 0

    before, after = load_model(finished), load_model(tmp_path / "run")
    for name, value in before.encoder.state_dict().items():
        assert torch.equal(value, after.encoder.state_dict()[name]), name
    moved = (before.head.weight - after.head.weight).abs().max()
    assert 0 < moved < 0.1
    assert started(tmp_path / "run") == {"weights": str(finished), "new": [], "unused": []}


def test_a_pretraining_run_holds_no_classifier(post_pretraining):
    _, settings = post_pretraining
    start = next(s for s in settings if s.startswith("stage.initial_weights="))

    with pytest.raises(Exception, match="which knows no classes; take the checkpoint of a post-"):
        load_recogniser(start.partition("=")[2])


def test_labels_of_a_checkpoint_are_a_list_of_names(finished):
    labels = json.loads((finished / "checkpoints" / "last" / "labels.json").read_text())

    assert labels == list(load_recogniser(finished).classes)
