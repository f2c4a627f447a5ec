"""Annotations of temporal localization: published databases, Ego4D, one's own csv."""

from __future__ import annotations

import json

import numpy as np
import pytest

from internvideo.data.annotations import (
    read_ego4d_moments,
    read_localization,
    read_segment_csv,
    read_video_scores,
)
from internvideo.errors import AnnotationError, ConfigError
from internvideo.values import Segment


@pytest.fixture
def write(tmp_path):
    def write_text(name, content):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write_text


def entry(*instances, subset="training", duration=30.0, **more):
    annotations = [{"segment": [a, b], "label": label, **ids} for a, b, label, ids in instances]
    return {"subset": subset, "duration": duration, "annotations": annotations, **more}


def test_a_database_gives_whole_videos_with_their_segments(write):
    database = {
        "a": entry((1, 3, "run", {"label_id": 1}), (2, 9, "jump", {"label_id": 0}), fps=25),
        "b": entry(subset="Validation"),
    }

    read = read_localization(write("x_af.json", {"database": database}), root="videos")

    first, second = read.records
    assert read.classes == ("jump", "run")
    assert first.segments == (
        Segment(start_s=1.0, end_s=3.0, label=1),
        Segment(start_s=2.0, end_s=9.0, label=0),
    )
    assert (first.split, first.duration_s, first.rate_fps) == ("train", 30.0, 25.0)
    assert (second.split, second.segments) == ("val", ())


def test_numbers_in_the_file_decide_the_order_of_classes_and_gaps_keep_their_place(write):
    database = {"a": entry((1, 3, "run", {"label_id": 2}), (2, 9, "jump", {"label_id": 0}))}

    read = read_localization(write("x.json", {"database": database}))

    assert read.classes == ("jump", "class 1", "run")


def test_what_is_odd_is_counted_and_named_in_one_line_each(write, caplog):
    run = ("run", {})
    database = {
        "ok": entry((0, 1, *run)),
        "odd": entry((5, 9, *run), (5.0005, 9, *run), (4, 40, *run), (3, 3, *run), (8, 2, *run)),
        "none": entry(),
    }

    read = read_localization(write("x.json", {"database": database}))

    assert [len(r.segments) for r in read.records] == [1, 2, 0]
    lines = [r.message.partition(": ")[2] for r in caplog.records if "x.json" in r.message]
    assert lines == [
        "left out 2 instances that hold no time, first video odd",
        "1 segments that repeat another left out, first in video odd",
        "1 segments beyond the end of their video, first in video odd",
        "1 videos without a segment, first in video none",
    ]


def test_repeated_segments_stay_where_the_official_evaluation_keeps_them(write):
    database = {"a": entry((5, 9, "run", {}), (5, 9, "run", {}))}

    read = read_localization(write("x.json", {"database": database}), duplicates=True)

    assert len(read.records[0].segments) == 2


@pytest.mark.parametrize(
    ("database", "options", "message"),
    [
        (
            {
                "a": entry((1, 2, "run", {"label_id": 1})),
                "b": entry((1, 2, "run", {"label_id": 2})),
            },
            {},
            "x.json, video b: 'run' has the number 2, and 1 before",
        ),
        (
            {"a": entry((1, 2, "run", {"label_id": 1}), (1, 2, "hop", {"label_id": 1}))},
            {},
            "x.json: two classes have the same label_id",
        ),
        (
            {"a": entry((1, 2, "rum", {}))},
            {"classes": ("jump", "run")},
            "x.json, video a: 'rum' is in no list of classes; did you mean 'run'",
        ),
        ({"a": entry(duration=-1)}, {}, "x.json, video a: duration is -1, expected above 0"),
        ({"a": entry(duration="long")}, {}, "video a: duration is 'long', expected above 0"),
    ],
)
def test_what_is_wrong_with_a_database_is_named(write, database, options, message):
    with pytest.raises(AnnotationError, match=message):
        read_localization(write("x.json", {"database": database}), **options)


def test_a_subset_that_does_not_exist_names_the_nearest(write):
    with pytest.raises(ConfigError, match="unknown subset to train on 'trainig'; did you mean"):
        read_localization(write("x.json", {"database": {}}), train="trainig")


def test_the_real_thumos_is_trained_on_its_validation_subset(real_annotations):
    read = read_localization(real_annotations / "thumos14" / "thumos14.json", train="validation")

    assert len(read.records) == 200
    assert len(read.classes) == 20
    assert {r.split for r in read.records} <= {"train", "test"}
    first = read.records[0]
    assert (first.duration_s, first.rate_fps) == (33.83, 30.0)
    assert read.classes[first.segments[0].label] == "CricketBowling"
    assert first.segments[0].label == 5


def test_the_real_activitynet_has_its_durations(real_annotations, caplog):
    folder = real_annotations / "activitynet"

    read = read_localization(folder / "anet_anno_action.json", classes="label_map.txt")

    assert len(read.records) == 18
    assert len(read.classes) == 200
    assert all(r.duration_s > 0 for r in read.records)
    assert sum(bool(r.segments) for r in read.records) > 9


def moment(label, start, end, *, primary=True):
    return {"label": label, "start_time": start, "end_time": end, "primary": primary}


