"""Readers of boxes: the published formats, one's own, and every mistake in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from internvideo.data import ANNOTATIONS, read_detections
from internvideo.data.annotations import read_label_map
from internvideo.data.annotations.boxes import VideoIndex
from internvideo.errors import AnnotationError
from internvideo.video import write_video

MAP = "1: sit\n2: stand\n5: run\n"


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def read_csv(folder: Path, rows: str, **options):
    write(folder, "map.txt", MAP)
    return ANNOTATIONS["ava"](write(folder, "ava.csv", rows), label_map="map.txt", **options)


def test_rows_of_one_box_become_its_labels(tmp_path):
    read = read_csv(tmp_path, "a,0902,0.1,0.2,0.5,0.9,1,7\na,902,0.1,0.2,0.5,0.9,5,7\n")

    assert read.classes == ("sit", "stand", "run")
    (record,) = read.records
    assert (record.video, record.key_s) == (tmp_path / "a.mp4", 902.0)
    ((box,),) = [record.boxes]
    assert (box.labels, box.actor, box.xyxy) == ((0, 2), 7, (0.1, 0.2, 0.5, 0.9))


def test_the_published_lists_and_samples_are_read(real_annotations, caplog):
    folder = real_annotations / "ava"

    names = read_label_map(folder / "ava_action_list_v2.1_for_activitynet_2018.pbtxt.txt")
    plain = read_label_map(folder / "label_map.txt")
    read = ANNOTATIONS["ava"](
        folder / "ava_sample.csv",
        label_map="ava_action_list_v2.1_for_activitynet_2018.pbtxt.txt",
        excluded="ava_excluded_timestamps_sample.csv",
    )

    assert len(names) == 60 and names[12] == "stand"
    assert {number: names.get(number) for number in plain} == plain
    assert [record.key_s for record in read.records] == [902.0]  # two key frames are excluded
    assert read.classes[read.records[0].boxes[0].labels[0]] == "stand"


def test_actions_outside_of_the_list_are_left_out_and_counted(tmp_path, caplog):
    read = read_csv(tmp_path, "a,1,0.1,0.2,0.5,0.9,1,7\na,2,0.1,0.2,0.5,0.9,3,7\n")

    assert len(read.records) == 1
    assert "left out 1 boxes of actions that the list does not name, first" in caplog.text


def test_clips_of_kinetics_count_from_where_they_were_cut(tmp_path):
    (tmp_path / "k").mkdir()
    for name in ("abc_000010_000020.mp4", "abc_000030_000040.mp4"):
        (tmp_path / "k" / name).touch()

    read = read_csv(tmp_path, "abc,35.5,0.1,0.2,0.5,0.9,1,0\n")

    (record,) = read.records
    assert (record.video.name, record.key_s) == ("abc_000030_000040.mp4", 5.5)


def test_a_folder_tells_splits_exclusions_and_names(tmp_path):
    for split in ("train", "val"):
        write(tmp_path, f"ava_{split}_v2.2.csv", "a,1,0.1,0.2,0.5,0.9,1,7\na,2,0,0,1,1,2,7\n")
    write(tmp_path, "ava_val_excluded_timestamps_v2.2.csv", "a,0002\n")
    write(tmp_path, "kinetics_train_v1.0.csv", "k,4,0.1,0.2,0.5,0.9,2,0\nk2,4,,,,,,\n")
    write(tmp_path, "list.pbtxt", 'item { name: "x" id: 1 }\nlabel { name: "y"\n label_id: 2\n}')

    read = ANNOTATIONS["ava"](tmp_path)

    assert read.classes == ("x", "y")
    assert [(r.video.stem, r.key_s, r.split) for r in read.records] == [
        ("a", 1.0, "train"),
        ("k", 4.0, "train"),
    ]


GOOD = "0.1,0.2,0.5,0.9"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"a,1,{GOOD}", "line 1: has 6 fields, expected video,second,x1,y1,x2,y2,action"),
        ("a,1,0.5,0.2,0.1,0.9,1,0", "has its corners swapped"),
        ("a,1,0.1,0.2,0.1,0.9,1,0", "has no area; leave it out"),
        ("a,1,0.1,0.2,1.4,0.9,1,0", "reaches out of the frame, which is 0 to 1"),
        ("a,1,1.01,0.2,1.015,0.9,1,0", "lies outside of the frame"),
        ("a,1,10,20,200,120,1,0", "seems to be in pixels; give fractions of the frame"),
        ("a,1,0.1,nan,0.5,0.9,1,0", "expected a number"),
        ("a,1,0.1,left,0.5,0.9,1,0", "box is 'left', expected a number"),
        (f"a,noon,{GOOD},1,0", "time is 'noon', expected seconds from 0 on"),
        (f"a,-1,{GOOD},1,0", "time is '-1', expected seconds"),
        (f"a,1,{GOOD},sit,0", "action is 'sit', expected a whole number"),
        (f"a,1,{GOOD},77,0", "is this the list of actions of another data set?"),
    ],
)
def test_a_wrong_row_is_one_line_with_its_place(tmp_path, row, said):
    with pytest.raises(AnnotationError) as error:
        read_csv(tmp_path, row + "\n")

    assert said in str(error.value) and "ava.csv" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('item { name: "x" }', "item 1: has no name or no id"),
        ("1: a\n1: b", "line 2: id 1 is there already"),
        ("sit", "line 1: is 'sit', expected `id: name`"),
    ],
)
def test_a_wrong_list_of_actions_is_refused(tmp_path, text, said):
    with pytest.raises(AnnotationError, match=said):
        read_label_map(write(tmp_path, "list.txt", text))


COCO = {
    "categories": [{"id": 1, "name": "wave"}, {"id": 4, "name": "point"}],
    "videos": [{"id": 1, "file_name": "a.mp4", "fps": 10}],
    "images": [
        {"id": 5, "video_id": 1, "frame_id": 20, "width": 200, "height": 100},
        {"id": 6, "movie": "b", "timestamp": 3, "width": 200, "height": 100},
    ],
    "annotations": [
        {"image_id": 5, "category_id": 4, "bbox": [20, 10, 100, 50], "track_id": 2},
        {"image_id": 6, "action_ids": [1, 4], "bbox": [0, 0, 200, 100]},
    ],
}


def test_coco_with_videos_is_read(tmp_path):
    read = ANNOTATIONS["coco-video"](write(tmp_path, "c.json", json.dumps(COCO)), split="train")

    assert read.classes == ("wave", "point")
    assert [(r.video.name, r.key_s, r.split) for r in read.records] == [
        ("a.mp4", 2.0, "train"),
        ("b.mp4", 3.0, "train"),
    ]
    first, second = (record.boxes[0] for record in read.records)
    assert (first.xyxy, first.labels, first.actor) == ((0.1, 0.1, 0.6, 0.6), (1,), 2)
    assert second.labels == (0, 1)


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("annotations", {"image_id": 9}, "annotation 0: image_id 9 is of no image"),
        ("annotations", {"bbox": [20, 10, -5, 50]}, "annotation 0: box .* corners swapped"),
        ("annotations", {"bbox": [20, 10]}, "expected x, y, width, height"),
        ("annotations", {"category_id": "wave"}, "annotation 0: 'wave' is no whole number"),
        ("images", {"frame_id": None}, "image 0: has no `timestamp`, nor `frame_id`"),
        ("images", {"width": 0}, "image 0: a frame of 0 x 100 pixels"),
        ("images", {"video_id": 3}, "image 0: names no video"),
    ],
)
def test_a_wrong_coco_entry_is_named(tmp_path, part, change, said):
    document = json.loads(json.dumps(COCO))
    document[part][0] |= change

    with pytest.raises(AnnotationError, match=said):
        ANNOTATIONS["coco-video"](write(tmp_path, "c.json", json.dumps(document)))


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<meta><task><original_size><width>64</width><height>32</height></original_size>
<source>a.mp4</source></task></meta>
<track id="0" label="person">
<box frame="0" outside="0" xtl="0" ytl="0" xbr="32" ybr="32">
<attribute name="action">sit, wave</attribute></box>
<box frame="4" outside="0" xtl="0" ytl="0" xbr="32" ybr="32">
<attribute name="action">sit</attribute></box>
<box frame="10" outside="1" xtl="0" ytl="0" xbr="32" ybr="32"></box>
</track>
<track id="1" label="dog">
<box frame="10" outside="0" xtl="16" ytl="8" xbr="64" ybr="32"></box>
</track>
</annotations>
"""


