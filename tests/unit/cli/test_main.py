"""The command: what it prints, its exit status, and one line for whatever is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from internvideo.cli import main
from internvideo.recipes import RECIPES


def complaint(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must fail with status 2 and return its one line on stderr."""
    assert main([str(argument) for argument in arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("internvid")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("verb", [[], ["demo"], ["train"], ["data"], ["data", "scan"], ["doctor"]])
def test_every_verb_has_help(capsys, verb):
    assert main([*verb, "--help"]) == 0

    assert "usage: internvideo" in capsys.readouterr().out


def test_no_argument_at_all_shows_the_help(capsys):
    assert main([]) == 0

    assert "usage: internvideo" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "unknown verb 'trian'; did you mean 'train'?"),
        (["train", "mae_tinny_videos"], "did you mean 'mae_tiny_videos'?"),
        (["train", "mae_tiny_videos", "--rezume"], "--resume"),
        (["train"], "RECIPE"),
        (["train", "mae_tiny_videos", "--set", "seeed=1"], "did you mean 'seed'?"),
        (["train", "mae_tiny_videos", "--data=v", "--device", "gpu"], "unknown device 'gpu'"),
        (["train", "mae_tiny_videos"], "which videos? give --data FOLDER"),
        (["predict", "action-recognition"], "A video or image, or a folder of them. (required);"),
        (["predict", "action-recognition"], "also oracle or random. (required); For full"),
        (["train", "nowhere.toml"], "nowhere.toml: No such file"),
        (["data", "playground", "--out", "x", "--size", "hugo"], "hugo"),
        (["data", "scan", "no/such/folder"], "no/such/folder"),
        (["data", "init", "no/such/folder"], "no/such/folder: there is no such folder"),
        (["list", "recipe"], "recipes"),
        (["show", "mae_tiny"], "did you mean"),
    ],
)
def test_a_wrong_command_gives_one_line_and_status_2(
    capsys, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)

    assert message in complaint(capsys, *arguments)
    assert not list(tmp_path.iterdir())


def test_missing_videos_are_said_before_anything_is_written(capsys, tmp_path):
    (tmp_path / "manifest.csv").write_text("path\ngone.mp4\n")

    line = complaint(
        capsys,
        "train",
        "mae_tiny_videos",
        "--set",
        "data.source=manifest.csv",
        "--set",
        "data.format=manifest",
        "--data",
        tmp_path,
        "--out",
        tmp_path / "run",
    )

    assert "gone.mp4" in line


def test_a_folder_that_cannot_be_written_is_named(capsys, tmp_path):
    (tmp_path / "taken").write_text("a file")

    line = complaint(
        capsys, "data", "playground", "--size", "12", "--out", tmp_path / "taken" / "inside"
    )

    assert "taken" in line


def test_catalogues_can_be_read_by_programs(capsys):
    for what in ("recipes", "sizes", "formats", "actions"):
        assert main(["list", what, "--json"]) == 0

        rows = json.loads(capsys.readouterr().out)
        assert all(row["about"] for row in rows)


def test_a_shown_recipe_says_what_it_costs(capsys):
    assert main(["show", "mae_base_k400"]) == 0

    text = capsys.readouterr().out
    assert "8 x 14 x 14 = 1568 tokens, 94.2 M parameters" in text
    assert "stage.masking.ratio = 0.9" in text


def test_a_file_that_changes_a_recipe_is_shown_as_the_run_it_makes(tmp_path, capsys):
    file = tmp_path / "mine.toml"
    file.write_text('recipe = "mae_tiny_videos"\n[training]\nnum_steps = 700\n')

    assert main(["show", str(file)]) == 0

    assert "training.num_steps = 700\n" in capsys.readouterr().out


def test_every_recipe_can_be_shown(capsys):
    for name in RECIPES:
        assert main(["show", name]) == 0
        assert " GFLOP a clip in training" in capsys.readouterr().out


def test_shards_are_packed_and_indexed_anew(capsys, tmp_path):
    from tests.unit.video.conftest import dot_frames, encode

    for name in ("b.mp4", "a.mp4"):
        encode(tmp_path / name, dot_frames(3))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    out = tmp_path / "shards"

    assert main(["data", "shards", str(tmp_path), "--format", "videos", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "left out  broken.mp4: " in said
    assert "2 videos or pictures, 2 records; 1 left out" in said
    assert main(["data", "shards", str(out), "--index"]) == 0
    assert capsys.readouterr().out == "1 shards: 2 videos or pictures\n"


def test_shards_without_a_place_ask_for_one(capsys):
    assert "give --out FOLDER" in complaint(capsys, "data", "shards", "some.csv")


def test_a_name_that_begins_with_a_dash_is_written_with_its_folder(capsys, tmp_path, monkeypatch):
    (tmp_path / "-odd").mkdir()
    monkeypatch.chdir(tmp_path)

    assert "write ./-odd" in complaint(capsys, "data", "scan", "-odd")
    assert main(["data", "scan", "./-odd"]) == 0


def test_the_version_is_said(capsys):
    assert main(["--version"]) == 0

    assert capsys.readouterr().out.startswith("internvideo 0.")


def test_a_complaint_of_the_parser_is_not_cut_into_lines(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")

    line = complaint(capsys, "extract", "--out", "x")

    assert "PATH|URL; A video, an image, a folder (searched recursively), or an ad" in line
    assert ":;" not in line


@pytest.mark.parametrize("command", ["--help", "finetune --help", "list recipes", "list --help"])
def test_what_a_reader_does_not_take_is_no_error(command):
    words = [sys.executable, "-m", "internvideo", *command.split()]
    # A pipe whose reader is gone already, as behind `| head` on a slow machine.
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, check=False, text=True)
    os.close(writing)

    assert ended.stderr == ""


def test_a_full_disk_is_named():
    with Path("/dev/full").open("w") as full:
        words = [sys.executable, "-m", "internvideo", "list", "recipes"]
        ended = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, check=False, text=True)

    assert ended.returncode == 2
    assert ended.stderr == "internvideo: the output: No space left on device\n"
