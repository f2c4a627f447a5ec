"""Facts survive being written, and their boxes lie where the shapes are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from internvideo.errors import AnnotationError
from internvideo.playground import ACTIONS, World, draw_action, draw_facts, read_facts, render
from internvideo.playground.facts import facts_line, parse_facts, track_array

WORLD = World(seed=2)


@pytest.mark.parametrize("index", range(len(ACTIONS)))
def test_facts_are_the_same_after_writing_and_reading(index):
    facts = draw_facts(index, WORLD)

    assert parse_facts(facts_line(facts)) == facts


def test_the_written_line_has_a_box_for_every_frame_of_every_actor():
    facts = draw_facts(10, WORLD)
    written = json.loads(facts_line(facts))

    for actor in written["actors"]:
        assert len(actor["boxes"]) == facts.num_frames
        assert all(box is None or len(box) == 4 for box in actor["boxes"])


@pytest.mark.parametrize("action", ["slide_right", "turn_clockwise", "grow", "enter", "appear"])
def test_boxes_lie_where_the_shapes_are(action):
    for seed in range(4):
        facts = draw_action(action, seed, WORLD)
        video = render(facts, has_background=False, has_noise=False, has_distractors=False)
        painted = video.max(-1) > 40
        opacity = track_array(facts.actors[0].opacity, facts.num_frames)
        for frame, box, seen in zip(painted, facts.boxes(facts.actors[0]), opacity, strict=True):
            if box is None or seen < 0.5 or min(box) == 0 or max(box) == 1:
                continue  # of a thing cut by the border the rest may be narrower than its box
            rows, columns = np.flatnonzero(frame.any(1)), np.flatnonzero(frame.any(0))
            extent = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / 128
            assert np.abs(np.array(box) - extent).max() < 1.6 / 128


def test_what_cannot_be_seen_has_no_box():
    facts = draw_action("enter", 0, WORLD)
    video = render(facts, has_background=False, has_noise=False, has_distractors=False)

    for frame, box in zip(video, facts.boxes(facts.actors[0]), strict=True):
        if box is None:
            assert (frame.max(-1) > 40).sum(0).astype(bool).sum() <= 2


def test_a_line_that_is_not_facts_is_named(tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_text(facts_line(draw_facts(0, WORLD)) + "\n{}\n")

    with pytest.raises(AnnotationError, match=r"facts\.jsonl, line 2: not the facts of a video"):
        list(read_facts(tmp_path))


def test_missing_facts_are_named_with_what_makes_them(tmp_path):
    with pytest.raises(AnnotationError, match=r"no such file; make it with `internvideo data"):
        list(read_facts(tmp_path / "facts.jsonl"))
