"""Images show what their captions say."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from internvideo.playground import (
    ACTIONS,
    SIZES,
    World,
    clear_frame,
    draw_action,
    draw_facts,
    draw_still,
    render,
)
from internvideo.playground.facts import track_array
from internvideo.playground.images import still, write_image

WORLD = World(seed=6)


@pytest.mark.parametrize("index", range(2 * len(ACTIONS)))
def test_in_a_clear_frame_all_actors_are_whole_opaque_and_beside_each_other(index):
    facts = draw_facts(index, WORLD)
    frame = clear_frame(facts)

    def at(track):
        return track_array(track, facts.num_frames)[frame]

    for actor in facts.actors:
        x, y = at(actor.x) - at(facts.camera_x), at(actor.y) - at(facts.camera_y)
        assert at(actor.opacity) >= 0.95
        assert 0.7 * at(actor.radius) < min(x, y, 1 - x, 1 - y)
    if len(facts.actors) == 2:
        one, other = facts.actors
        gap = np.hypot(at(one.x) - at(other.x), at(one.y) - at(other.y))
        assert gap > 0.9 * (at(one.radius) + at(other.radius))


def test_an_image_holds_the_clear_frame(tmp_path):
    facts = draw_facts(18, WORLD)
    write_image(tmp_path / "image.jpg", facts)

    (expected,) = render(facts, frames=(clear_frame(facts),))
    found = np.asarray(Image.open(tmp_path / "image.jpg")).astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 6


@pytest.mark.parametrize("index", range(2 * len(ACTIONS)))
def test_a_still_is_one_frame_in_which_all_actors_show(index):
    facts = draw_still(index, WORLD)

    assert facts.num_frames == 1 and clear_frame(facts) == 0
    for actor in facts.actors:
        assert actor.opacity[0] >= 0.95
        # Whole, or a corner that sticks out by the pixel that a drawn path allows for.
        ((left, top, right, bottom),) = facts.boxes(actor)
        assert min(right - left, bottom - top) > actor.radius[0]


def test_a_still_is_painted_as_the_frame_of_its_video():
    facts = draw_facts(18, WORLD)

    found = render(still(facts, 7), has_noise=False)
    assert (found == render(facts, frames=[7], has_noise=False)).all()


@pytest.mark.parametrize("frame", [0, -1])
def test_what_grows_has_the_size_of_its_frame(frame):
    facts = draw_action("grow", 3, WORLD)
    radius = facts.actors[0].radius[frame]

    seen = still(facts, frame % facts.num_frames).subject.size
    assert abs(SIZES[seen] - radius) == min(abs(size - radius) for size in SIZES.values())


def test_stills_are_drawn_apart_from_the_videos():
    for index in range(10):
        video, other = draw_facts(index, WORLD), draw_still(index, WORLD)
        assert video.background != other.background


def test_a_still_shows_those_who_act_and_nothing_else():
    drawn = [draw_still(index, WORLD) for index in range(10 * len(ACTIONS))]

    assert not any(one.distractors for one in drawn)
    assert all(len(one.actors) == len(ACTIONS[one.action].sizes) for one in drawn)
    order = [one.events[0].actors for one in drawn if len(one.actors) == 2]
    assert 0.3 < order.count((1, 0)) / len(order) < 0.7
