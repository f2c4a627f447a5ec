"""Our manifest and folders of videos."""

from __future__ import annotations

from pathlib import Path

import pytest

from internvideo.data import manifest_from_folder, write_manifest
from internvideo.data.annotations import read_folder, read_manifest
from internvideo.errors import AnnotationError, ConfigError
from internvideo.values import Annotations, Record


@pytest.fixture
def write(tmp_path):
    def write_text(text, name="videos.csv", encoding="utf-8"):
        (tmp_path / name).write_bytes(text.encode(encoding))
        return tmp_path / name

    return write_text


def _touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_cell_holds_several_labels_where_a_separator_is_given(tmp_path):
    path = tmp_path / "several.csv"
    path.write_text("path,label\na.mp4,run|jump |run\nb.mp4,\nc.mp4,sit\n")

    one, several = (read_manifest(path, label_separator=mark) for mark in ("", "|"))

    assert one.classes == ("run|jump |run", "sit")
    assert several.classes == ("jump", "run", "sit")
    assert [r.labels for r in several.records] == [(1, 0), (), (2,)]


@pytest.mark.parametrize("labels", [("run", "run|jump"), ("run|jump", "jump | sit")])
def test_several_labels_in_a_cell_do_not_become_a_class(labels, tmp_path):
    path = tmp_path / "several.csv"
    path.write_text("path,label\n" + "".join(f"{i}.mp4,{name}\n" for i, name in enumerate(labels)))

    with pytest.raises(
        AnnotationError, match=r"label 'run\|jump' holds several labels; finetune t"
    ):
        read_manifest(path)
    assert read_manifest(path, classes=labels).classes == labels


def test_paths_are_relative_to_the_manifest(write):
    path = write("path\na/b c.mp4\n/elsewhere/d.mp4\n")

    videos = [record.video for record in read_manifest(path).records]

    assert videos == [path.parent / "a/b c.mp4", Path("/elsewhere/d.mp4")]


def test_paths_are_relative_to_a_root_that_is_given(write):
    read = read_manifest(write("path\na.mp4\n"), root="videos")

    assert read.records[0].video == Path("videos/a.mp4")


def test_all_columns_are_read(write):
    read = read_manifest(
        write("split,caption,path,label,start_s,end_s\ntrain,A dog runs,a.mp4,run,1.5,4\n")
    )

    assert read.records[0] == Record(
        video=read.records[0].video,
        labels=(0,),
        captions=("A dog runs",),
        start_s=1.5,
        end_s=4.0,
        split="train",
    )
    assert read.classes == ("run",)


def test_classes_are_sorted_and_common_to_all_splits(write):
    read = read_manifest(write("path,label,split\na.mp4,run,train\nb.mp4,jump,val\n"))

    assert read.classes == ("jump", "run")
    assert [record.label for record in read.records] == [1, 0]


def test_labels_that_are_numbers_are_ids(write):
    read = read_manifest(write("path,label\na.mp4,10\nb.mp4,2\n"))

    assert [record.label for record in read.records] == [10, 2]
    assert len(read.classes) == 11


def test_a_record_may_have_no_label(write):
    read = read_manifest(write("path,label\na.mp4,run\nb.mp4,\n"))

    assert [record.label for record in read.records] == [0, None]


def test_byte_order_marks_windows_lines_quotes_and_chinese_are_read(write):
    path = write(
        'path,caption\r\n"视频, 一.mp4","a ""big"" dog, red"\r\n\r\n', encoding="utf-8-sig"
    )

    record = read_manifest(path).records[0]

    assert record.video.name == "视频, 一.mp4"
    assert record.captions == ('a "big" dog, red',)


def test_columns_of_other_names_can_be_mapped(write):
    path = write("file,class,label,frames\na.mp4,run,7,100\n")

    read = read_manifest(path, columns={"path": "file", "label": "class"})

    assert read.classes == ("run",)


def test_a_column_mapped_to_one_that_is_missing_names_the_nearest(write):
    path = write("file,klass\na.mp4,run\n")

    with pytest.raises(AnnotationError, match=r"line 1: no column 'class'.*did you mean 'klass'"):
        read_manifest(path, columns={"path": "file", "label": "class"})


def test_mapping_a_column_we_do_not_have_is_named(write):
    with pytest.raises(ConfigError, match=r"unknown manifest column 'lable'.*'label'"):
        read_manifest(write("path\na.mp4\n"), columns={"lable": "class"})


def test_a_manifest_without_paths_tells_what_it_found(write):
    with pytest.raises(AnnotationError, match=r"videos.csv, line 1: no column 'path'.*found: a, b"):
        read_manifest(write("a,b\n1,2\n"))