def of_clip(uid, *passes, **more):
    return {"clip_uid": uid, "annotations": [{"labels": labels} for labels in passes], **more}


MOMENTS = {
    "videos": [
        {
            "split": "train",
            "clips": [
                of_clip(
                    "c1",
                    [moment("wash", 1.0, 4.0), moment("cut", 2.0, 3.0, primary=False)],
                    [moment("dry", 6, 6)],
                    video_start_sec=10.0,
                    video_end_sec=490.0,
                )
            ],
        },
        {"split": "test", "clips": [{"clip_uid": "c2"}]},
    ]
}


def test_ego4d_moments_are_clips_with_their_primary_labels(write, caplog):
    read = read_ego4d_moments(write("moments_train.json", MOMENTS), root="clips")

    train, test = read.records
    assert train.video.name == "c1.mp4"
    assert (train.duration_s, train.split) == (480.0, "train")
    assert train.segments == (Segment(start_s=1.0, end_s=4.0, label=1),)
    assert (test.split, test.segments) == ("test", ())
    assert "1 segments that hold no time left out, first in video c1" in caplog.text


def test_ego4d_moments_can_have_all_labels(write):
    read = read_ego4d_moments(write("m.json", MOMENTS), primary_only=False)

    assert read.classes == ("cut", "dry", "wash")
    assert len(read.records[0].segments) == 2


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"clips": []}, 'm.json: expected an object with "videos"'),
        ({"videos": [{"split": "x", "clips": []}]}, "m.json, video 0: split is 'x', expected one"),
        (
            {"videos": [{"split": "val", "clips": [of_clip("c", [moment("a", 1, None)])]}]},
            r"m.json, clip c: times are \(1, None\), expected seconds",
        ),
    ],
)
def test_what_is_wrong_with_ego4d_moments_is_named(write, document, message):
    with pytest.raises(AnnotationError, match=message):
        read_ego4d_moments(write("m.json", document))


OWN = "path,start_s,end_s,label,split\na.mp4,0,2.5,run,train\na.mp4,2,3,jump,train\nb.mp4,,,,val\n"


def test_ones_own_csv_may_have_videos_without_segments(write):
    read = read_segment_csv(write("mine.csv", OWN), root="v")

    first, second = read.records
    assert read.classes == ("jump", "run")
    assert first.segments == (
        Segment(start_s=0.0, end_s=2.5, label=1),
        Segment(start_s=2.0, end_s=3.0, label=0),
    )
    assert (str(second.video), second.segments, second.split) == ("v/b.mp4", (), "val")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.mp4,3,3,run,", r"mine.csv, line 2: the segment from 3.0 to 3.0 s holds no time"),
        ("a.mp4,5,3,run,", r"mine.csv, line 2: the segment from 5.0 to 3.0 s holds no time"),
        ("a.mp4,nan,3,run,", "mine.csv, line 2: start_s is 'nan', expected seconds from 0"),
        ("a.mp4,-1,3,run,", "mine.csv, line 2: start_s is '-1', expected seconds from 0"),
        ("a.mp4,1,x,run,", "mine.csv, line 2: end_s is 'x', expected seconds from 0"),
        ("a.mp4,1,2,,", "mine.csv, line 2: label is empty"),
        (",1,2,run,", "mine.csv, line 2: names no video"),
        ("a.mp4,1,2,run,\na.mp4,1,2,run,", "mine.csv, line 3: repeats the segment of line 2"),
        ("a.mp4,1,99,run,9", "mine.csv, line 2: the segment ends at 99.0 s, the video at 9.0 s"),
        ("a.mp4,1,2,rum,", "mine.csv, line 2: 'rum' is in no list of classes; did you mean 'run'"),
    ],
)
def test_a_mistake_in_ones_own_csv_is_an_error_that_names_its_line(write, rows, message):
    path = write("mine.csv", f"path,start_s,end_s,label,duration_s\n{rows}\n")

    with pytest.raises(AnnotationError, match=message):
        read_segment_csv(path, classes=("run", "jump"))


def test_a_csv_without_a_column_names_it(write):
    with pytest.raises(
        AnnotationError, match="line 1: no column 'end_s', found: path, start_s, end,"
    ):
        read_segment_csv(write("mine.csv", "path,start_s,end,label\na,1,2,x\n"))


def test_video_scores_are_read_with_or_without_results_and_nesting(write):
    read = read_video_scores(write("s.json", {"results": {"a": [0.1, 0.9], "b": [[0.5, 0.5]]}}))

    assert {video: row.tolist() for video, row in read.items()} == {
        "a": [0.1, 0.9],
        "b": [0.5, 0.5],
    }
    assert all(row.dtype == np.float64 for row in read.values())


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "expected an object with scores"),
        ({"a": [0.1, "x"]}, r"s.json, video a: scores are \[0.1, 'x'\], expected numbers"),
        ({"a": []}, r"s.json, video a: expected finite scores, found \[\]"),
        ({"a": [1, 2], "b": [1]}, "s.json, video b: has 1 scores, the first video 2"),
    ],
)
def test_what_is_wrong_with_video_scores_is_named(write, document, message):
    with pytest.raises(AnnotationError, match=message):
        read_video_scores(write("s.json", document))
