"""No verb replaces a file that it did not write, unless it is told to."""

from __future__ import annotations

import json

import pytest

from internvideo.cli import main
from internvideo.cli.tasks import Evaluate
from internvideo.report import Page, is_page
from tests.unit.cli.test_main import complaint
from tests.unit.video.conftest import dot_frames, encode


@pytest.fixture
def videos(tmp_path):
    for name in ("run/a.mp4", "walk/b.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True)
        encode(tmp_path / "videos" / name, dot_frames(3))
    return tmp_path / "videos"


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (["data", "scan", "videos", "--workers", "1", "--out", "mine.txt"], "mine.txt"),
        (["data", "scan", "videos", "--workers", "1", "--manifest", "mine.txt"], "mine.txt"),
        (["data", "init", "videos"], "videos/manifest.csv"),
        (["data", "init", "videos", "--out", "mine.txt"], "mine.txt"),
    ],
)
def test_a_file_of_somebody_else_stays_unless_told(
    capsys, videos, tmp_path, monkeypatch, command, file
):
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / file
    mine.write_text("mine")

    assert "exists already and stays as it is" in complaint(capsys, *command)
    assert mine.read_text() == "mine"
    assert main([*command, "--overwrite"]) == 0
    assert mine.read_text() != "mine"


def test_an_index_is_replaced_and_another_file_is_not(capsys, videos, tmp_path):
    out = tmp_path / "shards"
    assert main(["data", "shards", str(videos), "--format", "videos", "--out", str(out)]) == 0
    again = ["data", "shards", str(out), "--index"]
    assert main(again) == 0
    (out / "index.jsonl").write_text("mine")

    assert "exists already" in complaint(capsys, *again)
    assert main([*again, "--overwrite"]) == 0


def test_a_page_is_replaced_by_a_page_alone(capsys, tmp_path):
    page, mine = tmp_path / "page.html", tmp_path / "mine.html"
    Page("A page").write(page)
    mine.write_text("<!doctype html><html><head><title>mine</title></head></html>")
    evaluated = ["evaluate", "action-recognition", tmp_path / "none", "--data", tmp_path / "none"]

    assert is_page(page) and not is_page(mine)
    assert "exists already" in complaint(capsys, *evaluated, "--out", mine)
    assert "none" in complaint(capsys, *evaluated, "--out", page)  # goes on to what is missing
    assert "overwrite" in Evaluate.__dataclass_fields__


def test_an_export_is_refused_before_the_model_is_opened(capsys, tmp_path):
    (tmp_path / "a.onnx").write_text("mine")

    line = complaint(
        capsys, "weights", "export", tmp_path / "no", "--to", "onnx", "--out", tmp_path / "a.onnx"
    )

    assert "a.onnx: exists already" in line


def test_features_replace_no_report_or_notes_of_others(capsys, videos, tmp_path):
    out = tmp_path / "features"
    out.mkdir()
    command = ["extract", videos, "--model", tmp_path / "none", "--out", out]
    (out / "report.json").write_text(json.dumps({"mine": 1}))

    assert "report.json: exists already" in complaint(capsys, *command)
    (out / "report.json").write_text(json.dumps({"num_extracted": 1}))
    (out / "run").mkdir()
    (out / "run" / "a.mp4.json").write_text("{}")
    assert "a.mp4.json: exists already" in complaint(capsys, *command)


@pytest.mark.parametrize("option", ["--csv", "--drawn", "--page", "--out"])
def test_what_a_prediction_writes_replaces_nothing_of_others(option, capsys, videos, tmp_path):
    video, mine = videos / "run/a.mp4", tmp_path / "mine.csv"
    mine.write_text("mine")
    asked = ["predict", "spatiotemporal-localization", video, "--boxes", tmp_path / "no.csv"]

    line = complaint(capsys, *asked, "--model", tmp_path / "none", option, mine)

    assert "mine.csv: exists already and stays as it is" in line
    assert mine.read_text() == "mine"


def test_measurements_and_usable_videos_replace_nothing_of_others(capsys, videos, tmp_path):
    (tmp_path / "package.json").write_text('{"name": "mine"}')
    (tmp_path / "usable.csv").write_text("mine")

    measured = complaint(capsys, "bench", "decode", videos, "--out", tmp_path / "package.json")
    checked = complaint(
        capsys,
        *("data", "check", "hmdb51", "--root", tmp_path, "--manifest", tmp_path / "usable.csv"),
    )

    assert "package.json: is no file of measurements (it has 'name')" in measured
    assert "usable.csv: exists already" in checked
    assert (tmp_path / "package.json").read_text() == '{"name": "mine"}'


def test_a_small_part_of_a_data_set_is_packed_where_it_is_asked_for(capsys, videos, tmp_path):
    rows = ["path", "videos/run/a.mp4", *(f"videos/{i}.mp4" for i in range(9))]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    command = ["data", "shards", str(tmp_path / "m.csv"), "--out", str(tmp_path / "packed")]

    assert "9 of 10 videos are not there, such as" in complaint(capsys, *command)
    assert not (tmp_path / "packed").exists()
    assert main([*command, "--only-existing"]) == 0
    said = capsys.readouterr().out
    assert said.count("left out") == 5  # three by name, how many more, and in the summary
    assert "left out  6 more" in said
