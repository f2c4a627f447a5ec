"""The union of classes and the published row orders, on the real lists and on small ones."""

from __future__ import annotations

import json

import pytest

from internvideo.data.annotations import files
from internvideo.data.class_maps import (
    RENAMED,
    ROW_ORDERS,
    ClassMaps,
    named_rows,
    read_class_maps,
    read_renamed,
    unite_classes,
)
from internvideo.errors import AnnotationError, ConfigError

VINTAGES = ("k400", "k600", "k700")


def newer(name):
    return RENAMED.get(name, name)


@pytest.fixture(scope="module")
def kinetics(real_annotations):
    return real_annotations / "kinetics"


@pytest.fixture(scope="module")
def classes(kinetics):
    return {v: files.class_names(kinetics / f"label_map_{v}.txt") for v in VINTAGES}


@pytest.fixture(scope="module")
def rows(kinetics):
    return files.class_names(kinetics / "label_map_k710.txt")


def test_the_union_of_the_real_lists_is_the_published_one(classes, rows):
    names = unite_classes(classes).names

    assert len(names) == len(rows) == 710
    assert set(names) == set(map(newer, rows))


@pytest.mark.parametrize("vintage", VINTAGES)
def test_our_maps_agree_with_the_published_ones_class_by_class(kinetics, classes, rows, vintage):
    united = unite_classes(classes)
    published = json.loads((kinetics / f"map_{vintage}.json").read_text())

    ours = [united.names[row] for row in united.rows[vintage]]

    assert ours == [newer(rows[row]) for row in published]


def test_all_fifteen_renamings_are_needed(classes):
    found = {name for names in classes.values() for name in names}

    assert len(RENAMED) == 15
    assert set(RENAMED) <= found
    assert set(RENAMED.values()) <= found


def test_mmaction2_rows_keep_their_published_names(kinetics, classes, rows):
    assert read_class_maps(kinetics, "mmaction2", classes).names == rows


@pytest.mark.parametrize("order", ROW_ORDERS)
def test_the_classes_that_vintages_share_are_the_same_number_in_every_order(
    kinetics, classes, order
):
    def shared(maps):
        sets = {vintage: set(found) for vintage, found in maps.rows.items()}
        return [len(sets[a] & sets[b]) for a in VINTAGES for b in VINTAGES]

    published = read_class_maps(kinetics, order)

    assert published.num_rows == 710
    assert shared(published) == shared(unite_classes(classes))


@pytest.mark.parametrize("order", ["internvideo", "videomae-v2"])
def test_alphabetical_lists_are_refused_for_maps_that_count_otherwise(kinetics, classes, order):
    with pytest.raises(AnnotationError, match=r"row 121 is '.*' in k400 and 'abseiling' in k600.*"):
        read_class_maps(kinetics, order, classes)


def test_an_unknown_order_names_the_nearest(kinetics):
    with pytest.raises(ConfigError, match=r"unknown row order 'mmaction'.*'mmaction2'"):
        read_class_maps(kinetics, "mmaction")


def test_rows_are_named_by_place_and_not_by_spelling():
    maps = ClassMaps(rows={"old": (1, 0), "new": (2, 1)}, names=("run", "throwing ball", "swim"))
    classes = {
        "old": ("throwing ball", "run"),
        "new": ("swim", "throwing ball (not baseball or American football)"),
    }

    assert named_rows(maps, classes).names == maps.names


def test_rows_without_published_names_are_named_by_their_classes():
    maps = ClassMaps(rows={"old": (1, 0), "new": (2, 1)})

    named = named_rows(maps, {"old": ("hugging", "run"), "new": ("swim", "hugging (not baby)")})

    assert named.names == ("run", "hugging (not baby)", "swim")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"old": ("a",)}, "old has 1 classes, its map has 2; give the whole list"),
        ({"older": ("a", "b")}, "unknown version of the class maps 'older'; did you mean 'old'"),
        ({"old": ("a", "b")}, "row 2 has no name, as 1 rows in all"),
    ],
)
def test_classes_that_do_not_fit_the_maps_are_refused(classes, message):
    maps = ClassMaps(rows={"old": (1, 0), "new": (2, 1)})

    with pytest.raises(ValueError, match=message):
        named_rows(maps, classes)


def test_two_classes_that_get_one_name_are_refused():
    with pytest.raises(ConfigError, match="k400: 'sipping cup' is the name of two classes"):
        unite_classes({"k400": ("drinking", "sipping cup")})


@pytest.mark.parametrize("text", ["[0, 1, 1]", "{}", "[]", "[0, -1]", "[true, 2]"])
def test_a_map_that_is_no_list_of_rows_is_refused(tmp_path, text):
    (tmp_path / "label_mixto600.json").write_text(text)

    with pytest.raises(
        AnnotationError, match=r"600.json: expected a list of different rows, found"
    ):
        read_class_maps(tmp_path, "internvideo")


def test_a_missing_map_is_named(tmp_path):
    with pytest.raises(AnnotationError, match=r"map_k400.json: there is no such annotation file"):
        read_class_maps(tmp_path, "mmaction2")


def test_a_list_of_rows_must_be_as_long_as_the_maps_say(tmp_path):
    for number, vintage in enumerate(VINTAGES):
        (tmp_path / f"map_{vintage}.json").write_text(f"[{number}]")
    (tmp_path / "label_map_k710.txt").write_text("a\nb\n")

    with pytest.raises(AnnotationError, match=r"k710.txt names 2 rows, the maps have 3"):
        read_class_maps(tmp_path, "mmaction2")


def test_renamings_are_read_from_a_csv_with_a_mark_of_byte_order(tmp_path):
    (tmp_path / "renamed.csv").write_text('old,new\n"a, b",跳舞\n', encoding="utf-8-sig")

    assert read_renamed(tmp_path / "renamed.csv") == {"a, b": "跳舞"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "line 1: expected the header old,new, found a,b"),
        ("old,new\na\n", "line 2: expected two names, found 'a'"),
    ],
)
def test_what_is_wrong_with_renamings_is_named(tmp_path, text, message):
    (tmp_path / "renamed.csv").write_text(text)

    with pytest.raises(AnnotationError, match=message):
        read_renamed(tmp_path / "renamed.csv")
