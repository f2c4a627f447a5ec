"""Ego4D's files as records, on small files in its formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from internvideo.data import ANNOTATIONS
from internvideo.errors import AnnotationError


def _write(path: Path, document: Any) -> str:
    path.write_text(json.dumps(document))
    return str(path)


def test_a_query_is_a_caption_with_the_span_that_answers_it(tmp_path: Path) -> None:
    asked = {"query": "Where is the cup?", "clip_start_sec": 1.5, "clip_end_sec": 4}
    clip = {"clip_uid": "c1", "annotations": [{"language_queries": [asked, {"query": None}]}]}
    document = {"split": "val", "videos": [{"video_uid": "v", "clips": [clip]}]}
    found = ANNOTATIONS["ego4d-queries"](_write(tmp_path / "nlq_val.json", document))
    (record,) = found.records
    assert record.captions == ("Where is the cup?",)
    assert (record.segments[0].start_s, record.segments[0].end_s) == (1.5, 4.0)
    assert (record.video.name, record.split, record.start_s) == ("c1.mp4", "val", None)
    (answer,) = ANNOTATIONS["ego4d-queries"](str(tmp_path / "nlq_val.json"), part="answer").records
    assert (answer.start_s, answer.end_s) == (1.5, 4.0)
    with pytest.raises(AnnotationError, match="part is 'whole', expected clip or answer"):
        ANNOTATIONS["ego4d-queries"](str(tmp_path / "nlq_val.json"), part="whole")


def test_hands_are_points_in_fractions_of_the_frame(tmp_path: Path) -> None:
    action = {
        "pre_45": {"frame": 30, "boxes": [{"left_hand": [960, 720]}]},
        "contact_frame": {"frame": 75, "boxes": [{"right_hand": [0, 1440]}]},
    }
    document = {"split": "train", "clips": [{"clip_uid": "c1", "frames": [action]}]}
    path = _write(tmp_path / "fho_hands_train.json", document)
    (record,) = ANNOTATIONS["ego4d-hands"](path).records
    left, right = record.boxes
    assert (left.xyxy, left.actor, left.time_s) == ((0.5, 0.5, 0.5, 0.5), 0, 1.0)
    assert (right.xyxy, right.actor, right.time_s) == ((0.0, 1.0, 0.0, 1.0), 1, 2.5)
    assert (left.labels, right.labels) == ((0,), (4,))  # the first and the last moment
    assert (record.start_s, record.end_s) == (0.0, 1.0)
    with pytest.raises(AnnotationError, match="give width_px and height_px"):
        ANNOTATIONS["ego4d-hands"](path, width_px=640, height_px=480)


def test_objects_of_change_are_boxes_and_other_things_are_not(tmp_path: Path) -> None:
    box = {"x": 10, "y": 20, "width": 30, "height": 40}
    changed = {"object_type": "object_of_change", "structured_noun": "cup", "bbox": box}
    hand = {"object_type": "left_hand", "structured_noun": None, "bbox": box}
    frame = {"frame_number": 90, "width": 100, "height": 100, "bbox": [changed, hand]}
    document = {"split": "train", "clips": [{"clip_uid": "c1", "pnr_frame": frame}]}
    found = ANNOTATIONS["ego4d-state-changes"](_write(tmp_path / "fho_scod_train.json", document))
    (box_found,) = found.records[0].boxes
    assert box_found.xyxy == pytest.approx((0.1, 0.2, 0.4, 0.6))
    assert (box_found.time_s, found.classes, box_found.labels) == (3.0, ("cup",), (0,))
    assert found.records[0].key_s == 3.0


def test_classes_of_what_changes_are_those_of_both_files(tmp_path: Path) -> None:
    box = {"x": 0, "y": 0, "width": 9, "height": 9}
    for split, noun in (("train", "pot"), ("val", "cup")):
        one = {"object_type": "object_of_change", "structured_noun": noun, "bbox": box}
        frame = {"frame_number": 9, "width": 9, "height": 9, "bbox": [one]}
        clip = {"clip_uid": split, "pre_frame": frame, "pnr_frame": {**frame, "bbox": []}}
        _write(tmp_path / f"fho_scod_{split}.json", {"split": split, "clips": [clip]})
    found = ANNOTATIONS["ego4d-state-changes"](str(tmp_path / "fho_scod_val.json"))
    assert found.classes == ("cup", "pot")
    (record,) = found.records  # a frame without such an object is none
    assert record.boxes[0].labels == (0,)


def test_anticipation_pairs_each_box_with_its_verb_and_time(tmp_path: Path) -> None:
    one = {"box": [0, 0, 50, 50], "noun_category_id": 1, "verb_category_id": 0}
    entry = {
        "video_uid": "v",
        "clip_uid": "c1",
        "clip_frame": 60,
        "objects": [{**one, "time_to_contact": 0.8}],
    }
    document = {
        "split": "train",
        "info": {"video_metadata": {"v": {"fps": 30, "frame_width": 100, "frame_height": 50}}},
        "noun_categories": [{"id": 0, "name": "cup"}, {"id": 1, "name": "knife"}],
        "verb_categories": [{"id": 0, "name": "take"}],
        "annotations": [entry],
    }
    path = tmp_path / "fho_sta_train.json"
    found = ANNOTATIONS["ego4d-anticipation"](_write(path, document))
    (record,) = found.records
    assert found.classes == ("cup", "knife", "take")
    assert record.boxes[0].xyxy == (0.0, 0.0, 0.5, 1.0)
    assert (record.boxes[0].labels, record.end_s) == ((1,), 2.0)
    assert found.classes[record.segments[0].label or 0] == "take"
    assert record.segments[0].end_s == pytest.approx(2.8)
    document["annotations"] = [{**entry, "objects": [{**one, "time_to_contact": 1, "box": [1, 2]}]}]
    with pytest.raises(AnnotationError, match="annotation 0: box is"):
        ANNOTATIONS["ego4d-anticipation"](_write(path, document))


@pytest.mark.parametrize(
    "name", ["ego4d-queries", "ego4d-hands", "ego4d-state-changes", "ego4d-anticipation"]
)
@pytest.mark.parametrize(
    "document", [[], {}, {"videos": [], "clips": []}, {"videos": [3], "clips": [3]}]
)
def test_another_file_is_refused_by_name(tmp_path: Path, name: str, document: Any) -> None:
    path = tmp_path / "other.json"
    with pytest.raises(AnnotationError, match=r"other\.json"):
        ANNOTATIONS[name](_write(path, document))


_QUERY = {"query": "Where?", "clip_start_sec": 0, "clip_end_sec": 1}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"clip_start_sec": float("inf"), "clip_end_sec": float("inf")}, "clip_start_sec is inf"),
        ({"clip_start_sec": -2}, "clip_start_sec is -2, expected a number of 0 or more"),
        ({"clip_end_sec": "soon"}, "clip_end_sec is 'soon'"),
        ({"clip_start_sec": 3}, "lasts from 3.0 s to 1.0 s"),
    ],
)
def test_impossible_times_of_a_query_are_named(
    tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    clip = {"clip_uid": "c1", "annotations": [{"language_queries": [{**_QUERY, **changed}]}]}
    path = _write(tmp_path / "nlq_val.json", {"split": "val", "videos": [{"clips": [clip]}]})
    with pytest.raises(AnnotationError, match=told):
        ANNOTATIONS["ego4d-queries"](path)


def test_both_hands_in_one_entry_are_two_boxes(tmp_path: Path) -> None:
    both = {"left_hand": [0, 0], "right_hand": [1920, 1440]}
    action = {"pre_45": {"frame": 30, "boxes": [both]}}
    document = {"split": "train", "clips": [{"clip_uid": "c1", "frames": [action]}]}
    (record,) = ANNOTATIONS["ego4d-hands"](_write(tmp_path / "hands.json", document)).records
    assert [box.actor for box in record.boxes] == [0, 1]
    action["pre_45"]["frame"] = -30
    with pytest.raises(AnnotationError, match="frame is -30"):
        ANNOTATIONS["ego4d-hands"](_write(tmp_path / "hands.json", document))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"x": 200}, r"lies outside the frame of 100 x 100 px"),
        ({"width": -30}, "has no area"),
        ({"height": float("nan")}, "height is nan"),
    ],
)
def test_impossible_boxes_are_named(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    box = {"x": 10, "y": 20, "width": 30, "height": 40, **changed}
    thing = {"object_type": "object_of_change", "structured_noun": "cup", "bbox": box}
    frame = {"frame_number": 90, "width": 100, "height": 100, "bbox": [thing]}
    document = {"split": "train", "clips": [{"clip_uid": "c1", "pnr_frame": frame}]}
    with pytest.raises(AnnotationError, match=told):
        ANNOTATIONS["ego4d-state-changes"](_write(tmp_path / "scod.json", document))
