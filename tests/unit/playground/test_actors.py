"""The playground of several actors: boxes are where things are, and who meets whom."""

from __future__ import annotations

import json

import numpy as np
import pytest

from internvideo.data import ANNOTATIONS, read_detections
from internvideo.data.annotations.boxes import VideoIndex
from internvideo.errors import ConfigError
from internvideo.playground import boxes_by_second, draw_scene, generate_actors, render
from internvideo.playground.actors import RESTING, acts_only_in_test


def pairs_of(facts):
    names = [event.action for event in facts.events]
    return [(a, b) for i, a in enumerate(names) for b in names[:i]]


def test_actions_that_meet_in_test_never_meet_in_training():
    train = [draw_scene(n, "train") for n in range(40)]
    test = [draw_scene(n, "test") for n in range(40, 50)]

    assert not any(acts_only_in_test(*pair) for facts in train for pair in pairs_of(facts))
    assert all(acts_only_in_test(*pairs_of(facts)[0]) for facts in test)
    assert len({event.action for facts in train for event in facts.events}) == 10


def test_actors_do_different_things_and_others_nothing():
    boxes = [box for n in range(12) for box in boxes_by_second(draw_scene(n, "train"))]

    resting = sum(box.action == RESTING for box in boxes)
    assert 0.1 < resting / len(boxes) < 0.6
    for number in range(12):
        names = [event.action for event in draw_scene(number, "train").events]
        assert len(set(names)) == len(names) >= 2


def test_a_box_is_where_its_actor_is_painted():
    facts = draw_scene(3, "train")
    second = 2

    (frame,) = render(
        facts, frames=[second * facts.rate_fps], has_background=False, has_noise=False
    )

    lit = frame.max(2) > 40
    inside = np.zeros_like(lit)
    for box in boxes_by_second(facts):
        if box.second == second:
            x1, y1, x2, y2 = (round(side * facts.side_px) for side in box.xyxy)
            inside[max(0, y1 - 1) : y2 + 1, max(0, x1 - 1) : x2 + 1] = True
            assert lit[y1:y2, x1:x2].any()
    assert lit[inside].sum() > 0.97 * lit.sum()


def test_a_set_is_read_by_the_readers_of_ava(tmp_path):
    told = generate_actors(tmp_path / "a", size=10)
    again = generate_actors(tmp_path / "b", size=10)

    read = ANNOTATIONS["ava"](tmp_path / "a")
    found = read_detections(tmp_path / "a" / "detections_test.csv", VideoIndex(tmp_path / "a"))

    assert "10 videos" in told and "10 videos" in again
    assert {record.split for record in read.records} == {"train", "val", "test"}
    assert all(record.video.is_file() for record in read.records)
    assert len(read.classes) == 11 and len(found) > 2
    assert sum(json.loads((tmp_path / "a" / "priors.json").read_text()).values()) == pytest.approx(
        1
    )
    for name in ("ava_train.csv", "detections_test.csv", "actions.pbtxt"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        generate_actors(tmp_path / "a")
    with pytest.raises(ConfigError, match="give 10 or more"):
        generate_actors(tmp_path / "c", size=3)


def test_a_set_that_is_cut_short_leaves_nothing(tmp_path):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_actors(tmp_path / "a", size=10, on_progress=stop)

    assert [*tmp_path.iterdir()] == []
