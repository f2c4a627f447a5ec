"""What folders mean: splits are never classes, whatever they are called."""

from __future__ import annotations

import logging
import os

import pytest

from internvideo.data import manifest_from_folder, write_manifest
from internvideo.data.annotations import (
    read_folder,
    read_kinetics,
    read_list,
    read_manifest,
    read_shards,
)
from internvideo.data.annotations.folders import split_named
from internvideo.data.labelled import read_labelled
from internvideo.errors import AnnotationError


def _touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def _seen(folder):
    read = manifest_from_folder(folder)
    return read.classes, {
        record.video.relative_to(folder).as_posix(): record.split for record in read.records
    }


@pytest.mark.parametrize(
    ("train", "held", "split"),
    [
        ("Training", "Testing", "test"),
        ("train_256", "videos_val", "val"),
        ("train", "dev", "val"),
        ("TrainSet", "valid", "val"),
        ("trainset", "testset", "test"),
        ("TRAIN", "Validation Videos", "val"),
        ("kinetics400_train", "kinetics400_test", "test"),
        ("my_actions-train", "my_actions-val", "val"),
        ("trn", "tst", "test"),
        ("Train_240p", "Eval_240p", "val"),
        ("rgb_train_part1", "rgb_test", "test"),
    ],
)
def test_folders_of_splits_are_no_classes(train, held, split, tmp_path):
    _touch(
        tmp_path,
        *(
            f"{top}/{name}/{i}.mp4"
            for top in (train, held)
            for name in ("run", "walk")
            for i in "ab"
        ),
    )

    classes, splits = _seen(tmp_path)

    assert classes == ("run", "walk")
    assert {path for path, found in splits.items() if found == "train"} == {
        f"{train}/{name}/{i}.mp4" for name in ("run", "walk") for i in "ab"
    }
    assert set(splits.values()) == {"train", split}
    assert read_labelled(tmp_path).of_split("train").classes == ("run", "walk")


def test_splits_within_each_class_are_splits(tmp_path):
    _touch(tmp_path, *(f"{c}/{s}/a.mp4" for c in ("run", "walk") for s in ("train", "test")))

    classes, splits = _seen(tmp_path)

    assert classes == ("run", "walk")
    assert set(splits.values()) == {"train", "test"}


def test_splits_within_a_folder_around_everything_are_splits(tmp_path):
    _touch(tmp_path, *(f"UCF/{s}/{c}/a.mp4" for c in ("run", "walk") for s in ("Train", "Test")))

    assert _seen(tmp_path)[0] == ("run", "walk")


@pytest.mark.parametrize("names", [("bus", "train", "tram"), ("run", "strength training", "swim")])
def test_a_class_may_be_called_like_a_split(names, tmp_path):
    _touch(tmp_path, *(f"{name}/a.mp4" for name in names))

    classes, splits = _seen(tmp_path)

    assert classes == names
    assert set(splits.values()) == {None}


@pytest.mark.parametrize(
    "names",
    [
        ("train/run/a.mp4", "test/run/b.mp4", "walk/c.mp4"),
        ("train/a.mp4", "test/b.mp4", "walk/c.mp4", "run/d.mp4"),
        ("run/train/a.mp4", "walk/b.mp4"),
        ("train/run/a.mp4", "extra/run/b.mp4", "more/run/b.mp4"),
    ],
)
def test_what_cannot_be_told_is_refused_with_what_was_seen(names, tmp_path):
    _touch(tmp_path, *names)

    with pytest.raises(AnnotationError, match=r"cannot tell splits from classes: .*train/ \(train"):
        manifest_from_folder(tmp_path)


def test_words_for_splits_beside_those_for_classes_are_not_guessed_at(tmp_path):
    _touch(tmp_path, *(f"{s}_{name}/a.mp4" for s in ("train", "test") for name in ("run", "walk")))

    with pytest.raises(AnnotationError, match=r"every folder has a word for a split .*test_run"):
        manifest_from_folder(tmp_path)


def test_a_folder_around_all_classes_is_none(tmp_path):
    _touch(tmp_path, *(f"actions/{name}/a.mp4" for name in ("run", "walk")))

    assert _seen(tmp_path)[0] == ("run", "walk")


