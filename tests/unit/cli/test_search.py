"""`internvideo index` and `search` on coloured videos, by a model that knows colours."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

import internvideo.search
from internvideo.cli.index import Index
from internvideo.cli.search import Search
from internvideo.errors import ConfigError
from internvideo.search import Proposal
from tests.unit.search.toys import COLOURS, GREY, ColourModel, colour_video


@pytest.fixture
def folder(tmp_path, monkeypatch):
    videos = tmp_path / "videos"
    colour_video(videos / "red.mp4", [(GREY, 4), (COLOURS["red"], 4)], side_px=16)
    colour_video(videos / "sub/blue.mp4", [(COLOURS["blue"], 4)], side_px=16)
    monkeypatch.setattr(
        internvideo.search,
        "open_search_model",
        lambda source, device="auto": ColourModel(name=str(source)),
    )
    monkeypatch.setattr(internvideo.search, "choose_runtime", lambda model, runtime: "torch")
    monkeypatch.chdir(tmp_path)
    return videos


def _index(folder, **options):
    return Index(**{"folder": folder, "model": "colours", "window_s": 2.0, **options}).run()


def test_a_folder_becomes_an_index_beside_it_that_answers(folder, capsys):
    assert _index(folder) == 0
    said = capsys.readouterr().out
    assert "2 new" in said
    assert "decoding took" in said

    assert Search(text="red", sure=0.0, limit=1).run() == 0

    line = capsys.readouterr().out
    assert "red.mp4  0:0" in line
    assert "-0:08.0" in line


def test_answers_are_filtered_exported_and_drawn(folder, capsys):
    _index(folder)
    capsys.readouterr()
    found = Path("found")

    Search(text="blue", sure=0.0, folder="sub", export=found, sheet=Path("s.png"), json=True).run()

    moments = json.loads(capsys.readouterr().out)["moments"]
    assert [moment["path"] for moment in moments] == ["sub/blue.mp4"]
    assert [path.suffix for path in found.iterdir()] == [".mp4"]
    assert Path("s.png").stat().st_size > 1000
    Search(text="blue", folder="nowhere").run()
    assert "no video passes the filters" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="give both"):
        Search(text="blue", lance_at="elsewhere").run()


def test_a_broken_file_is_named_and_labels_are_a_track(folder, capsys):
    (folder / "broken.mp4").write_text("no video")
    Path("labels.txt").write_text("red\nblue\n")

    assert _index(folder, labels=Path("labels.txt")) == 1

    assert "left out" in capsys.readouterr().out
    Search(text="blue", track="labels").run()
    assert "sub/blue.mp4  0:00.0-0:04.0  blue" in capsys.readouterr().out


def test_a_watched_folder_is_followed_until_it_is_interrupted(folder, capsys, monkeypatch):
    _index(folder)
    capsys.readouterr()
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 2:
            raise KeyboardInterrupt
        os.utime(folder / "red.mp4", (1e9, 1e9))
        shutil.move(folder / "red.mp4", folder / "renamed.mp4")
        (folder / "new.mp4").write_text("somebody still writes it")

    monkeypatch.setattr(time, "sleep", sleep)

    assert _index(folder, watch=True) == 0

    assert (
        "0 new, 0 changed, 1 renamed, 0 removed, 1 as before, 0 left out" in capsys.readouterr().out
    )


@pytest.mark.parametrize("agreed", [False, True])
def test_a_model_is_proposed_and_fetched_after_a_yes(folder, capsys, monkeypatch, agreed):
    proposal = Proposal(
        name="small", license="MIT", source="nowhere", num_bytes=7_000_000, seconds_per_hour=60.0
    )
    monkeypatch.setattr(internvideo.search, "propose", lambda stride_s: proposal)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)

    if agreed:
        assert _index(folder, model=None, yes=True) == 0
        with internvideo.search.Index(f"{folder}.internvideo") as index:
            assert index.settings.model == "small"
    else:
        with pytest.raises(ConfigError, match=r"7 MB of weights, license MIT.*60 s for an hour"):
            _index(folder, model=None)
