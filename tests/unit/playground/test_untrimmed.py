"""Untrimmed videos: pauses, overlaps, the formats they are annotated in, and going on."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from internvideo.data.annotations import read_localization, read_segment_csv
from internvideo.errors import ConfigError
from internvideo.playground import World, draw_untrimmed, generate_untrimmed
from internvideo.video import open_video

ACTIONS = ("slide_left", "slide_right", "turn_clockwise")


def test_videos_last_20_to_60_s_with_pauses_and_overlaps():
    drawn = [draw_untrimmed(index, World(seed=1)) for index in range(12)]

    gaps = [
        later.start_s - earlier.end_s
        for facts in drawn
        for earlier, later in pairwise(facts.events)
    ]
    assert all(20 <= facts.duration_s <= 60 for facts in drawn)
    assert all(e.end_s <= facts.duration_s for facts in drawn for e in facts.events)
    assert min(gaps) < 0 and max(gaps) > 3


def test_an_actor_is_there_only_around_its_action():
    facts = draw_untrimmed(0, World(seed=0), actions=ACTIONS)
    event = facts.events[0]
    opacity = facts.actors[event.actors[0]].opacity

    assert opacity[0] == 0
    assert opacity[int((event.start_s + event.end_s) / 2 * facts.rate_fps)] > 0
    assert opacity[-1] == 0


def same_segments(out, count):
    """Read all three annotation files; they are to agree."""
    activitynet = read_localization(out / "activitynet.json", root=out / "videos")
    thumos = read_localization(out / "thumos14.json", root=out / "videos", train="validation")
    table = read_segment_csv(out / "segments.csv")
    assert activitynet.classes == thumos.classes == table.classes
    segments = [
        [(s.start_s, s.end_s, s.label) for record in read.records for s in record.segments]
        for read in (activitynet, thumos, table)
    ]
    assert segments[0] == segments[1] == segments[2]
    assert len(segments[0]) == count
    assert [r.split for r in activitynet.records] == ["train", "train", "train", "val", "test"]
    assert [r.split for r in thumos.records] == ["train"] * 4 + ["test"]
    return table


def test_published_formats_are_read_back_as_they_were_drawn(tmp_path, monkeypatch):
    """Without pictures: what is drawn costs most, and annotations do not depend on it."""
    black = np.zeros((2, 16, 16, 3), dtype=np.uint8)
    monkeypatch.setattr("internvideo.playground.untrimmed.render", lambda facts: black)

    count = generate_untrimmed(tmp_path / "world", num_videos=5, actions=ACTIONS)

    table = same_segments(tmp_path / "world", count)
    facts = [draw_untrimmed(index, World(seed=0), actions=ACTIONS) for index in range(5)]
    assert [r.duration_s for r in table.records] == [f.duration_s for f in facts]
    assert [[s.start_s for s in r.segments] for r in table.records] == [
        [e.start_s for e in f.events] for f in facts
    ]


@pytest.mark.slow
def test_three_files_say_the_same_and_videos_are_not_made_twice(tmp_path):
    out = tmp_path / "world"
    count = generate_untrimmed(out, num_videos=5, side_px=32, actions=ACTIONS)
    times = {path: path.stat().st_mtime_ns for path in (out / "videos").iterdir()}

    generate_untrimmed(out, num_videos=5, side_px=32, actions=ACTIONS)

    assert {path: path.stat().st_mtime_ns for path in (out / "videos").iterdir()} == times
    table = same_segments(out, count)
    with open_video(table.records[0].video) as video:
        assert video.info.duration_s == pytest.approx(table.records[0].duration_s)
    facts = json.loads((out / "facts.jsonl").read_text().splitlines()[0])
    assert len(facts["events"]) == len(table.records[0].segments)


def test_another_generation_and_a_full_folder_are_refused(tmp_path):
    (tmp_path / "something").write_text("")

    with pytest.raises(ConfigError, match="is not empty; choose an empty or a new folder"):
        generate_untrimmed(tmp_path, num_videos=5, actions=ACTIONS)
    with pytest.raises(ConfigError, match="do not fill all splits; give 5 or more"):
        generate_untrimmed(tmp_path / "new", num_videos=4)
    with pytest.raises(ConfigError, match="no actions of the playground: dance"):
        generate_untrimmed(tmp_path / "new", actions=("dance",))
