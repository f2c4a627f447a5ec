"""Readers of data sets stored as folders of frames, and of Moments in Time."""

from __future__ import annotations

from collections import Counter

import pytest
from PIL import Image

from internvideo.data import ANNOTATIONS, VideoData
from internvideo.data.annotations import (
    read_frame_list,
    read_frame_ranges,
    read_moments,
    read_something_v1,
)
from internvideo.errors import AnnotationError
from internvideo.video import open_video


@pytest.fixture
def write(tmp_path):
    def write_text(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write_text


def frames(folder, template, first, count):
    """Frames of a folder; the i-th is grey at level 10 * i."""
    folder.mkdir(parents=True)
    for i in range(count):
        Image.new("RGB", (32, 32), (10 * i,) * 3).save(folder / template.format(first + i))


def levels(annotations):
    """Grey levels of all frames of the first record."""
    with open_video(annotations.records[0]) as video:
        frames = video.frames(range(video.num_frames)).frames
    return [round(level / 10) for level in frames.float().mean((1, 2, 3)).tolist()]


@pytest.mark.parametrize(
    ("template", "first"), [("{:05}.jpg", 1), ("img_{:05}.jpg", 1), ("frame{}.png", 0)]
)
def test_a_frame_list_shows_all_frames_whatever_they_are_numbered_from(
    tmp_path, write, template, first
):
    frames(tmp_path / "my 12", template, first, 4)
    path = write("somesomev1_rgb_train_split.txt", "my 12 4 1\n")

    read = read_frame_list(path, template=template, first_frame=first)

    assert levels(read) == [0, 1, 2, 3]


def test_a_frame_range_shows_its_frames_alone(tmp_path, write):
    frames(tmp_path / "7", "img_{:05}.jpg", 0, 6)

    read = read_frame_ranges(write("train.txt", "7 2 5 1\n"))

    assert levels(read) == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("7 5 2 1", "line 1: no frame lies from 5 to 2"),
        ("7 a 2 1", "line 1: a frame is 'a', expected a whole number"),
        ("7 2 1", "line 1: expected 'folder first last label', found '7 2 1'"),
    ],
)
def test_what_is_wrong_with_a_frame_range_is_named(write, line, message):
    with pytest.raises(AnnotationError, match=message):
        read_frame_ranges(write("train.txt", line))


def test_class_names_of_a_list_come_from_a_file_beside_it(tmp_path, write):
    write("names.txt", "跑步, fast\njump\n")
    config = VideoData(
        source="train.txt",
        format="frame-list",
        root=str(write("train.txt", "7 2 1\n").parent),
        options={"classes": "names.txt", "template": "{:05}.jpg"},
    )
    frames(tmp_path / "7", "{:05}.jpg", 1, 2)

    assert config.read().classes == ("跑步, fast", "jump")


@pytest.fixture
def something(write):
    write("something-something-v1-labels.csv", "Holding something\nMoving something, up\n")
    write("something-something-v1-train.csv", "7;Moving something, up\n")
    write("something-something-v1-validation.csv", "8;Holding something\n")
    return write("something-something-v1-test.csv", "9\n").parent


def test_version_one_has_ids_and_classes_parted_by_semicolons(something):
    read = read_something_v1(something, root="s")

    assert read.classes == ("Holding something", "Moving something, up")
    assert [(r.video.as_posix(), r.label, r.split) for r in read.records] == [
        ("s/9", None, "test"),
        ("s/7", 1, "train"),
        ("s/8", 0, "val"),
    ]


def test_version_one_counts_the_frames_of_a_folder(something):
    frames(something / "9", "{:05}.jpg", 1, 3)

    assert levels(read_something_v1(something)) == [0, 1, 2]


def test_an_unknown_class_of_version_one_is_named(something, write):
    write("something-something-v1-train.csv", "7;Holding somethin\n")

    with pytest.raises(AnnotationError, match=r"train.csv, line 1.*did you mean 'Holding some"):
        read_something_v1(something)


@pytest.mark.parametrize("missing", ["labels", "lists"])
def test_version_one_names_the_files_that_it_wants(something, missing):
    for path in something.glob("*.csv"):
        if (missing == "labels") == ("labels" in path.name):
            path.unlink()

    with pytest.raises(AnnotationError, match=r"ends in labels.csv|no entries in train.csv"):
        read_something_v1(something)


def test_moments_are_found_in_the_folders_of_their_splits(write):
    write("moments_categories.txt", "clapping,1\nadult+female+singing,0\n")
    write("trainingSet.csv", "clapping/a.mp4,clapping,3,1\n")
    folder = write("validationSet.csv", "adult+female+singing/b.mp4,adult+female+singing\n").parent
    write("training/clapping/a.mp4", "")

    read = read_moments(folder)

    assert read.classes == ("adult+female+singing", "clapping")
    assert [(r.video.relative_to(folder).as_posix(), r.label, r.split) for r in read.records] == [
        ("training/clapping/a.mp4", 1, "train"),
        ("validation/adult+female+singing/b.mp4", 0, "val"),
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds none of moments_categories.txt and label_map.txt"),
        ({"label_map.txt": "clapping\n"}, "holds neither trainingSet.csv nor validationSet.csv"),
        (
            {"label_map.txt": "clapping\n", "trainingSet.csv": "a.mp4,claping\n"},
            "trainingSet.csv, line 1: class 'claping' is in no list of classes; did you mean 'cla",
        ),
    ],
)
def test_what_is_wrong_with_moments_is_named(tmp_path, write, files, message):
    for name, text in files.items():
        write(name, text)

    with pytest.raises(AnnotationError, match=message):
        read_moments(tmp_path)


def test_the_real_lists_of_jester(real_annotations):
    read = read_something_v1(real_annotations / "jester_v1")

    assert len(read.classes) == 27
    assert Counter(r.split for r in read.records) == {"train": 3000, "val": 3000, "test": 500}
    assert read.classes[read.records[500].labels[0]] == "Drumming Fingers"


def test_the_real_frame_ranges_of_something_something(real_annotations):
    folder = real_annotations / "something_something_v2"

    read = read_frame_ranges(
        folder / "something-something-v2-validation-processed.txt", classes="label_map.txt"
    )

    assert (len(read.records), len(read.classes)) == (2000, 174)
    assert (read.records[0].video.name, read.records[0].num_frames) == ("74225", 58)


def test_the_real_classes_of_moments(real_annotations, write):
    write("trainingSet.csv", "clapping/a.mp4,clapping,3,1\n")
    for name, count in (("label_map.txt", 339), ("category_momentsv2.txt", 305)):
        text = (real_annotations / "moments_in_time" / name).read_text()
        folder = write(name, text).parent

        assert len(read_moments(folder).classes) == count
        (folder / name).unlink()


def test_every_format_is_named_in_the_documents():
    from tests.architecture.arrows import PACKAGE

    documents = "".join(path.read_text() for path in (PACKAGE.parent / "docs").rglob("*.md"))

    assert not [name for name in ANNOTATIONS if f"`{name}`" not in documents]
