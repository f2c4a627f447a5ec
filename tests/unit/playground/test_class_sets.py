"""Vintages and unknown classes: who is told of what, and that no evaluation is trained on."""

from __future__ import annotations

import csv
from collections import Counter

import pytest

from internvideo.playground import (
    ACTIONS,
    PAIRS,
    RENAMED_CLASSES,
    UNKNOWN_ACTIONS,
    VINTAGES,
    World,
    draw_facts,
)
from internvideo.playground.annotations import annotation_files
from internvideo.playground.compose import place_of

WORLD = World(seed=1, rate_fps=4)


@pytest.fixture(scope="module")
def drawn():
    return [draw_facts(index, WORLD) for index in range(290)]


@pytest.fixture(scope="module")
def tables(drawn):
    return {
        name: list(csv.DictReader(text.splitlines()))
        for name, text in annotation_files(drawn)
        if name.startswith(("vintages/", "open_set")) and name.endswith(".csv")
    }


def ids(tables, name):
    return {row["youtube_id"] for row in tables[f"vintages/{name}.csv"]}


def test_classes_are_renamed_split_merged_dropped_and_added():
    early, middle, late = (VINTAGES[name].classes for name in ("early", "middle", "late"))

    assert set(RENAMED_CLASSES) <= {*early.values(), *middle.values()}
    assert set(RENAMED_CLASSES.values()) <= {*middle.values(), *late.values()}
    assert early["turn_clockwise"] == early["turn_anticlockwise"]
    assert middle["turn_clockwise"] != middle["turn_anticlockwise"]
    assert middle["hide"] != middle["pass_behind"]
    assert late["hide"] == late["pass_behind"]
    assert set(early) - set(late) == {"zigzag"}
    assert set(early) < set(middle) < set(ACTIONS)


def test_every_vintage_has_its_own_splits():
    for vintage in VINTAGES.values():
        places = [place for split in vintage.places.values() for place in split]
        assert len(places) == len(set(places))


def test_some_videos_to_train_on_are_evaluated_on_in_another_vintage(tables):
    early, middle, late = (ids(tables, f"{name}/train") for name in VINTAGES)

    assert early & ids(tables, "middle/val")
    assert early & middle & ids(tables, "late/val")
    assert late & ids(tables, "middle/val")


def test_some_videos_are_in_the_training_lists_of_several_vintages(tables):
    early, middle, late = (ids(tables, f"{name}/train") for name in VINTAGES)

    assert early & middle & late
    assert middle & late - early


def test_test_lists_have_no_labels(tables):
    assert list(tables["vintages/late/test.csv"][0]) == [
        *("youtube_id", "time_start", "time_end", "split")
    ]


def test_labels_are_those_of_the_vintage(tables, drawn):
    action_of = {one.id: one.action for one in drawn}

    for row in tables["vintages/early/train.csv"]:
        assert row["label"] == VINTAGES["early"].classes[action_of[row["youtube_id"]]]


def test_true_test_videos_are_trained_on_in_no_vintage(drawn):
    held_out = {place_of(one.index) for one in drawn if one.split != "train"}

    assert not any(vintage.places["train"] & held_out for vintage in VINTAGES.values())


def test_unknown_classes_are_whole_pairs_and_known_ones_remain_in_pairs():
    for first, second in PAIRS:
        assert (first in UNKNOWN_ACTIONS) == (second in UNKNOWN_ACTIONS)
    assert len(UNKNOWN_ACTIONS) == 8
    assert set(ACTIONS) > UNKNOWN_ACTIONS


def test_no_video_of_an_unknown_class_is_there_to_train_on(tables, drawn):
    known, unknown = (tables[f"open_set_{kind}.csv"] for kind in ("known", "unknown"))

    assert {row["label"] for row in known} == set(ACTIONS) - UNKNOWN_ACTIONS
    assert {row["label"] for row in unknown} == UNKNOWN_ACTIONS
    assert Counter(row["split"] for row in unknown) == {"val": 8, "test": 16}
    assert Counter(row["split"] for row in known) == {"train": 147, "val": 21, "test": 42}
