"""Evaluating and predicting: each task has its own options; what cannot be done is said."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import pytest

from internvideo.cli import main
from internvideo.hub.pretrained import build_model
from internvideo.recipes import recipe
from internvideo.runs import Run, checkpoint_documents, override
from internvideo.tasks import TASKS
from internvideo.text import train_tokenizer
from internvideo.training import checkpoint
from tests.unit.cli.test_main import complaint
from tests.unit.video.conftest import dot_frames, encode

CAPTIONS = ("a dot", "two dots")
# Encoder B in milliseconds, with more room for words than its few captions fill.
SMALL = (
    "num_frames=2",
    "encoder.video.side_px=16",
    "front_end.num_salient_patches=2",
    "encoder.video.width=32",
    "encoder.text.width=32",
    "encoder.text.vocabulary_size=900",
    "encoder.text.context_length=8",
    "encoder.captioner=none",
)
CAPTIONER = (
    "encoder.captioner={width=32, context_width=32, depth=1, num_heads=2, head_width=8, "
    "num_queries=2, vocabulary_size=900}"
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Two videos with a caption each, of which the second is for testing."""
    folder = tmp_path_factory.mktemp("videos")
    for name in ("a", "b"):
        encode(folder / f"{name}.mp4", dot_frames(3))
    (folder / "all.csv").write_text(
        "path,caption,split\na.mp4,a dot,train\nb.mp4,two dots,test\n", encoding="utf-8"
    )
    return folder


def saved(run: Run, folder: Path, **others) -> Path:
    """The untrained model of a run, in a folder such as it leaves."""
    model = build_model(run.stage.model_kind, run.stage.model_config)
    documents = {**checkpoint_documents(run), **others}
    written = checkpoint.Checkpoint(model=checkpoint.model_state(model), documents=documents)
    checkpoint.save(written, folder / "checkpoints", step=1, keep=1)
    return folder


def multimodal(folder: Path, *settings: str, **others) -> Path:
    run = override(recipe("multimodal_tiny_playground"), [f"stage.{s}" for s in SMALL + settings])
    return saved(run, folder, **others)