def test_outer_folders_that_hold_the_same_classes_may_be_splits(tmp_path, caplog):
    _touch(tmp_path, *(f"all/{top}/{name}/a.mp4" for top in ("fit", "held") for name in "abc"))

    with pytest.raises(AnnotationError, match=r"each of 2 folders \(fit, held\) has the folders a"):
        read_folder(tmp_path)

    assert len(manifest_from_folder(tmp_path).records) == 6  # labels need not matter here
    assert "cannot tell splits from classes" in caplog.text


def test_classes_may_hold_the_same_few_folders(tmp_path):
    _touch(tmp_path, *(f"{name}/{where}/a.mp4" for name in "abc" for where in ("in", "out")))

    assert read_folder(tmp_path).classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(
            ("train", "train"),
            ("val2017", "val"),
            ("test-videos", "test"),
            ("part1_train", "train"),
        ),
        *(("training data", "train"), ("trainer", None), ("contest", None), ("train_test", None)),
        *(("valley", None), ("trainspotting", None), ("test drive", None), ("device", None)),
    ],
)
def test_a_name_is_a_split_by_whole_words(name, split):
    assert split_named(name) == split


def test_every_reader_sees_every_ending(tmp_path, caplog):
    names = ["jump/j1.vob", "jump/j2.MPE", "run/r1.mp4", "run/r2.m2v", "walk/w.mjpeg", "walk/x.y4m"]
    _touch(tmp_path, *names, "__MACOSX/run/._r1.mp4", "run/._r1.mp4", "run/notes.txt")

    with caplog.at_level(logging.INFO):
        read = read_folder(tmp_path)

    assert sorted(r.video.relative_to(tmp_path).as_posix() for r in read.records) == names
    assert read.classes == ("jump", "run", "walk")
    assert caplog.text.count("skipped 2 files of a Mac") == 1


def test_names_that_are_not_utf8_are_named_and_left_out(tmp_path, caplog):
    _touch(tmp_path, "run/good.mp4", "walk/gut.mp4")
    for name in (b"run/b\xe4d.mp4", b"w\xe4lk/a.mp4"):
        path = os.fsencode(tmp_path) + b"/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        open(path, "w").close()  # noqa: PTH123

    read = read_folder(tmp_path)
    write_manifest(read, tmp_path / "manifest.csv")

    assert len(read_manifest(tmp_path / "manifest.csv").records) == 2
    assert "left out 2 files whose names are not UTF-8" in caplog.text
    assert r"\xe4" in caplog.text


def test_a_path_is_no_protocol_and_a_colon_none(tmp_path):
    (tmp_path / "10:30 clip.mp4").touch()
    manifest = tmp_path / "videos.csv"
    manifest.write_text("path\n10:30 clip.mp4\n")
    assert read_manifest(manifest).records[0].video.exists()

    for name in (
        "http://host/a.mp4",
        "concat:a.mp4|b.mp4",
        "subfile,,start,0,end,9,,:a",
        "foo://x",
    ):
        manifest.write_text(f'path\n10:30 clip.mp4\n"{name}"\n')
        with pytest.raises(AnnotationError, match=r"videos\.csv, line 3: .* is an address"):
            read_manifest(manifest)


def test_the_shared_cases(shared_cases):
    read = manifest_from_folder(shared_cases / "01_split_folders")
    assert read.classes == ("run", "walk")
    assert {r.video.parts[-3] for r in read.records if r.split == "test"} == {"Testing"}
    assert {r.video.parts[-3] for r in read.records if r.split == "train"} == {"Training"}
    assert read_folder(shared_cases / "02_suffixes").classes == ("jump", "run", "walk")
    assert len(read_folder(shared_cases / "03_macos_zip").records) == 4
    lists = shared_cases / "04_lists"
    for name in ("header_row.csv", "minus_one.csv"):
        for record in read_list(lists / name).records:
            assert record.video.exists()
    kinetics = read_kinetics(shared_cases / "11_kinetics_endings/val.csv")
    assert [record.video.exists() for record in kinetics.records] == [True] * 4
    dotted = read_shards(shared_cases / "14_dotted_keys/*.tar")
    assert dotted.records
    assert all(record.captions for record in dotted.records)
