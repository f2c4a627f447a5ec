"""Merging the vintages: what stays, what the report says, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from internvideo.cli import main
from internvideo.data import ANNOTATIONS, KineticsVersion, build_kinetics710, write_kinetics710
from internvideo.data.class_maps import read_class_maps
from internvideo.errors import ConfigError

HEADER = "label,youtube_id,time_start,time_end,split\n"
LISTS = {
    "k400": {
        "train": "drinking,a,0,10,train\nrunning,b,0,10,train\nrunning,c,0,10,train\n",
        "val": "drinking,d,0,10,val\n",
        "test": "running,e,0,10,test\n",
    },
    "k600": {
        "train": "running,b,5,15,train\njumping,f,0,10,train\nrunning,d,0,10,train\n",
        "val": "jumping,g,0,10,val\n",
        "test": "jumping,c,0,10,test\n",
    },
    "k700": {
        "train": "sipping cup,b,0,10,train\nsipping cup,h,0,10,train\nrunning,e,0,10,train\n",
        "val": "sipping cup,i,0,10,val\nrunning,g,0,10,val\n",
        "test": "running,j,0,10,test\n",
    },
}


@pytest.fixture
def lists(tmp_path) -> Path:
    for name, tables in LISTS.items():
        (tmp_path / name).mkdir()
        for split, text in tables.items():
            (tmp_path / name / f"{split}.csv").write_text(HEADER + text)
    return tmp_path


def vintages(lists: Path) -> list[KineticsVersion]:
    return [KineticsVersion(name=name, lists=lists / name) for name in LISTS]


def seen(built, split):
    names = built.annotations.classes
    return [
        (r.video.name.split("_")[0], names[r.label])
        for r in built.annotations.of_split(split).records
    ]


def test_no_video_that_any_vintage_evaluates_on_is_trained_on(lists):
    built = build_kinetics710(vintages(lists))

    assert seen(built, "train") == [
        ("a", "sipping cup"),
        ("b", "running"),
        ("f", "jumping"),
        ("h", "sipping cup"),
    ]
    assert seen(built, "val") == [("d", "sipping cup"), ("g", "jumping"), ("i", "sipping cup")]


def test_the_report_has_every_number(lists):
    report = build_kinetics710(vintages(lists)).report

    assert (report["classes"], report["train"], report["val"]) == (3, 4, 3)
    assert report["classes_without_training_video"] == []
    assert report["vintages"]["k400"] == {
        "classes": 2,
        "renamed": {"drinking": "sipping cup"},
        "train": {"read": 3, "dropped": {"in test of k600": 1}, "kept": 2},
        "val": {"read": 1, "dropped": {}, "kept": 1},
        "test": {"read": 1},
        "repeated_with_another_class": 0,
    }
    assert report["vintages"]["k700"]["train"] == {
        "read": 3,
        "dropped": {"in test of k400": 1, "repeats k400": 1},
        "kept": 1,
    }
    assert report["vintages"]["k700"]["repeated_with_another_class"] == 2


def test_missing_files_are_left_out_on_request_and_another_copy_is_taken(lists):
    for path in ("k400/a", "k400/d", "k600/b", "k700/h"):
        start = 5 if path == "k600/b" else 0
        suffix = "webm" if path == "k400/d" else "mp4"
        (lists / f"{path}_{start:06d}_{start + 10:06d}.{suffix}").touch()

    built = build_kinetics710(vintages(lists), only_existing=True)

    paths = [r.video.relative_to(lists).as_posix() for r in built.annotations.records]
    assert [path.split("_")[0] for path in paths] == ["k400/a", "k600/b", "k700/h", "k400/d"]
    assert built.report["vintages"]["k400"]["train"]["dropped"] == {
        "in test of k600": 1,
        "without its file": 1,
    }


def test_clips_are_found_in_folders_of_newer_class_names(lists):
    for folder, name in (("running", "b"), ("sipping cup", "a")):
        (lists / "k400" / folder).mkdir()
        (lists / "k400" / folder / f"{name}_000000_000010.mp4").touch()

    built = build_kinetics710(vintages(lists))

    a, b = built.annotations.records[:2]
    assert (a.video.parent.name, b.video.parent.name) == ("sipping cup", "running")
    assert a.video.is_file()
    assert b.video.is_file()


def test_what_is_written_is_read_back_and_the_maps_too(lists):
    built = build_kinetics710(vintages(lists))

    write_kinetics710(built, lists / "k710")

    assert ANNOTATIONS["kinetics710"](lists / "k710") == built.annotations
    assert read_class_maps(lists / "k710", "mmaction2") == built.maps
    assert json.loads((lists / "k710/report.json").read_text()) == built.report


def test_videos_inside_the_new_folder_are_written_relative_to_it(lists):
    out = lists / "k710"
    out.mkdir()
    inside = [
        KineticsVersion(name=name, lists=lists / name, videos=out / "clips") for name in LISTS
    ]

    write_kinetics710(build_kinetics710(inside), out)

    first = (out / "train.csv").read_text().splitlines()[0]
    assert first == "clips/train/a_000000_000010.mp4,0"


def test_a_published_order_decides_the_rows(lists, tmp_path):
    (tmp_path / "label_map_k710.txt").write_text("jumping\nsipping cup\nrunning\n")
    for name, rows in (("k400", [1, 2]), ("k600", [0, 2]), ("k700", [2, 1])):
        (tmp_path / f"map_{name}.json").write_text(json.dumps(rows))
    maps = read_class_maps(tmp_path, "mmaction2")

    built = build_kinetics710(vintages(lists), maps=maps)

    assert built.annotations.classes == ("jumping", "sipping cup", "running")
    assert seen(built, "train")[0] == ("a", "sipping cup")


def test_class_names_may_hold_commas_and_chinese(lists):
    (lists / "k700/train.csv").write_text(
        HEADER + '"打太极, slowly",b1,0,10,train\n', encoding="utf-8-sig"
    )

    built = build_kinetics710(vintages(lists))
    write_kinetics710(built, lists / "k710")

    assert ("b1", "打太极, slowly") in seen(built, "train")
    assert ANNOTATIONS["kinetics710"](lists / "k710") == built.annotations


def test_a_folder_with_something_in_it_is_not_touched(lists):
    built = build_kinetics710(vintages(lists))

    with pytest.raises(ConfigError, match="k400 is there and not an empty folder; choose another"):
        write_kinetics710(built, lists / "k400")
    assert sorted(path.name for path in lists.iterdir()) == ["k400", "k600", "k700"]


def test_nothing_is_left_behind_where_writing_fails(lists, monkeypatch):
    built = build_kinetics710(vintages(lists))

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(ConfigError, match=r"k710: cannot be written \(No space left on device\)"):
        write_kinetics710(built, lists / "k710")
    assert sorted(path.name for path in lists.iterdir()) == ["k400", "k600", "k700"]


def test_a_vintage_without_a_test_list_is_told(lists, caplog):
    (lists / "k600/test.csv").unlink()

    build_kinetics710(vintages(lists))

    assert "k600: no test list; its videos may be trained on" in caplog.text


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("k400/train.csv", "", r"k400/train.csv: the file is empty"),
        ("k400/train.csv", HEADER, r"k400: no clips of split 'train' \(found test.csv, train.csv"),
        ("k600/val.csv", "path,label\na.mp4,3\n", "k600/val.csv, line 1: no column 'youtube_id'"),
        ("k600/val.csv", HEADER + "a,b,0\n", "line 2: has 3 fields, the header has 5"),
        ("k600/val.csv", HEADER + "a,b,0,x,val\n", "line 2: time_end is 'x', expected a number"),
        ("k600/val.csv", HEADER + "a,b,0,1,vla\n", "line 2: split is 'vla', expected train"),
        ("k700/classes.txt", "running\nsipping\n", "label 'sipping cup' is no class of k700; did"),
        ("k700/classes.txt", "", "k700/classes.txt: the file is empty"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(lists, capsys, file, text, message):
    (lists / file).write_text(text)
    arguments = [f"--{name}={lists / name}" for name in LISTS]

    status = main(["data", "kinetics710", *arguments, f"--out={lists / 'k710'}"])

    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("internvid")]
    assert (status, len(error)) == (2, 1)
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(error[0])
    assert not (lists / "k710").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--k600", "nowhere"], "nowhere: there is no such folder; expected train.csv, val.csv"),
        (["--k600", "empty"], "empty: no clips of split 'train' (found no csv file)"),
        (["--order", "mmaction2"], "where are the files of order 'mmaction2'? give --maps FOLDER"),
        (["--order", "x", "--maps", "empty"], "unknown row order 'x'"),
        (["--label-maps", "empty"], "empty/label_map_k400.txt: there is no such annotation file"),
        (["--out", "k400"], "k400 is there and not an empty folder"),
    ],
)
def test_the_command_refuses_wrong_folders(lists, capsys, monkeypatch, options, message):
    monkeypatch.chdir(lists)
    (lists / "empty").mkdir()
    given = {**{f"--{name}": name for name in LISTS}, "--out": "k710"}
    given |= dict(zip(options[::2], options[1::2], strict=True))

    status = main(["data", "kinetics710", *(part for pair in given.items() for part in pair)])

    assert (status, message in capsys.readouterr().err) == (2, True)


def test_the_command_tells_what_it_kept(lists, capsys):
    arguments = [f"--{name}={lists / name}" for name in LISTS]

    assert main(["data", "kinetics710", *arguments, f"--out={lists / 'k710'}"]) == 0

    told = capsys.readouterr().out
    assert "k400 train  2 of 3 kept (1 in test of k600)" in told
    assert "4 videos to train on, 3 to validate on, 3 classes" in told
