"""Readers of published formats, on small files in the test and on real ones where they are."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from internvideo.data.annotations import (
    ANNOTATIONS,
    read_frame_list,
    read_hmdb51,
    read_kinetics,
    read_list,
    read_manifest,
    read_pretraining_list,
    read_something,
    read_ucf101,
)
from internvideo.errors import AnnotationError


@pytest.fixture
def write(tmp_path):
    def write_text(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write_text


def _seen(annotations):
    return [(r.video.as_posix(), r.label, r.split) for r in annotations.records]


KINETICS = (
    "label,youtube_id,time_start,time_end,split\nzumba,-a_b,5,15,validate\nabseiling,c,0,10,val\n"
)


def test_kinetics_names_are_id_and_times(write):
    read = read_kinetics(
        write("val.csv", KINETICS), root="videos", layout="{split}/{youtube_id}.mp4"
    )

    assert read.classes == ("abseiling", "zumba")
    assert _seen(read)[1] == ("videos/val/c.mp4", 0, "val")


def test_kinetics_takes_the_layout_that_finds_a_file(write):
    path = write("val.csv", KINETICS)
    write("abseiling/c_000000_000010.mp4", "")

    read = read_kinetics(path)

    assert [r.video.parent.name for r in read.records] == ["zumba", "abseiling"]


def test_kinetics_reads_all_lists_of_a_folder_with_common_classes(write):
    write("train.csv", KINETICS.replace("validate", "train"))
    folder = write("test.csv", "youtube_id,time_start,time_end,split\nx,1,11,test\n").parent

    read = read_kinetics(folder)

    assert [(r.label, r.split) for r in read.records] == [(None, "test"), (1, "train"), (0, "val")]


def test_kinetics_without_its_header_points_to_the_other_format(write):
    with pytest.raises(AnnotationError, match=r'line 1: no column .youtube_id.*format "list"'):
        read_kinetics(write("train.csv", "a.mp4,3\nb.mp4,4\n"))


def test_kinetics_layout_with_an_unknown_field_names_those_there_are(write):
    with pytest.raises(AnnotationError, match=r"layout '{id}.mp4'.*fields are label, youtube_id"):
        read_kinetics(write("val.csv", KINETICS), layout="{id}.mp4")


@pytest.mark.parametrize(
    "text", ["a b.mp4 3\nc.mp4 0\n", "a b.mp4,3\nc.mp4,0\n", '"a b.mp4",3\nc.mp4,0\n']
)
def test_lists_of_paths_and_labels_are_split_at_the_last_space_or_comma(write, text):
    read = read_list(write("train.csv", text), root="v")

    assert [(r.video, r.label) for r in read.records] == [
        (Path("v/a b.mp4"), 3),
        (Path("v/c.mp4"), 0),
    ]
    assert len(read.classes) == 4


def test_a_list_of_spaces_may_have_paths_with_commas(write):
    read = read_list(write("train.txt", "a, b.mp4 3\n"), root="v")

    assert read.records[0].video == Path("v/a, b.mp4")


@pytest.mark.parametrize("ending", ["mp4", "mkv", "webm", "avi", "MP4"])
@pytest.mark.parametrize("folder", ["", "val/", "val/zumba/", "zumba/"])
def test_kinetics_clips_are_found_whatever_their_ending(ending, folder, write):
    path = write("val.csv", KINETICS.replace("validate", "val"))
    there = write(f"{folder}-a_b_000005_000015.{ending}", "")
    write(f"{folder}-a_b_000005_000015.json", "{}")

    assert read_kinetics(path).records[0].video == there


@pytest.mark.parametrize("text", ["path label\n{}", "video_path,class_id\n{}", "{}"])
def test_a_header_of_a_list_is_skipped(text, write):
    comma = "," if "," in text else " "
    rows = "".join(f"v{i}.mp4{comma}{i}\n" for i in (10, 2, 9))

    read = read_list(write("train.csv", text.format(rows)))

    assert [record.label for record in read.records] == [10, 2, 9]
    assert len(read.classes) == 11


def test_a_label_of_minus_one_is_none_and_moves_no_class(write):
    read = read_list(write("train.csv", "a.mp4 10\nb.mp4 -1\nc.mp4 2\n"))

    assert [record.labels for record in read.records] == [(10,), (), (2,)]
    assert read.classes == tuple(map(str, range(11)))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.mp4 0\nb.mp4 -2\n", "line 2: label -2 is below 0"),
        ("a.mp4 0\nb.mp4 20240101123456\n", "line 2: label 20240101123456 would be one of more"),
        (f"a.mp4 {'9' * 5000}\n", "line 1: label 9+ would be one of more than 100000 classes"),
        ("a.mp4 0\nb.mp4 1\nc.mp4 ten\n", "line 3: label 'ten' is a name where most are numbers"),
    ],
)
def test_labels_are_never_guessed(rows, message, write):
    with pytest.raises(AnnotationError, match=message):
        read_list(write("train.csv", rows))


def test_a_list_line_without_a_label_is_named(write):
    with pytest.raises(AnnotationError, match=r"train.txt, line 2: expected a path, a space and a"):
        read_list(write("train.txt", "a.mp4 3\nb.mp4\n"))


def test_a_list_label_beyond_the_class_names_is_named(write):
    with pytest.raises(AnnotationError, match=r"line 1: label 3 has no name.*classes has 2"):
        read_list(write("train.txt", "a.mp4 3\n"), classes=("run", "jump"))


def test_frame_lists_give_folders_numbered_from_one(write):
    record = read_frame_list(write("train.txt", "my 12 57 140\n"), root="f").records[0]

    assert (record.video, record.num_frames, record.label) == (Path("f/my 12"), 57, 140)
    assert record.frame_template is not None
    assert record.frame_template.format(record.first_frame) == "img_00001.jpg"


@pytest.mark.parametrize("label", ["", " 5"])
def test_the_pretraining_list_has_videos_and_folders_of_frames(write, label):
    path = write("train.csv", f"a 1.mp4 0 -1{label}\nframes/7 1 30{label}\n")

    video, frames = read_pretraining_list(path, root="v").records

    assert (video.video, video.frame_template, video.labels) == (Path("v/a 1.mp4"), None, ())
    assert (frames.video, frames.first_frame, frames.num_frames) == (Path("v/frames/7"), 1, 30)
    assert frames.frame_template == "img_{:05}.jpg"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.mp4 0", "line 1: expected 'path start total', found 'a.mp4 0'"),
        ("a.mp4 x -1", "line 1: start is 'x', expected a whole number"),
        ("a 0 0", "line 1: start 0 and total 0 name no frames"),
    ],
)
def test_what_is_wrong_with_a_pretraining_list_is_named(write, line, message):
    with pytest.raises(AnnotationError, match=message):
        read_pretraining_list(write("train.csv", line))


def test_ucf101_lists_may_lack_labels(write):
    write("classInd.txt", "1 Archery\r\n2 YoYo\r\n")
    write("trainlist01.txt", "YoYo/v_g08.avi 2\n")
    folder = write("testlist01.txt", "Archery/v_g01.avi\n").parent

    read = read_ucf101(folder, root="u")

    assert read.classes == ("Archery", "YoYo")
    assert _seen(read) == [("u/YoYo/v_g08.avi", 1, "train"), ("u/Archery/v_g01.avi", 0, "test")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("YoYo/a.avi 3", "line 1: label 3, expected 1 to 2"),
        ("YoYo/a.avi 0", "line 1: label 0, expected 1 to 2"),
        ("a.avi", "neither a label after it nor a class folder before it"),
    ],
)
def test_what_is_wrong_with_a_ucf101_list_is_named(write, line, message):
    write("classInd.txt", "1 Archery\n2 YoYo\n")

    with pytest.raises(AnnotationError, match=message):
        read_ucf101(write("trainlist01.txt", line))


def test_hmdb51_as_its_authors_publish_it(write):
    write("clap_test_split2.txt", "a b.avi 1 \nc.avi 0\n")
    folder = write("wave_test_split2.txt", "d.avi 2 \n").parent

    read = read_hmdb51(folder, fold=2, root="h", layout="{label}/{name}")

    assert _seen(read) == [("h/clap/a b.avi", 0, "train"), ("h/wave/d.avi", 1, "test")]


def test_something_something_finds_the_template_of_each_caption(write):
    write("labels.json", json.dumps({"Holding something": "0", "Moving something up": "1"}))
    entry = {"id": "7", "label": "moving cup up", "template": "Moving [something] up"}
    write("train.json", json.dumps([entry]))
    folder = write("test.json", json.dumps([{"id": "8"}])).parent

    read = read_something(folder, root="s")

    assert _seen(read) == [("s/8.webm", None, "test"), ("s/7.webm", 1, "train")]
    assert read.records[1].captions == ("moving cup up",)


def test_something_something_names_an_unknown_template(write):
    write("labels.json", json.dumps({"Holding something": "0"}))
    path = write("train.json", json.dumps([{"id": "7", "template": "Holdin [something]"}]))

    with pytest.raises(AnnotationError, match=r"train.json, entry 0.*did you mean 'Holding some"):
        read_something(path.parent)


def test_broken_json_is_named_with_its_line(write):
    path = write("labels.json", '{"a": "0",\n')

    with pytest.raises(AnnotationError, match=r"labels.json, line 2: is not JSON"):
        read_something(path.parent)


def test_every_reader_names_a_file_that_is_not_there(tmp_path):
    for name, read in ANNOTATIONS.items():
        with pytest.raises(AnnotationError, match=r"there is no such|holds no|nor the folder"):
            read(tmp_path / "absent" / name)


def test_the_real_ucf101_lists(real_annotations):
    read = read_ucf101(real_annotations / "ucf101", fold=1)

    assert Counter(record.split for record in read.records) == {"train": 9537, "test": 3783}
    assert all(read.classes[r.labels[0]] == r.video.parent.name for r in read.records)


def test_the_real_hmdb51_lists(real_annotations):
    read = read_hmdb51(real_annotations / "hmdb51")

    assert Counter(record.split for record in read.records) == {"train": 3570, "test": 1530}
    # File names hold the class before the codes of the shot.
    assert all(f"_{read.classes[r.labels[0]]}_" in f"_{r.video.stem}" for r in read.records)


def test_the_real_kinetics_lists(real_annotations):
    folder = real_annotations / "kinetics"
    names = tuple((folder / "label_map_k400.txt").read_text().splitlines())

    read = read_kinetics(folder / "kinetics-400_val.csv", classes=names)
    test = read_kinetics(folder / "kinetics-400_test.csv")

    assert (len(read.records), len(test.records)) == (498, 300)
    assert read.records[0].video.name == "0wR5jVB-WPk_000417_000427.mp4"
    assert all(record.labels == () for record in test.records)


def test_the_real_actions(real_actions):
    read = read_manifest(real_actions / "splits.csv", columns={"path": "file", "label": "class"})

    assert Counter(record.split for record in read.records) == {
        "train": 441,
        "test": 127,
        "val": 87,
    }
    assert read.classes == tuple((real_actions / "classes.txt").read_text().split())
    assert all(record.video.is_file() for record in read.records)


def test_a_wrong_label_is_told_of_the_list_that_has_it(tmp_path):
    header = "label,youtube_id,time_start,time_end,split"
    for name, label in (("train", "flying"), ("val", "diving")):
        rows = [f"{label},abcdefghijk,{start},{start + 10},{name}" for start in (0, 10)]
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *rows]))

    with pytest.raises(AnnotationError, match=r"train\.csv, line 2: label 'flying'"):
        read_kinetics(tmp_path, classes=("diving", "juggling"))