@pytest.mark.parametrize(
    ("slip", "meant"), [("lable", "label"), ("Label", "label"), ("start", "start_s")]
)
def test_a_misspelt_column_is_named_with_its_remedy(write, slip, meant):
    with pytest.raises(AnnotationError, match=f"column '{slip}' looks like '{meant}'; rename it"):
        read_manifest(write(f"path,{slip}\na.mp4,1\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("path,label\n", "has a header and no record"),
        ("path,label\na.mp4\n", "line 2: has 1 fields, the header has 2"),
        ("path,label\na.mp4,1\n,2\n", "line 3: path is empty"),
        ("path,start_s\na.mp4,soon\n", "line 2: start is 'soon', expected a number"),
        ("path,start_s,end_s\na.mp4,3,2\n", "line 2: start '3' and end '2'"),
        ('path,label\na.mp4,"run\n', "line 2: is not csv"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_named_with_its_line(write, text, message):
    with pytest.raises(AnnotationError, match=message):
        read_manifest(write(text))


def test_an_unknown_class_names_the_nearest(write):
    with pytest.raises(AnnotationError, match=r"line 2: label 'jmup'.*did you mean 'jump'"):
        read_manifest(write("path,label\na.mp4,jmup\n"), classes=("jump", "run"))


def test_a_missing_manifest_names_the_nearest_file(write):
    path = write("path\na.mp4\n")

    with pytest.raises(
        AnnotationError, match=r"no such annotation file; did you mean 'videos.csv'"
    ):
        read_manifest(path.with_name("vidoes.csv"))


def test_another_encoding_is_named(write):
    with pytest.raises(AnnotationError, match="is not UTF-8"):
        read_manifest(write("path\nä.mp4\n", encoding="latin-1"))


def test_class_folders_become_labels(tmp_path):
    _touch(tmp_path, "run/b.mp4", "run/a.MP4", "jump/deep/c.avi", "jump/notes.txt")

    read = read_folder(tmp_path)

    assert read.classes == ("jump", "run")
    assert [(r.video.name, r.label) for r in read.records] == [
        ("c.avi", 0),
        ("a.MP4", 1),
        ("b.mp4", 1),
    ]


def test_split_folders_above_class_folders_become_splits(tmp_path):
    _touch(tmp_path, "train/run/a.mp4", "validation/run/b.mp4")

    read = read_folder(tmp_path)

    assert read.classes == ("run",)
    assert [record.split for record in read.records] == ["train", "val"]


def test_a_video_outside_class_folders_is_named(tmp_path):
    _touch(tmp_path, "run/a.mp4", "b.mp4")

    with pytest.raises(AnnotationError, match=r"b.mp4: lies in no class folder; move it"):
        read_folder(tmp_path)


def test_a_folder_of_loose_videos_makes_a_manifest_without_labels(tmp_path):
    _touch(tmp_path, "run/a.mp4", "b.mp4")

    found = manifest_from_folder(tmp_path)

    assert found.classes == ()
    assert all(record.label is None for record in found.records)


def test_a_folder_without_videos_tells_what_was_looked_for(tmp_path):
    _touch(tmp_path, "a.txt")

    with pytest.raises(AnnotationError, match=r"holds no video file \(looked for .*\.mp4"):
        manifest_from_folder(tmp_path)


def test_a_written_manifest_reads_as_the_folder_did(tmp_path):
    _touch(tmp_path, "train/run, fast/a b.mp4", "val/jump/c.mp4")
    found = read_folder(tmp_path)

    write_manifest(found, tmp_path / "videos.csv")

    assert read_manifest(tmp_path / "videos.csv") == found
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train", "val", "videos.csv"]


def test_a_manifest_elsewhere_holds_absolute_paths(tmp_path):
    _touch(tmp_path, "videos/run/a.mp4")
    (tmp_path / "lists").mkdir()

    write_manifest(read_folder(tmp_path / "videos"), tmp_path / "lists" / "videos.csv")

    read = read_manifest(tmp_path / "lists" / "videos.csv")
    assert read.records[0].video == tmp_path / "videos/run/a.mp4"


def test_records_that_no_manifest_can_hold_are_refused(tmp_path):
    record = Record(video=tmp_path / "a.mp4", captions=("one", "two"))

    with pytest.raises(AnnotationError, match="one label and one caption each"):
        write_manifest(Annotations(records=(record,)), tmp_path / "videos.csv")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere.*cannot be written \(No such file"):
        write_manifest(Annotations(records=()), tmp_path / "nowhere" / "videos.csv")
