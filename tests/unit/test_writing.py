"""Files that are complete or absent, and errors that name them."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from internvideo.errors import ConfigError
from internvideo.playground import plant_features
from internvideo.playground.stand_ins import make_stand_in
from internvideo.writing import naming, replace_text, written_beside


def test_a_text_replaces_the_old_one_and_leaves_nothing_beside(tmp_path):
    replace_text(tmp_path / "a.txt", "old")
    replace_text(tmp_path / "a.txt", "new \udcff\n")

    assert (tmp_path / "a.txt").read_bytes() == b"new \\udcff\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_names_the_file_and_keeps_the_old_one(tmp_path, monkeypatch):
    file = tmp_path / "a.txt"
    replace_text(file, "old")

    def full(self, *arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ConfigError, match=r"a\.txt: cannot be written \(No space left on device\)"):
        replace_text(file, "new")

    assert file.read_text() == "old"
    with pytest.raises(ConfigError, match="set: cannot be written"), naming(Path("set")):
        full(None)


def test_a_folder_is_written_beside_and_leftovers_of_a_killed_process_go(tmp_path):
    left = tmp_path / ".writing-model"
    left.mkdir()
    (left / "half").write_text("")

    with written_beside(tmp_path / "model") as beside:
        assert list(beside.iterdir()) == []
        (beside / "whole").write_text("")
        beside.rename(tmp_path / "model")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_two_writers_of_one_place_are_told_of_each_other(tmp_path):
    with (
        written_beside(tmp_path / "model"),
        pytest.raises(ConfigError, match=r"model: another process works on it \(process \d+ on"),
        written_beside(tmp_path / "model"),
    ):
        pass


@pytest.mark.parametrize("make", [plant_features, partial(make_stand_in, "thumos14")])
def test_a_disk_that_numpy_finds_full_is_named(make, tmp_path, monkeypatch):
    def fail(*unused):
        raise OSError("1024 requested and 992 written")  # without a number or a name

    monkeypatch.setattr(np, "save", fail)

    with pytest.raises(ConfigError, match=r"made: cannot be written \(1024 requested"):
        make(tmp_path / "made")
