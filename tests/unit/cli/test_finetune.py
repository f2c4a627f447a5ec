"""What `finetune` refuses before it trains, each in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from internvideo.cli.finetune import Finetune, _undivided
from internvideo.processes import locked
from internvideo.tasks import ActionRecognitionResult
from internvideo.tasks.action_recognition.finetuning import validation_of
from internvideo.values import Record
from tests.unit.cli.test_main import complaint


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("path,label\na.mp4,jump\nb.mp4,sit\n")
    return path


def refused(capsys, out, *arguments) -> str:
    return complaint(capsys, "finetune", "--out", str(out), *map(str, arguments))


def test_data_must_be_named(capsys, tmp_path):
    assert "which videos? give --data" in refused(capsys, tmp_path / "out")


def test_there_must_be_a_run_to_resume(capsys, tmp_path):
    said = refused(capsys, tmp_path / "out", "--resume")

    assert "holds no run to resume; give --data to begin one" in said


def test_a_run_is_not_overwritten(capsys, tmp_path, csv):
    (tmp_path / "run.json").write_text("{}")

    assert "already holds a run; pass --resume" in refused(capsys, tmp_path, "--data", csv)


def test_the_run_of_another_verb_is_not_resumed(capsys, tmp_path):
    (tmp_path / "run.json").write_text('{"run": {}}')

    assert "none of finetune; use train" in refused(capsys, tmp_path, "--resume")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--steps=0", "--steps 0 trains nothing"),
        ("--held-back=1.0", "--held-back 1.0: give a share between 0 and 1"),
        ("--workers=0", "--workers 0: give 1 or more"),
        ("--task=action-recogniton", "unknown task 'action-recogniton'; did you mean 'action-rec"),
        ("--task=captioning", "captioning cannot be fine-tuned yet; tasks that can: action-recogn"),
        ("--preset=tiny", "unknown preset 'tiny'"),
        ("--preset=probe", "without --from none of them has learned anything"),
    ],
)
def test_impossible_options_are_named(capsys, tmp_path, csv, option, said):
    assert said in refused(capsys, tmp_path / "out", "--data", csv, option)


def test_several_processes_are_refused(capsys, tmp_path, csv, monkeypatch):
    said_by_launcher = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "here", "MASTER_PORT": "1"}
    for name, value in said_by_launcher.items():
        monkeypatch.setenv(name, value)

    said = refused(capsys, tmp_path / "out", "--data", csv)

    assert "works in one process; start it without torchrun" in said


def test_a_missing_file_is_one_line(capsys, tmp_path):
    said = refused(capsys, tmp_path / "out", "--data", tmp_path / "own.csv")

    assert "own.csv: there is no such annotation file" in said


def test_videos_that_are_not_there_are_one_line(capsys, tmp_path, csv):
    said = refused(capsys, tmp_path / "out", "--data", csv)

    assert "none of its first 2 videos exists" in said
    assert not (tmp_path / "out").exists()


def test_a_start_that_saw_generated_videos_alone_is_told(tmp_path, csv):
    run, world = tmp_path / "run", tmp_path / "world"
    for folder in (run, world):
        folder.mkdir()
    (world / "playground.json").write_text("{}")
    data = {"data": {"source": str(world / "train.csv")}}
    (run / "config.json").write_text(json.dumps({"run": data}))

    def warned(data):
        return Finetune(out=tmp_path / "out", data=data, from_=str(run))._about_start()

    assert "was trained on generated videos and knows nothing of real ones" in warned(csv)[0]
    assert not warned(world)


def test_a_second_run_is_told_of_the_first_before_it_writes(capsys, tmp_path, csv):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()

    with locked(tmp_path / ".out.lock", of=tmp_path / "out"):
        said = refused(capsys, tmp_path / "out", "--data", csv)

    assert "out: another process works on it (process " in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, "{}", '{"run": 3}'])
def test_a_damaged_run_is_one_line(capsys, tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    (tmp_path / "finetune.json").write_text("{}")

    assert "run.json" in refused(capsys, tmp_path, "--resume")


def test_an_accuracy_of_a_few_videos_is_never_certain():
    result = ActionRecognitionResult(
        num_total=2,
        num_evaluated=2,
        scores={"top1": 1.0},
        failed=(),
        classes=("jump", "sit"),
        labels=torch.tensor([0, 1]),
        probabilities=torch.eye(2),
        videos=(),
        num_views=1,
    )

    said, threshold = validation_of(result).lines

    assert "accuracy 1.00 (2 of 2 videos right; standard error 0.31; always" in said
    assert "the most frequent class: 0.50" in said
    assert "95% of these videos have a class of probability 1.000 or more" in threshold


def test_groups_that_are_held_out_are_told():
    records = [
        Record(video=Path(f"{group}{clip}.mp4"), group=group, split=split)
        for group, split in (("a", "train"), ("b", "val"))
        for clip in range(2)
    ]

    assert "1 of 2 groups, such as b, are held out" in _undivided(records)[0]
    assert "0 of 1 groups are held out" in _undivided(records[:2])[0]
    assert not _undivided([Record(video=Path("c.mp4"))])
