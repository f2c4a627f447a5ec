"""One's own videos with segments: what is refused, what is said, and what is held back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from internvideo.data import check_segmented, read_segmented, save_segmented
from internvideo.errors import AnnotationError, ConfigError
from internvideo.video import write_video


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Four different videos 0.mp4 to 3.mp4 of three seconds."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(4):
        frames = torch.full((12, 16, 16, 3), 60 * number, dtype=torch.uint8)
        write_video(folder / f"{number}.mp4", frames, 4.0)
    return folder


def table(folder: Path, *rows: str, header: str = "path,start_s,end_s,label") -> Path:
    path = folder / "segments.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


ROWS = ("0.mp4,0,1,jump", "0.mp4,1.5,3,sit", "1.mp4,0,1,jump", "2.mp4,1,2,sit", "3.mp4,0,2,jump")


def check(source: Path, **options):
    return check_segmented(read_segmented(source), **{"decoded": 0, **options})


def test_whole_videos_are_held_back_the_same_each_time(videos):
    checked = check(table(videos, *ROWS), held_back_share=0.5)

    assert (checked.num_items("train"), checked.num_items("val")) == (2, 2)
    again = check(table(videos, *ROWS), held_back_share=0.5)
    assert again.annotations == checked.annotations


def test_lengths_are_measured_and_ends_are_clipped_to_them(videos):
    checked = check(table(videos, "0.mp4,0,3.3,jump", "1.mp4,0,1,jump"))

    assert {record.duration_s for record in checked.annotations.records} == {3.0}
    assert max(s.end_s for part in ("train", "val") for s in checked.segments(part)) == 3.0


@pytest.mark.parametrize("row", ["0.mp4,1,9,jump", "0.mp4,3.2,3.4,jump"])
def test_a_segment_beyond_the_end_is_named_with_its_video(videos, row):
    _, start, end, _ = row.split(",")
    said = rf"0\.mp4: the segment from {start} to {end} s \('jump'\) ends after the video, .* 3\.00"
    with pytest.raises(AnnotationError, match=said):
        check(table(videos, row, "1.mp4,0,1,jump"))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("0.mp4,2,2,jump", "line 3: the segment from 2.0 to 2.0 s holds no time"),
        ("0.mp4,2,1,jump", "line 3: the segment from 2.0 to 1.0 s holds no time"),
        ("1.mp4,0,1,jump", "line 3: repeats the segment of line 2"),
        ("0.mp4,-1,1,jump", "line 3: start_s is '-1', expected seconds from 0"),
        ("0.mp4,0,nan,jump", "line 3: end_s is 'nan', expected seconds from 0"),
        ("0.mp4,0,1,", "line 3: label is empty"),
        ("0.mp4,0,1", "line 3: has 3 fields, the header has 4"),
    ],
)
def test_a_wrong_row_is_named_with_its_line(videos, row, said):
    with pytest.raises(AnnotationError, match=said):
        read_segmented(table(videos, "1.mp4,0,1,jump", row))


def test_what_is_odd_is_told(videos):
    checked = check(table(videos, *ROWS[:4], "3.mp4,,,"))

    told = " ".join(checked.warnings)
    assert "videos without a segment: 1, such as " in told
    assert "classes with fewer than 5 segments to train on: " in told


def test_a_split_without_segments_is_refused(videos):
    rows = (f"{row},train" for row in ROWS[:2])
    source = table(videos, *rows, "1.mp4,,,,val", header="path,start_s,end_s,label,split")

    with pytest.raises(ConfigError, match="no video to validate on has a segment"):
        check(source)


def test_a_file_without_segments_and_a_folder_are_refused(videos):
    with pytest.raises(AnnotationError, match=r"segments\.csv: no video has a segment"):
        read_segmented(table(videos, "0.mp4,,,"))
    with pytest.raises(ConfigError, match="is a folder; give the file of its segments"):
        read_segmented(videos)


def test_a_json_as_activitynets_is_read_and_saved_as_csv(videos, tmp_path):
    entry = {"duration": 3.0, "annotations": [{"segment": [0, 1], "label": "jump"}]}
    database = {"0": {**entry, "subset": "training"}, "1": {**entry, "subset": "validation"}}
    source = videos / "own.json"
    source.write_text(json.dumps({"database": database}))
    checked = check(source)

    saved = save_segmented(checked, tmp_path / "segments.csv")

    assert saved.annotations == checked.annotations
    assert saved.annotations.records[0].video == videos / "0.mp4"
