"""Evaluating and asking a classifier from the command line."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from internvideo import hub
from internvideo.cli import main
from internvideo.tasks import RecognitionModel
from internvideo.video import write_video
from tests.unit.cli.test_main import complaint

LEVELS = {"dark": 0, "grey": 120, "bright": 240}


class Brightness(nn.Module):
    """Scores three brightnesses by how near the clip's mean is to each."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(20.0))

    def forward(self, clip):
        levels = torch.tensor([level / 255 for level in LEVELS.values()])
        return -self.scale * (clip.mean((1, 2, 3, 4))[:, None] - levels).abs()


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A video of each brightness and a broken one, `all.csv`, and a folder of another video."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "other").mkdir()
    named = {**{f"{name}.mp4": level for name, level in LEVELS.items()}, "other/between.mp4": 180}
    for name, level in named.items():
        write_video(folder / name, torch.full((6, 24, 32, 3), level, dtype=torch.uint8), 10.0)
    (folder / "broken.mp4").write_text("no video")
    rows = [f"{name}.mp4,{name}" for name in LEVELS]
    (folder / "whole.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    rows.append("broken.mp4,dark")
    (folder / "all.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def classifier(monkeypatch):
    """Every checkpoint is a model that knows brightness."""

    def take_up(pretrained, *, source):
        return RecognitionModel(
            pretrained.model,
            tuple(LEVELS),
            num_frames=4,
            side_px=16,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            stride_frames=1,
        )

    def load(folder, *, averaged=False):
        return SimpleNamespace(model=Brightness())

    monkeypatch.setattr(hub, "load_pretrained", load)
    monkeypatch.setattr(RecognitionModel, "from_pretrained", take_up)


def ran(capsys, *arguments):
    assert main([*map(str, arguments)]) == 0
    return capsys.readouterr().out


def evaluated(capsys, data, *options, task="action-recognition"):
    return json.loads(
        ran(capsys, "evaluate", "runs/x", "--task", task, "--data", data, "--json", *options)
    )


def test_accuracies_are_printed_as_one_object(capsys, videos):
    got = evaluated(capsys, videos / "all.csv", "--clips", 2, "--crops", 3)

    assert got["top1"] == got["top5"] == 0.75
    assert got["mean_class"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert (got["num_evaluated"], got["num_total"]) == (3, 4)
    assert [failed["path"] for failed in got["failed"]] == [str(videos / "broken.mp4")]


def test_unknown_videos_come_from_a_folder_or_from_annotations(capsys, videos):
    (videos / "unknown.csv").write_text("path\nother/between.mp4\n", encoding="utf-8")

    got = [
        evaluated(capsys, videos / "whole.csv", "--unknown", unknown, task="open-set")
        for unknown in (videos / "other", videos / "unknown.csv")
    ]

    assert got[0] == got[1]
    assert (got[0]["closed_set_accuracy"], got[0]["auroc"], got[0]["num_total"]) == (1, 1, 4)


def test_training_videos_set_a_threshold(capsys, videos):
    whole = videos / "whole.csv"

    got = evaluated(
        capsys, whole, "--unknown", videos / "other", "--training", whole, task="open-set"
    )

    assert (got["known_accepted"], got["unknown_rejected"]) == (1, 1)


def test_a_video_gets_its_classes_with_probabilities(capsys, videos):
    options = ["--model", "runs/x", "--top", 2]

    said = ran(capsys, "predict", "action-recognition", videos / "grey.mp4", *options)

    first, second = said.splitlines()
    assert first.split()[1] == "grey"
    assert float(first.split()[0]) > 0.9
    assert second.split()[1] in ("dark", "bright")


def test_an_unknown_video_is_called_uncertain(capsys, videos):
    shares = []
    for name in ("grey.mp4", "other/between.mp4"):
        options = ["--model", "runs/x", "--json"]
        said = ran(capsys, "predict", "open-set", videos / name, *options)
        shares.append(json.loads(said)["uncertainty"])

    assert shares[0] < shares[1]


def test_a_page_shows_matrix_classes_and_where_the_model_looks(capsys, videos, tmp_path):
    page = tmp_path / "new" / "page.html"

    ran(
        *(capsys, "evaluate", "runs/x", "--task", "action-recognition"),
        *("--data", videos / "all.csv", "--out", page),
    )

    text = page.read_text()
    assert "Where it looks" in text
    assert "grey, 1.00: right" in text
    assert "3 of 4" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "retrieval", "--clips", "2"), "--clips (applied to internvideo"),
        (("--task", "action-recognition", "--unknown", "x"), "--unknown (applied to internvideo"),
        (("--task", "open-set"), "--unknown"),
        (("--task", "open-set", "--unknown", "gone.csv"), "gone.csv"),
        (("--task", "action-recognition", "--crops", "0"), "num_crops is 0, expected 1 or more"),
        (("--task", "open-set", "--unknown", "other", "--split", "tset"), "split of whole.csv"),
    ],
)
def test_what_cannot_be_evaluated_is_said(capsys, monkeypatch, videos, arguments, message):
    monkeypatch.chdir(videos)

    assert message in complaint(capsys, "evaluate", "runs/x", "--data", "whole.csv", *arguments)