@pytest.fixture
def cvat(tmp_path):
    write_video(tmp_path / "a.mp4", iter([np.zeros((32, 64, 3), np.uint8)] * 21), 10)
    return tmp_path


def test_tracks_of_cvat_give_a_key_frame_every_second(cvat):
    read = ANNOTATIONS["cvat-video"](write(cvat, "c.xml", CVAT))

    assert read.classes == ("dog", "sit", "wave")
    assert [(r.key_s, [b.labels for b in r.boxes]) for r in read.records] == [
        (0.0, [(1, 2)]),
        (1.0, [(0,)]),
    ]
    assert read.records[1].boxes[0].xyxy == (0.25, 0.25, 1.0, 1.0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<annotations>", "<!DOCTYPE x><annotations>", "defines entities"),
        ("</annotations>", "", "is not xml"),
        ("<source>a.mp4</source>", "", "export as 'CVAT for video 1.1'"),
        ('xbr="32"', 'xbr="wide"', "frame 0: 'wide' is no number"),
        ('frame="4"', 'frame="400"', "frame 400: the video a.mp4 has 21 frames"),
    ],
)
def test_a_wrong_xml_is_one_line(cvat, old, new, said):
    with pytest.raises(AnnotationError, match=said):
        ANNOTATIONS["cvat-video"](write(cvat, "c.xml", CVAT.replace(old, new, 1)))


