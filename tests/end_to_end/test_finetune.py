"""One's own videos to a classifier: trained from scratch, cut off, resumed, asked, scored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from internvideo.cli import main
from internvideo.data import read_labelled
from internvideo.hub import load_recogniser
from internvideo.video import write_video
from tests.end_to_end.runs import assert_same_bits

pytestmark = pytest.mark.slow

CLASSES = ("跳绳", "sit, then stand", "turn left")
SMALL = [
    "--steps=6",
    "--workers=1",
    "--device=cpu",
    *(
        f"--set={setting}"
        for setting in (
            "stage.model.encoder.side_px=32",
            "stage.model.encoder.width=24",
            "stage.model.encoder.depth=2",
            "training.batch_size=6",
            "training.checkpoint_every=3",
            "training.keep_checkpoints=9",
            "training.precision=fp32",
        )
    ),
]


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Three classes of four videos, each class of its own colour."""
    folder = tmp_path_factory.mktemp("own")
    rng = torch.Generator().manual_seed(0)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for number in range(4):
            frames = torch.randint(0, 90, (12, 24, 32, 3), generator=rng, dtype=torch.uint8)
            frames[..., label] += 160
            write_video(folder / name / f"{number}.mp4", frames, 10.0)
    return folder


@pytest.fixture(scope="module")
def finished(videos, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "mine"
    assert main(["finetune", "--data", str(videos), "--out", str(out), *SMALL]) == 0
    return out


def test_class_names_and_preprocessing_are_read_back(finished):
    model = load_recogniser(finished)

    assert set(model.classes) == set(CLASSES)
    assert (model.num_frames, model.side_px, model.stride_frames) == (16, 32, 1)


def test_what_was_chosen_is_written_down(finished):
    told = json.loads((finished / "finetune.json").read_text())

    assert (told["preset"], told["num_train"], told["num_val"]) == ("full", 9, 3)
    assert told["overfit_check"]["num_clips"] == 8
    assert told["step_s"] > 0


def test_the_page_shows_confusions_and_the_accuracy(finished):
    page = (finished / "report.html").read_text()

    assert "What was answered (columns) for each class (rows)" in page
    assert "of 3 videos right" in page


def test_classes_with_a_side_are_not_mirrored(finished):
    run = json.loads((finished / "run.json").read_text())["run"]

    assert run["data"]["flip"] is False


def test_a_run_that_was_cut_off_is_resumed_to_the_same_bits(finished, tmp_path, capsys):
    cut = tmp_path / "cut"
    shutil.copytree(finished, cut, symlinks=True)
    for step in (4, 5, 6):  # of which some may have been the best so far
        shutil.rmtree(cut / "checkpoints" / f"step-{step}", ignore_errors=True)
    (cut / "checkpoints" / "last").unlink()
    (cut / "checkpoints" / "last").symlink_to("step-3")

    assert main(["finetune", "--out", str(cut), "--resume", "--device", "cpu", "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert told["validation"]["num_total"] == 3
    assert_same_bits(finished, cut)


def test_predict_names_a_video(finished, videos, capsys):
    video = videos / CLASSES[0] / "0.mp4"

    assert main(["predict", "action-recognition", str(video), "--model", str(finished)]) == 0

    assert all(name in capsys.readouterr().out for name in CLASSES[:1])


def test_the_model_keeps_the_threshold_of_unknown_videos(finished, videos, capsys):
    kept = load_recogniser(finished).unknown_below
    assert 0 < kept < 1
    video = str(videos / CLASSES[0] / "0.mp4")
    options = ["--model", str(finished), "--unknown-below", "auto", "--json"]

    assert main(["predict", "action-recognition", video, *options]) == 0

    assert "unknown" in json.loads(capsys.readouterr().out)


def test_evaluate_agrees_with_what_was_told(finished, capsys):
    manifest = finished / "videos.csv"
    told = ["--data", str(manifest), "--split", "val", "--device", "cpu", "--json"]

    assert main(["evaluate", str(finished), "--task", "action-recognition", *told]) == 0

    scores = json.loads(capsys.readouterr().out)
    page = (finished / "report.html").read_text()
    assert f"validation accuracy {scores['top1']:.2f}" in page
    assert scores["num_total"] == len(read_labelled(manifest).of_split("val").records)


def test_a_frozen_encoder_stays_as_it_was(finished, videos, tmp_path):
    out = tmp_path / "probe"
    more = ["--from", str(finished), "--steps=2", "--device=cpu", "--check=none"]

    assert main(["finetune", "--data", str(videos), "--out", str(out), *more]) == 0

    before, after = (load_recogniser(f).model.encoder.state_dict() for f in (finished, out))
    assert json.loads((out / "finetune.json").read_text())["preset"] == "probe"
    assert all(torch.equal(before[name], after[name]) for name in before)
