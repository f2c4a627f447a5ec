"""Encoder B from files to answers: a mixture, kills, four tasks scored, single videos asked."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from internvideo.cli import main
from internvideo.hub import load_video_text
from tests.end_to_end.runs import assert_same_bits, metrics, run

pytestmark = pytest.mark.slow

# `multimodal_tiny_playground` in seconds, with every other step on images of two sources.
RECIPE = """
recipe = "multimodal_tiny_playground"
[stage]
num_frames = 4
[stage.front_end]
num_salient_patches = 8
[stage.encoder.video]
side_px = 32
patch_px = 8
width = 32
depth = 2
num_heads = 2
num_global_heads = 2
global_layers = [1]
[stage.encoder.text]
vocabulary_size = 600
width = 32
depth = 1
num_heads = 2
[stage.encoder.captioner]
vocabulary_size = 600
width = 32
context_width = 32
depth = 1
num_heads = 2
head_width = 16
num_queries = 4
[training]
num_steps = 12
batch_size = 8
cpu_processes = 1
log_every = 4
checkpoint_every = 3
evaluate_every = 6
precision = "fp32"
[training.optimiser]
warmup_steps = 2
[other_sources.images]
weight = 0.5
batch_size = 6
[other_sources.images.data]
cache_mb = 200
[other_sources.more]
weight = 0.5
batch_size = 6
num_frames = 1
[other_sources.more.data]
source = "image_text/train.jsonl"
format = "image-text-list"
root = "runs/playground"
crop = "random-resized"
"""

# The process kills itself when it prepares so many steps, counted from its own start.
KILLED = """
import os, signal, sys
from internvideo.cli import main
from internvideo.stages import MultimodalPretrainingStage as Stage
prepare, steps = Stage.prepare, iter(range({steps}))
def prepare_or_die(stage, batches):
    if next(steps, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return prepare(stage, batches)
Stage.prepare = prepare_or_die
sys.exit(main())
"""

# What each task is scored on, below the playground, and the scores that it must have.
EVALUATIONS = [
    ("retrieval", "msrvtt/MSRVTT_JSFUSION_test.csv", "msr-vtt", {"t2v/r1", "v2t_dsl/r1"}),
    ("multiple-choice", "multiple_choice/motion.jsonl", "msr-vtt-choice", {"accuracy", "chance"}),
    ("zero-shot-recognition", "manifest.csv", "manifest", {"top1", "top5", "mean_class"}),
    ("captioning", "manifest.csv", "manifest", {"bleu4", "cider_d"}),
]


@pytest.fixture(scope="module")
def command(playground, tmp_path_factory) -> list[str]:
    """Arguments that train it; the folder of the run is still to be said."""
    recipe = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    recipe.write_text(RECIPE)
    return ["train", str(recipe), "--set", "data.cache_mb=200", "--data", str(playground)]


@pytest.fixture(scope="module")
def finished(command, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    run(sys.executable, "-m", "internvideo", *command, "--out", str(out))
    return out


def answer(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """What a command prints as JSON."""
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def test_videos_and_images_have_losses_of_their_own(finished):
    logged = {name for entry in metrics(finished) for name in entry}

    for name in ("contrastive", "captioning"):
        assert {f"loss/{name}", f"loss/image_{name}"} <= logged
    assert {"eval/t2v/r1", "eval/captioning"} <= logged


def test_a_checkpoint_brings_its_words_along(finished):
    last = finished / "checkpoints" / "last"

    assert json.loads((last / "tokenizer.json").read_text())["vocabulary"] == "own"
    assert load_video_text(finished).embed_texts(["a red square grows"]).isfinite().all()


def test_the_page_of_a_run_shows_what_is_found_and_described(finished):
    page = (finished / "report.html").read_text()

    found, described = (
        page.rindex(f">{title}<")
        for title in ("Held-back clips found by their captions", "Captions written for them")
    )
    assert "data:image/" in page[found:described]
    assert "loss/image_contrastive" in page


def test_a_run_killed_twice_resumes_to_the_same_bits(finished, command, tmp_path):
    out = tmp_path / "run"
    for resume in ([], ["--resume"]):
        # In the middle of a window of the log and of a turn of the mixture.
        killed = subprocess.run(
            [sys.executable, "-c", KILLED.format(steps=5), *command, "--out", str(out), *resume],
            capture_output=True,
            timeout=120,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert (out / "checkpoints" / "last").resolve().name == "step-6"

    run(sys.executable, "-m", "internvideo", *command, "--out", str(out), "--resume")

    assert_same_bits(out, finished)


@pytest.mark.parametrize(("task", "data", "kind", "scores"), EVALUATIONS)
def test_every_task_is_scored(capsys, finished, playground, tmp_path, task, data, kind, scores):
    page = tmp_path / "new" / "page.html"
    options = ["--data", playground / data, "--format", kind, "--root", playground]

    said = answer(capsys, "evaluate", finished, "--task", task, *options, "--out", page)

    assert scores <= said.keys()
    assert said["num_evaluated"] == said["num_total"] > 5
    assert said["failed"] == []
    assert re.search(
        f"{said['num_total']} of {said['num_total']} (videos|questions)", page.read_text()
    )


@pytest.fixture(scope="module")
def damaged(playground, tmp_path_factory) -> Path:
    """The playground with all videos of one action cut off."""
    videos = tmp_path_factory.mktemp("damaged") / "playground"
    shutil.copytree(playground, videos)
    for path in (videos / "videos" / "shrink").iterdir():
        path.write_bytes(path.read_bytes()[:700])
    return videos


@pytest.mark.parametrize(("task", "data", "kind", "scores"), EVALUATIONS)
def test_broken_videos_are_named_and_counted(
    capsys, finished, damaged, tmp_path, task, data, kind, scores
):
    page = tmp_path / "page.html"
    options = ["--data", data, "--format", kind, "--root", damaged, "--crop", 1]

    said = answer(capsys, "evaluate", task, finished, *options, "--out", page)

    assert said["num_total"] - said["num_evaluated"] == len(said["failed"]) > 0
    assert all("/shrink/" in failed["path"] and failed["reason"] for failed in said["failed"])
    assert scores <= said.keys()
    assert page.stat().st_size


@pytest.mark.parametrize("task", ["retrieval", "multiple-choice", "zero-shot-recognition"])
def test_one_video_chooses_among_texts(capsys, finished, playground, task):
    video = next((playground / "videos" / "grow").iterdir())
    texts = ["a red square grows", "日本語の説明", "🎉"]
    options = [part for text in texts for part in ("--text", text)]

    said = answer(capsys, "predict", task, video, "--model", finished, *options, "--top", 2)

    scores = [row["score"] for row in said["answers"]]
    assert len(scores) == 2
    assert scores == sorted(scores, reverse=True)
    assert {row["text"] for row in said["answers"]} < set(texts)


def test_one_video_is_described(capsys, finished, playground):
    video = next((playground / "videos" / "grow").iterdir())
    options = ["captioning", video, "--model", finished]

    said = answer(capsys, "predict", *options, "--beams", 2)

    assert isinstance(said["caption"], str)
    assert main(["predict", *map(str, options)]) == 0
    assert capsys.readouterr().out.count("\n") == 1


def test_a_folder_is_searched_and_what_is_broken_left_out(capsys, finished, playground, tmp_path):
    videos = tmp_path / "grow"
    shutil.copytree(playground / "videos" / "grow", videos)
    (videos / "broken.mp4").write_bytes(b"not a video")
    options = ["--text", "a red square grows", "--text", "x", "--top", 99]

    said = answer(capsys, "predict", "retrieval", videos, "--model", finished, *options)

    whole = {str(path) for path in videos.iterdir()} - {str(videos / "broken.mp4")}
    assert said["found"].keys() == {"a red square grows", "x"}
    for rows in said["found"].values():
        assert {row["video"] for row in rows} == whole