def test_classes_that_the_model_lacks_are_named(capsys, videos):
    (videos / "odd.csv").write_text("path,label\ndark.mp4,drak\n", encoding="utf-8")

    said = complaint(
        *(capsys, "evaluate", "runs/x", "--task", "action-recognition"),
        *("--data", videos / "odd.csv"),
    )

    assert "the model knows no class 'drak' (did you mean 'dark'?)" in said


def test_a_classifier_takes_no_texts(capsys, videos):
    said = complaint(
        *(capsys, "predict", "action-recognition", videos / "dark.mp4"),
        *("--model", "runs/x", "--text", "dark"),
    )

    assert "--text (applied to internvideo" in said


def test_a_folder_is_predicted_video_by_video(capsys, videos, tmp_path):
    command = ["predict", "action-recognition", videos, "--model", "runs/x", "--top", "2"]

    assert main([*map(str, command), "--out", str(tmp_path / "a.csv")]) == 1  # one is broken
    said = capsys.readouterr().out
    assert main([*map(str, command), "--out", str(tmp_path / "a.jsonl"), "--json"]) == 1
    answers = json.loads(capsys.readouterr().out)

    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == answers
    best = {
        a["video"].rpartition("/")[2]: a["answers"][0]["text"] for a in answers if "error" not in a
    }
    assert {name: best[f"{name}.mp4"] for name in LEVELS} == {name: name for name in LEVELS}
    (failed,) = [a for a in answers if "error" in a]
    assert failed["video"].endswith("broken.mp4") and "broken.mp4" in failed["error"]
    table = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [row["rank"] for row in table if row["video"].endswith("dark.mp4")] == ["1", "2"]
    assert {row["text"] for row in table if row["rank"] == "1"} >= set(LEVELS)
    assert f"failed  {videos / 'broken.mp4'}" in said or "failed  none of 1 videos" in said


def test_several_files_and_folders_are_predicted_in_one_call(capsys, videos):
    named = (videos / "grey.mp4", videos / "other", videos / "dark.mp4")

    said = ran(capsys, "predict", "action-recognition", *named, "--model", "runs/x", "--json")

    (between,) = (videos / "other").glob("*.mp4")
    assert [answer["video"] for answer in json.loads(said)] == [
        *map(str, (videos / "grey.mp4", between, videos / "dark.mp4"))
    ]


@pytest.mark.parametrize(
    ("name", "message"), [("a.txt", "answers are written as .jsonl or .csv"), ("a.csv", "exists")]
)
def test_answers_go_to_a_free_file_of_a_known_kind(capsys, videos, tmp_path, name, message):
    (tmp_path / name).write_text("mine")
    options = ["--model", "runs/x", "--out", tmp_path / name]

    assert message in complaint(
        capsys, "predict", "action-recognition", videos / "dark.mp4", *options
    )
    assert (tmp_path / name).read_text() == "mine"


def test_a_score_on_almost_nothing_is_refused_unless_asked_for(capsys, videos, caplog):
    rows = [f"gone{number}.mp4,dark" for number in range(30)]
    annotated = videos / "gone.csv"
    annotated.write_text("\n".join(["path,label", "grey.mp4,grey", *rows]), encoding="utf-8")

    line = complaint(capsys, "evaluate", "action-recognition", "runs/x", "--data", annotated)
    assert "30 of 31 videos are not there, such as" in line
    assert line.count("gone") == 4  # the file and the first three
    got = evaluated(capsys, annotated, "--only-existing")
    assert (got["num_total"], got["top1"], got["failed"]) == (1, 1, [])


def test_few_missing_videos_are_one_line_and_count_as_failed(capsys, videos):
    rows = [f"{name}.mp4,{name}" for name in LEVELS] * 4 + [f"no{i}.mp4,dark" for i in range(3)]
    annotated = videos / "few.csv"
    annotated.write_text("\n".join(["path,label", *rows]), encoding="utf-8")

    said = ran(capsys, "evaluate", "action-recognition", "runs/x", "--data", annotated)

    assert said.count("not seen") == 3
    assert "num_evaluated            12" in said
