"""One's own labelled videos: what is refused, what is left out, and what is held back."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from itertools import product
from pathlib import Path

import pytest
import torch

from internvideo.data import (
    check_labelled,
    grouped,
    left_right_classes,
    read_labelled,
    save_labelled,
)
from internvideo.data.mirrored_text import mirror_text
from internvideo.errors import AnnotationError, ConfigError
from internvideo.video import write_video


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Four different videos 0.mp4 to 3.mp4."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(4):
        frames = torch.full((4, 16, 16, 3), 60 * number, dtype=torch.uint8)
        write_video(folder / f"{number}.mp4", frames, 10.0)
    return folder


@pytest.fixture
def folder(videos, tmp_path) -> Path:
    """A folder of two classes of two videos each."""
    for number, name in enumerate(("jump", "jump", "sit", "sit")):
        (tmp_path / name).mkdir(exist_ok=True)
        shutil.copy(videos / f"{number}.mp4", tmp_path / name / f"{number}.mp4")
    return tmp_path


def table(videos: Path, *lines: str, header="path,label", encoding="utf-8") -> Path:
    path = videos / "own.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding=encoding)
    return path


ROWS = ("0.mp4,jump", "1.mp4,jump", "2.mp4,sit", "3.mp4,sit")


def check(source: Path, **options):
    return check_labelled(read_labelled(source), **{"decoded": 0, **options})


def splits(checked) -> list[str | None]:
    return [record.split for record in checked.annotations.records]


def test_a_part_of_every_class_is_held_back_and_the_same_each_time(videos):
    source = table(videos, *ROWS)

    checked = check(source)

    assert checked.class_counts("train") == checked.class_counts("val") == {"jump": 1, "sit": 1}
    assert splits(check(source)) == splits(checked)
    assert not checked.warnings


def test_what_is_held_back_does_not_depend_on_the_order_of_rows(videos):
    first = check(table(videos, *ROWS)).annotations.of_split("val").records
    second = check(table(videos, *reversed(ROWS))).annotations.of_split("val").records

    assert {r.video for r in first} == {r.video for r in second}


def by_group(source: Path, groups: str | None = None, **options):
    return check_labelled(
        grouped(read_labelled(source), groups, source=source), decoded=0, **options
    )


@pytest.fixture
def recordings(tmp_path) -> Path:
    """Two classes of five recordings with two clips each, named as UCF101's; recording 5 of both
    classes shows one person."""
    rows = ["path,label,who"]
    for level, (label, g, c) in enumerate(product(("Jump", "Sit"), range(1, 6), (1, 2))):
        name = f"v_{label}_g0{g}_c0{c}.mp4"
        frames = torch.full((2, 16, 16, 3), 12 * level, dtype=torch.uint8)
        write_video(tmp_path / name, frames, 10.0)
        rows.append(f"{name},{label},{'Ann' if g == 5 else f'{label} {g}'}")
    (tmp_path / "own.csv").write_text("\n".join(rows))
    return tmp_path / "own.csv"


@pytest.mark.parametrize("groups", [None, "who", r"_(\w+_g\d+)_"])
def test_clips_of_one_recording_are_never_divided(recordings, groups):
    for seed in range(5):
        checked = by_group(recordings, groups, held_back_share=0.4, seed=seed)

        of_group = defaultdict(set)
        for record in checked.annotations.records:
            of_group[record.group].add(record.split)
        assert all(len(found) == 1 for found in of_group.values())
        if groups != "who":  # Ann, who does both, may be held out for either
            assert checked.class_counts("val") == {"Jump": 4, "Sit": 4}
    assert len(of_group) == (9 if groups == "who" else 10)


def test_groups_in_two_splits_of_the_file_are_told(recordings):
    lines = recordings.read_text().splitlines()
    splits = [f"{line},{'val' if '_c02' in line else 'train'}" for line in lines[1:]]
    recordings.write_text("\n".join([f"{lines[0]},split", *splits]))

    [said] = by_group(recordings).warnings

    assert "groups in two splits: 10 of 10, such as 'v_Jump_g01' in train and val" in said
    assert not by_group(recordings, "none").warnings


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ("whom", "has no column 'whom', but path, label, who; did you mean 'who'"),
        ("(", "is no regular expression"),
        (r"c03(.)", r"does not match .*v_Jump_g01_c01.mp4"),
    ],
)
def test_groups_that_nothing_names_are_refused(recordings, groups, said):
    with pytest.raises(ConfigError, match=said):
        by_group(recordings, groups)


def test_the_splits_of_the_file_are_kept_and_spelt_as_ours(videos):
    names = ("Train", "validation", "training", "dev")
    rows = [f"{row},{name}" for row, name in zip(ROWS, names, strict=True)]

    checked = check(table(videos, *rows, header="path,label,split"))

    assert splits(checked) == ["train", "val", "train", "val"]


def test_test_videos_stay_apart_when_validation_is_held_back(videos):
    rows = [f"{row},{'test' if row[0] == '3' else 'train'}" for row in (*ROWS, "3.mp4,jump")]
    rows += ["0.mp4,sit,train"]

    checked = check(table(videos, *rows, header="path,label,split"))

    assert [r.video.name for r in checked.annotations.of_split("test").records] == ["3.mp4"] * 2


def test_an_unknown_split_is_told_and_left_out(videos):
    rows = [f"{row},train" for row in ROWS]

    checked = check(table(videos, *rows, "0.mp4,sit,fold3", header="path,label,split"))

    assert "split 'fold3' is not used (videos: 1)" in checked.warnings[0]


def test_videos_without_a_split_are_refused(videos):
    rows = [f"{row},train" for row in ROWS]

    with pytest.raises(ConfigError, match=r"1 of 5 videos are in no split, such as .*0\.mp4; fill"):
        check(table(videos, *rows, "0.mp4,sit,", header="path,label,split"))


def test_splits_without_training_are_refused(videos):
    with pytest.raises(ConfigError, match=r"no video is in split 'train' \(found: val\)"):
        check(table(videos, *(f"{row},val" for row in ROWS), header="path,label,split"))


@pytest.mark.parametrize("name", ["stand, then sit", "跳绳", 'the "worm"'])
def test_class_names_keep_commas_quotes_and_chinese(videos, tmp_path, name):
    quoted = '"' + name.replace('"', '""') + '"'
    checked = check(table(videos, *ROWS, f"0.mp4,{quoted}", f"1.mp4,{quoted}"))

    saved = save_labelled(checked, tmp_path / "videos.csv")

    assert name in checked.annotations.classes
    assert saved.annotations.classes == checked.annotations.classes
    assert splits(saved) == splits(checked)


def test_a_byte_order_mark_changes_nothing(videos):
    plain = check(table(videos, *ROWS))

    marked = check(table(videos, *ROWS, encoding="utf-8-sig"))

    assert marked.annotations == plain.annotations


def test_wrong_columns_are_named_with_those_found(videos):
    with pytest.raises(AnnotationError, match="no column 'path' for path, found: file, label"):
        read_labelled(table(videos, *ROWS, header="file,label"))


def test_columns_may_have_other_names(videos):
    source = table(videos, *ROWS, header="file,class")

    read = read_labelled(source, columns={"path": "file", "label": "class"})

    assert read.classes == ("jump", "sit")


def test_a_file_without_labels_is_refused(videos):
    with pytest.raises(AnnotationError, match="no video has a label; add a column 'label'"):
        read_labelled(table(videos, *ROWS, header="path,class"))


def test_missing_labels_are_refused_with_their_number(videos):
    with pytest.raises(AnnotationError, match=r"1 of 5 videos have no label, such as .*3\.mp4"):
        read_labelled(table(videos, *ROWS, "3.mp4,"))


def test_absolute_paths_are_taken_as_they_are(videos, tmp_path):
    source = tmp_path / "own.csv"
    source.write_text("\n".join(["path,label", *(f"{videos}/{row}" for row in ROWS)]))

    checked = check(source)

    assert [r.video for r in checked.annotations.records] == [
        videos / f"{number}.mp4" for number in range(4)
    ]


def test_videos_that_do_not_exist_are_left_out_and_named(videos):
    checked = check(table(videos, *ROWS, "gone.mp4,sit"))

    assert checked.left_out == ((str(videos / "gone.mp4"), "there is no such file"),)
    assert "1 of 5 videos cannot be used, such as" in checked.warnings[0]


def test_paths_from_another_folder_are_one_error(videos):
    with pytest.raises(ConfigError, match=r"none of its first 2 videos exists.*set root"):
        read_labelled(table(videos, "a/0.mp4,jump", "a/1.mp4,sit"))


def test_mostly_missing_videos_are_an_error(videos):
    rows = [f"gone{number}.mp4,sit" for number in range(5)]

    with pytest.raises(ConfigError, match=r"5 of 9 videos cannot be used.*mend or remove"):
        check(table(videos, *ROWS, *rows))


def test_videos_that_do_not_decode_are_left_out_and_frames_are_counted(folder):
    (folder / "sit" / "broken.mp4").write_text("no video")

    checked = check(folder, decoded=None)

    assert [Path(path).name for path, _ in checked.left_out] == ["broken.mp4"]
    assert (checked.num_decoded, checked.usual_frames) == (5, 4)


def test_only_a_sample_is_decoded_of_many(folder):
    assert check(folder, decoded=3).num_decoded == 3


def test_an_empty_folder_is_one_error(tmp_path):
    with pytest.raises(AnnotationError, match="holds no video file"):
        read_labelled(tmp_path)


def test_options_of_a_csv_are_refused_for_a_folder(folder):
    with pytest.raises(ConfigError, match="is a folder; root and columns are for a csv"):
        read_labelled(folder, root="elsewhere")


def test_a_class_of_one_video_is_trained_on_with_a_warning(videos):
    checked = check(table(videos, "0.mp4,jump", "1.mp4,jump", "2.mp4,sit"))

    assert splits(checked).count("val") == 1
    assert splits(checked)[2] == "train"
    assert checked.warnings == (
        "class 'sit' has a single video: it is trained on, and nothing tells how "
        "well it is learned",
    )


def test_nothing_to_hold_back_is_an_error(videos):
    with pytest.raises(ConfigError, match="every class has a single video"):
        check(table(videos, "0.mp4,jump", "2.mp4,sit"))


def test_one_class_is_an_error(videos):
    with pytest.raises(ConfigError, match=r"of 1 classes \('jump'\); recognition needs two"):
        check(table(videos, "0.mp4,jump", "1.mp4,jump"))


def test_a_class_that_is_only_validated_on_is_told(videos):
    rows = ["0.mp4,jump,train", "1.mp4,sit,train", "2.mp4,run,val", "3.mp4,sit,val"]

    checked = check(table(videos, *rows, header="path,label,split"))

    assert any(
        "class 'run' has videos to validate on and none to train" in w for w in checked.warnings
    )


def test_the_same_content_in_two_splits_is_told(folder):
    (folder / "train").mkdir()
    (folder / "val").mkdir()
    for name in ("jump", "sit"):
        (folder / name).rename(folder / "train" / name)
        shutil.copytree(folder / "train" / name, folder / "val" / name)

    warnings = check(folder).warnings

    assert "videos in two splits, by path or content: 4, such as" in warnings[0]


def test_copies_are_held_back_together(folder):
    for name, number in (("jump", 0), ("jump", 1), ("sit", 2), ("sit", 3)):
        shutil.copy(folder / name / f"{number}.mp4", folder / name / f"copy of {number}.mp4")

    checked = check(folder)

    side = {record.video.name: record.split for record in checked.annotations.records}
    assert all(side[f"copy of {number}.mp4"] == side[f"{number}.mp4"] for number in range(4))
    assert Counter(splits(checked)) == {"train": 4, "val": 4}


def test_one_video_with_two_classes_is_told(videos):
    warnings = check(table(videos, *ROWS, "0.mp4,sit")).warnings

    assert any("is called 'jump' and 'sit'; a video has one class" in w for w in warnings)


def test_classes_that_differ_in_spelling_only_are_told(videos):
    warnings = check(table(videos, *ROWS, "0.mp4,Sit ", "1.mp4,Sit")).warnings

    assert any("'Sit' and 'sit' are two classes; spell them alike" in w for w in warnings)


def test_uneven_classes_are_told(videos):
    rows = [f"0.mp4,jump,{at},{at + 1}" for at in range(20)]
    rows = [f"{row},train" for row in (*rows, "2.mp4,sit,,")] + ["3.mp4,sit,,,val"]

    warnings = check(table(videos, *rows, header="path,label,start_s,end_s,split")).warnings

    assert any("classes have 1 to 20 videos" in w for w in warnings)


def test_numbers_with_many_gaps_are_no_classes(videos):
    rows = ["0.mp4,7", "1.mp4,7", "2.mp4,9", "3.mp4,9"]

    with pytest.raises(ConfigError, match="whole numbers are rows from 0 on, of which 8 have no"):
        check(table(videos, *rows))


def test_left_and_right_are_found_in_whole_words_alone():
    names = ["pour left to right", "TurnLeft", "copyright", "counter-clockwise", "向左转", "jump"]

    assert left_right_classes(names) == [
        "pour left to right",
        "TurnLeft",
        "counter-clockwise",
        "向左转",
    ]


def test_mirrored_sentences_swap_left_and_right():
    said = {
        "A man turns left, then counter-clockwise": "A man turns right, then clockwise",
        "moves rightwards; Right of it, copyright": "moves leftwards; Left of it, copyright",
        "turns clockwise in the leftmost lane": "turns anticlockwise in the rightmost lane",
        "spins counter clockwise, then anticlockwise": "spins clockwise, then clockwise",
        "向左转，顺时针": "向右转，逆时针",
        "a red star falls": "a red star falls",
    }

    assert {sentence: mirror_text(sentence) for sentence in said} == said
