"""Untrimmed videos: cut to their instances in training, whole and once in evaluation."""

from __future__ import annotations

import json

import pytest
import torch

from internvideo.data import ClipDataset, VideoData
from internvideo.data.annotations import read_activitynet, read_segment_list
from internvideo.errors import AnnotationError, ConfigError
from internvideo.values import Segment
from internvideo.video import write_video


@pytest.fixture
def write(tmp_path):
    def write_text(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write_text


ROWS = "my a.mp4 30.0 0 2.5 1\nmy a.mp4 30.0 10 20 1\nb.mp4 9 1 8 0\n"


def seen(annotations):
    return [(r.video.name, r.start_s, r.end_s, r.label, r.split) for r in annotations.records]


@pytest.mark.parametrize("separator", [" ", ",", ", "])
def test_training_takes_every_instance_cut_to_its_times(write, separator):
    rows = [line.rsplit(" ", 4) for line in ROWS.splitlines()]
    path = write("anet_train.csv", "\n".join(separator.join(row) for row in rows))

    read = read_segment_list(path, root="v")

    assert seen(read) == [
        ("my a.mp4", 0.0, 2.5, 1, "train"),
        ("my a.mp4", 10.0, 20.0, 1, "train"),
        ("b.mp4", 1.0, 8.0, 0, "train"),
    ]


@pytest.mark.parametrize(("name", "split"), [("val.csv", "val"), ("hacs_test.txt", "test")])
def test_evaluation_takes_every_video_whole_and_once(write, name, split):
    read = read_segment_list(write(name, ROWS), root="v")

    assert seen(read) == [("my a.mp4", None, None, 1, split), ("b.mp4", None, None, 0, split)]
    assert [s.start_s for s in read.records[0].segments] == [0.0, 10.0]


def test_a_folder_of_lists_is_read_with_its_splits(write):
    write("train.csv", ROWS)
    folder = write("val.csv", ROWS).parent

    assert [r.split for r in read_segment_list(folder).records] == ["train"] * 3 + ["val"] * 2


def test_a_whole_video_of_several_classes_has_the_longest_and_that_is_told(write, caplog):
    path = write("val.csv", "a.mp4 30 0 2 1\na.mp4 30 3 9 0\na.mp4 30 10 13 1\n")

    assert read_segment_list(path).records[0].label == 0
    assert "val.csv: 1 whole videos show several classes" in caplog.text


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list.csv", ROWS, "its name does not say train, val or test.*pass the option split"),
        ("train.csv", "a.mp4 1 2 0\n", "line 1: expected 'path total_time start end label', found"),
        ("train.csv", "a.mp4 9 5 5 0\n", "line 1: start '5' and end '5'.* hold no time"),
        ("train.csv", "a.mp4 x 5 6 0\n", "line 1: total_time is 'x', expected a number"),
        ("train.csv", "a.mp4,9,,6,0\n", "line 1: start, end or label is empty"),
    ],
)
def test_what_is_wrong_with_a_list_is_named(write, name, text, message):
    with pytest.raises(AnnotationError, match=message):
        read_segment_list(write(name, text))


def test_a_list_whose_name_says_nothing_takes_the_split_given(write):
    path = write("list.csv", ROWS)

    assert {r.split for r in read_segment_list(path, split="val").records} == {"val"}
    with pytest.raises(ConfigError, match=r"unknown split 'trian'; did you mean 'train'"):
        read_segment_list(path, split="trian")


def test_a_data_set_shows_only_what_lies_within_the_times(tmp_path, write):
    frames = torch.arange(16).repeat_interleave(2)[:, None, None, None] * 8
    write_video(tmp_path / "a.mp4", frames.expand(32, 32, 32, 3).to(torch.uint8), 16.0)
    write("train.csv", "a.mp4 2.0 1.0 2.0 0\n")
    write("val.csv", "a.mp4 2.0 1.0 2.0 0\n")
    config = VideoData(
        source="", eval_source=None, root=str(tmp_path), format="segment-list", sampling="segments"
    )
    annotations = config.read()

    def brightness(training):
        part = config.select(annotations, training=training)
        dataset = ClipDataset(part, config, num_frames=4, side_px=32, training=training)
        return dataset.sample(0).views[0].float().mean((1, 2, 3)).tolist()

    assert min(brightness(True)) > 55
    assert min(brightness(False)) < 30


DATABASE = {
    "x": {
        "subset": "training",
        "duration": 30,
        "annotations": [
            {"segment": [0.5, 2], "label": "run"},
            {"segment": [3, 4], "label": "jump"},
        ],
    },
    "y": {"subset": "validation", "annotations": [{"segment": [1, 5], "label": "run"}]},
    "z": {"subset": "testing", "annotations": []},
}


def test_the_official_json_gives_instances_to_train_on_and_whole_videos(write):
    path = write("activity_net.json", json.dumps({"version": "1.3", "database": DATABASE}))
    write("v_x.mp4", "")
    write("validation/y.mkv", "")

    read = read_activitynet(path)

    assert read.classes == ("jump", "run")
    assert seen(read) == [
        ("v_x.mp4", 0.5, 2.0, 1, "train"),
        ("v_x.mp4", 3.0, 4.0, 0, "train"),
        ("y.mkv", None, None, 1, "val"),
        ("v_z.mp4", None, None, None, "test"),
    ]


def test_localization_may_have_all_videos_whole(write):
    path = write("hacs.json", json.dumps({"database": DATABASE}))

    record = read_activitynet(path, cut="none").records[0]

    assert (record.start_s, record.segments) == (
        None,
        (Segment(start_s=0.5, end_s=2.0, label=1), Segment(start_s=3.0, end_s=4.0, label=0)),
    )


def test_instances_without_time_are_left_out_and_counted(write, caplog):
    entry = {"subset": "training", "annotations": [{"segment": [4, 4], "label": "run"}]}
    path = write("anet.json", json.dumps({"database": {**DATABASE, "w": entry}}))

    assert len(read_activitynet(path).records) == 4
    assert "left out 1 instances that hold no time" in caplog.text
    assert "left out 1 videos without an instance" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "expected an object with a video for each id"),
        ('{"database": {"x": {"subset": "training"}}}', "video x: expected an object with annotat"),
        ('{"x": {"annotations": []}}', "no video says its subset; put video_info_new.csv beside"),
        (
            '{"x": {"subset": "training", "annotations": [{"segment": [1], "label": "a"}]}}',
            r"video x: segment is \[1\], expected \[start, end\]",
        ),
        (
            '{"x": {"subset": "training", "annotations": [{"segment": ["a", 1], "label": "a"}]}}',
            r"video x: segment is \['a', 1\], expected \[start, end\]",
        ),
    ],
)
def test_what_is_wrong_with_the_json_is_named(write, text, message):
    with pytest.raises(AnnotationError, match=message):
        read_activitynet(write("anet.json", text))


def test_a_label_outside_the_classes_given_names_the_nearest(write):
    path = write("anet.json", json.dumps({"database": DATABASE}))

    with pytest.raises(AnnotationError, match=r"video x: 'run' is in no list of classes; did you"):
        read_activitynet(path, classes=("runs", "jump"))


def test_the_real_reduction_of_activitynet(real_annotations, caplog):
    folder = real_annotations / "activitynet"

    read = read_activitynet(folder / "anet_anno_action.json", classes="label_map.txt")

    assert len(read.classes) == 200
    # Of 600 videos 18 are among the rows of video_info_new.csv that were kept.
    assert "left out 582 videos of no subset" in caplog.text
    assert all((r.start_s is None) == (r.split != "train") for r in read.records)