WORDS = {"tokenizer": train_tokenizer(CAPTIONS, 900).to_document()}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Encoder B without a caption decoder."""
    return multimodal(tmp_path_factory.mktemp("model"), **WORDS)


@pytest.fixture(scope="module")
def wordless(tmp_path_factory) -> Path:
    """Encoder B whose vocabulary was lost."""
    return multimodal(tmp_path_factory.mktemp("wordless"))


@pytest.fixture(scope="module")
def masked(tmp_path_factory) -> Path:
    """A model of masked pretraining."""
    run = override(recipe("mae_tiny_videos"), ["stage.encoder.side_px=16"])
    return saved(run, tmp_path_factory.mktemp("masked"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--task": "retreival"}, "unknown task 'retreival'; did you mean 'retrieval'?"),
        ({"--format": "webvit"}, "unknown annotation format 'webvit'; did you mean 'webvid'?"),
        ({"--split": "tset"}, "all.csv 'tset'; did you mean 'test'? known: test, train"),
        ({"--data": "al.csv"}, "there is no such annotation file; did you mean 'all.csv'?"),
        ({"--root": "elsewhere"}, "elsewhere: there is no such folder; check where the data are"),
        ({"--root": "/"}, "set root (data.root, --root) to where their paths start from"),
        ({"checkpoint": "nowhere"}, "there is no file or folder 'nowhere'"),
        ({"--task": "zero-shot-recognition"}, "no class names to choose from"),
        ({"--task": "multiple-choice"}, "b.mp4: its answer None is not one of its options []"),
        ({"--task": "captioning"}, "this encoder was trained without a caption decoder"),
        ({"--batch-size": 0}, "batch_size is 0, expected 1 or more"),
        ({"--crop": 2}, "crop is 2.0, expected above 0 and at most 1"),
        ({"--crop": 0}, "crop is 0.0, expected above 0 and at most 1"),
        ({"--device": "gpu"}, "unknown device 'gpu'"),
        ({"--task": "zero-shot-recognition", "--prompts": "clib"}, "list of prompts 'clib'"),
        ({"--task": "captioning", "--beams": 0}, "num_beams is 0, expected 1 or more"),
        ({"--prompts": "clip-ucf101"}, "--prompts (applied to internvideo"),
        ({"--beams": 2}, "--beams (applied to internvideo"),
        ({"--clips": 2}, "--clips (applied to internvideo"),
        ({"--averaged": "yes"}, "--averaged is now called --ema"),
        ({"--out": "all.csv/page.html"}, "all.csv"),
    ],
)
def test_what_cannot_be_evaluated_is_said(
    capsys, monkeypatch, videos, model, changes: dict[str, object], message
):
    monkeypatch.chdir(videos)
    options = {"checkpoint": model, "--task": "retrieval", "--data": "all.csv"} | changes
    options = {"--format": "manifest", **options}
    where = options.pop("checkpoint")

    said = complaint(capsys, "evaluate", where, *(p for pair in options.items() for p in pair))

    assert message in said


@pytest.mark.parametrize(
    ("task", "video", "texts", "message"),
    [
        ("retreival", "a.mp4", ("x",), "unknown task 'retreival'; did you mean 'retrieval'?"),
        ("retrieval", "a.mp4", (), "what shall be found? give --text"),
        ("multiple-choice", "a.mp4", ("a dot", " "), "one --text is empty; give it words"),
        ("captioning", "a.mp4", ("a dot",), "--text (applied to internvideo"),
        ("retrieval", "c.mp4", ("a dot",), "c.mp4: no such file or folder"),
        ("captioning", "a.mp4", (), "this encoder was trained without a caption decoder"),
        ("retrieval", "all.csv", ("a dot",), "none of 1 videos can be decoded; the first: all.csv"),
    ],
)
def test_what_cannot_be_predicted_is_said(
    capsys, monkeypatch, videos, model, task, video, texts, message
):
    monkeypatch.chdir(videos)
    options = [part for text in texts for part in ("--text", text)]

    assert message in complaint(capsys, "predict", task, video, "--model", model, *options)


def test_a_folder_without_videos_is_said_to_be(capsys, tmp_path, model):
    options = ["--model", model, "--text", "a dot"]

    assert "holds no video file" in complaint(capsys, "predict", "retrieval", tmp_path, *options)


def test_a_model_that_knows_no_words_is_named(capsys, videos, masked):
    options = ["--model", masked, "--text", "a dot"]

    said = complaint(capsys, "predict", "retrieval", videos / "a.mp4", *options)

    assert f"{masked}: holds a tiny-masked-autoencoder model, which knows no" in said
    assert "take the checkpoint of a multimodal-pretraining run" in said


def test_a_model_whose_words_are_lost_is_named(capsys, videos, wordless):
    options = ["--model", wordless, "--text", "a dot"]

    said = complaint(capsys, "predict", "retrieval", videos / "a.mp4", *options)

    assert "no tokenizer.json, without which texts mean nothing" in said


def test_only_the_test_split_is_evaluated_unless_told(capsys, videos, model):
    options = ["evaluate", model, "--task", "retrieval", "--data", videos / "all.csv", "--json"]
    counts = []
    for more in ([], ["--split", "train"]):
        assert main([*map(str, options), *more]) == 0
        counts.append(json.loads(capsys.readouterr().out)["num_total"])

    assert counts == [1, 1]


def test_a_manifest_may_name_its_columns_otherwise(capsys, tmp_path, videos, model):
    (tmp_path / "own.csv").write_text("file,said\na.mp4,a dot\nb.mp4,two dots\n", encoding="utf-8")
    options = ["evaluate", model, "--task", "retrieval", "--data", tmp_path / "own.csv", "--json"]
    columns = ["--root", videos, "--columns", "path", "file", "caption", "said"]

    assert main([*map(str, options), *map(str, columns)]) == 0
    assert json.loads(capsys.readouterr().out)["num_total"] == 2


@pytest.mark.parametrize("beams", [1, 3])
def test_an_untrained_model_writes_only_words_it_knows(capsys, tmp_path, videos, beams):
    model = multimodal(tmp_path, CAPTIONER, **WORDS)
    options = [str(videos / "a.mp4"), "--model", str(model), "--beams", str(beams)]

    assert main(["predict", "captioning", *options]) == 0

    assert capsys.readouterr().out.endswith("\n")


@pytest.mark.parametrize("spelling", ["old", "old, joined", "new"])
def test_the_task_may_be_named_first_or_by_an_option(capsys, videos, model, spelling):
    words = {
        "old": [str(model), "--task", "retrieval"],
        "old, joined": ["--task=retrieval", str(model)],
        "new": ["retrieval", str(model)],
    }[spelling]

    assert main(["evaluate", *words, "--data", str(videos / "all.csv"), "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["num_total"] == 1


@pytest.mark.parametrize("verb", ["evaluate", "predict"])
def test_a_task_that_nobody_named_is_asked_for(capsys, verb):
    assert "which task? write it behind the verb" in complaint(capsys, verb, "--device", "cpu")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("verb", ["evaluate", "predict"])
def test_the_help_of_a_task_shows_its_options_and_no_others(capsys, verb, task):
    assert main([verb, task, "--help"]) == 0

    said = capsys.readouterr().out
    shown = set(re.findall(r"^(?:│ |  )(--[a-z-]+)", said, re.MULTILINE))
    others = {"--device", "--json", "--ema", "--out", "--overwrite"}
    others |= set() if verb == "evaluate" else {"--model"}
    more = TASKS[task].data_type if verb == "evaluate" else TASKS[task].request_type
    assert shown == others | options_of(TASKS[task]) | options_of(more)
    assert "No documentation" not in said


def options_of(configuration) -> set[str]:
    hints = get_type_hints(configuration)
    inner = [options_of(hint) for hint in hints.values() if is_dataclass(hint)]
    own = {
        "--" + field.name.removeprefix("num_").replace("_", "-")
        for field in fields(configuration)
        if not is_dataclass(hints[field.name]) and field.name not in ("video", "more")
    }
    return own.union(*inner)


@pytest.mark.parametrize("verb", ["evaluate", "predict"])
def test_the_help_of_a_verb_lists_all_tasks(capsys, verb):
    assert main([verb, "--help"]) == 0

    said = capsys.readouterr().out
    assert all(re.search(rf"[•*] {name}\b", said) for name in TASKS)


def test_the_list_of_tasks_has_their_metrics_data_sets_and_formats(capsys):
    assert main(["list", "tasks"]) == 0
    lines = capsys.readouterr().out
    assert main(["list", "tasks", "--json"]) == 0

    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == TASKS.keys()
    assert rows["retrieval"]["model"] == "video-text"
    assert "MSR-VTT" in rows["retrieval"]["datasets"] and "msr-vtt" in rows["retrieval"]["formats"]
    assert "retrieval: text-to-video and video-to-text search" in lines and "*/r1, */r5" in lines


def test_the_overview_of_verbs_does_without_torch():
    code = (
        "import sys; from internvideo.cli import main; main(['--help']); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)

    assert done.returncode == 0
