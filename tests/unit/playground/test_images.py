"""Images show what their captions say."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from internvideo.playground import ACTIONS, World, clear_frame, draw_facts, render
from internvideo.playground.facts import track_array
from internvideo.playground.images import write_image

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