def detections(folder: Path, name: str, text: str, **options):
    return read_detections(write(folder, name, text), VideoIndex(folder), **options)


def test_detections_of_all_three_forms_agree(tmp_path):
    images = write(tmp_path, "images.json", json.dumps({"images": COCO["images"][1:]}))
    row = {"bbox": [20, 10, 100, 50], "score": 0.9}

    of_csv = detections(tmp_path, "d.csv", "b,3,0.1,0.1,0.6,0.6,,0.9\nb,3,0.1,0.1,0.6,0.6,,0.9\n")
    of_ava = detections(
        tmp_path, "d.json", json.dumps([{"image_id": 6, **row}]), images=str(images)
    )
    of_kinetics = detections(
        tmp_path,
        "k.json",
        json.dumps([{"video_id": "b", "timestamp": 3, "bbox": [0.1, 0.1, 0.6, 0.6], "score": 0.9}]),
    )

    for found in (of_csv, of_ava, of_kinetics):
        ((moment, boxes),) = found.items()
        assert moment == (tmp_path / "b.mp4", 3.0)
        assert boxes.xyxy.tolist() == [[0.1, 0.1, 0.6, 0.6]]
        assert boxes.scores.tolist() == [0.9]


def test_scores_of_0_and_1_are_taken_without_actions(tmp_path):
    found = detections(tmp_path, "d.csv", f"b,3,{GOOD},,1\nb,4,{GOOD},,0\n")

    assert [boxes.scores.tolist() for boxes in found.values()] == [[1.0], [0.0]]


def test_detections_that_reach_out_are_cut(tmp_path):
    found = detections(tmp_path, "d.csv", "b,3,-0.1,0.5,0.6,1.2,0.4\n")

    assert next(iter(found.values())).xyxy.tolist() == [[0.0, 0.5, 0.6, 1.0]]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"b,3,{GOOD},,nan", "line 1: score is 'nan', expected a number"),
        (f"b,3,{GOOD},12,17", "score is 17, expected 0 to 1; is this a file of annotations?"),
        (f"b,3,{GOOD},12,0\nb,4,{GOOD},9,1", "line 1: the last field is 0 or 1 beside an action"),
        (f"b,3,{GOOD},,high", "score is 'high', expected a number"),
        ("b,3,2,3,90,80,,0.5", "seems to be in pixels"),
        ("b,3,0.5,0.2,0.1,0.9,,0.5", "corners swapped"),
        ("b,3,1.2,0.2,1.4,0.9,,0.5", "lies outside of the frame"),
        ("path,label", "has 2 fields, expected video,second,x1,y1,x2,y2 and a score"),
    ],
)
def test_a_wrong_detection_is_one_line(tmp_path, row, said):
    with pytest.raises(AnnotationError) as error:
        detections(tmp_path, "d.csv", row + "\n")

    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"image_id": 1, "bbox": [0, 0, 1, 1], "score": 1}, "name that json with --images"),
        ({"bbox": [0, 0, 1, 1], "score": 1}, "expected image_id, or video_id with timestamp"),
        ({"video_id": "b", "timestamp": 1, "bbox": [1], "score": 1}, "expected x1, y1, x2, y2"),
        ({"video_id": "b", "timestamp": 1, "bbox": [0, 0, 1, 1], "score": "x"}, "score is 'x'"),
    ],
)
def test_a_wrong_entry_of_detections_is_named(tmp_path, entry, said):
    with pytest.raises(AnnotationError, match=f"entry 0: .*{said}"):
        detections(tmp_path, "d.json", json.dumps([entry]))


def test_a_video_whose_name_is_there_twice_is_refused(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.mp4").touch()

    with pytest.raises(AnnotationError, match=r"a may be .*; give their folder as root"):
        VideoIndex(tmp_path).find("a", 1.0)
