"""Each action does what its name says."""

from __future__ import annotations

import numpy as np
import pytest

from internvideo.playground import ACTIONS, PAIRS, World, draw_action
from internvideo.playground.facts import track_array

WORLD = World(seed=5)
SEEDS = range(6)


def track(facts, name, part=0):
    return track_array(getattr(facts.actors[part], name), facts.num_frames)


def gap(facts):
    return np.hypot(
        track(facts, "x") - track(facts, "x", 1), track(facts, "y") - track(facts, "y", 1)
    )


def drawn(action):
    return [draw_action(action, seed, WORLD) for seed in SEEDS]


def winding(facts):
    """How far the subject goes round the middle of its path, clockwise, in turns."""
    x, y = track(facts, "x"), track(facts, "y")
    middle_x, middle_y = (x.min() + x.max()) / 2, (y.min() + y.max()) / 2
    angle = np.unwrap(np.arctan2(y - middle_y, x - middle_x))
    return (angle[-1] - angle[0]) / (2 * np.pi)


def first_way(values):
    """The sign of the first half of an excursion."""
    return np.sign(values[len(values) // 2] - values[0])


EXPECTED = {
    "slide_right": lambda f: track(f, "x")[-1] - track(f, "x")[0] > 0.2,
    "slide_left": lambda f: track(f, "x")[-1] - track(f, "x")[0] < -0.2,
    "slide_down": lambda f: track(f, "y")[-1] - track(f, "y")[0] > 0.2,
    "slide_up": lambda f: track(f, "y")[-1] - track(f, "y")[0] < -0.2,
    "turn_clockwise": lambda f: track(f, "angle")[-1] - track(f, "angle")[0] >= 149,
    "turn_anticlockwise": lambda f: track(f, "angle")[-1] - track(f, "angle")[0] <= -149,
    "grow": lambda f: track(f, "radius")[-1] / track(f, "radius")[0] > 1.9,
    "shrink": lambda f: track(f, "radius")[-1] / track(f, "radius")[0] < 0.55,
    "appear": lambda f: track(f, "opacity")[0] == 0 and track(f, "opacity")[-1] == 1,
    "vanish": lambda f: track(f, "opacity")[0] == 1 and track(f, "opacity")[-1] == 0,
    "approach": lambda f: gap(f)[-1] < gap(f)[0] - 0.15,
    "separate": lambda f: gap(f)[-1] > gap(f)[0] + 0.15,
    "rise_then_fall": lambda f: first_way(track(f, "y")) < 0,
    "fall_then_rise": lambda f: first_way(track(f, "y")) > 0,
    "circle_clockwise": lambda f: winding(f) > 0.8,
    "circle_anticlockwise": lambda f: winding(f) < -0.8,
    "enter": lambda f: f.boxes(f.actors[0])[0] is None and f.boxes(f.actors[0])[-1] is not None,
    "leave": lambda f: f.boxes(f.actors[0])[0] is not None and f.boxes(f.actors[0])[-1] is None,
    "hide": lambda f: gap(f)[0] > 0.15 and gap(f)[-1] < 0.01,
    "emerge": lambda f: gap(f)[0] < 0.01 and gap(f)[-1] > 0.15,
    "zigzag": lambda f: num_turns(f) >= 3,
    "bounce": lambda f: (np.diff(np.sign(np.diff(track(f, "y")))) < 0).sum() >= 2,
    "shake": lambda f: (np.diff(np.sign(np.diff(track(f, "x")))) != 0).sum() >= 5,
    "blink": lambda f: (np.diff((track(f, "opacity") > 0.5).astype(int)) < 0).sum() >= 3,
    "pass_behind": lambda f: gap(f).min() < 0.05 and min(gap(f)[0], gap(f)[-1]) > 0.15,
    "push": lambda f: abs(np.diff(track(f, "x", 1))).sum() > 0.08 and gap(f)[0] > gap(f)[-1] + 0.05,
    "chase": lambda f: gap(f).min() > 0.1 and gap(f).max() < 0.5,
    "swap": lambda f: (
        abs(track(f, "x")[-1] - track(f, "x", 1)[0]) < 0.02
        and abs(track(f, "y")[-1] - track(f, "y", 1)[0]) < 0.02
    ),
    "collide": lambda f: gap(f).argmin() not in (0, len(gap(f)) - 1) and gap(f)[-1] > 0.3,
}


def num_turns(facts):
    x, y = track(facts, "x"), track(facts, "y")
    return max((np.diff(np.sign(np.diff(at)[np.diff(at) != 0])) != 0).sum() for at in (x, y))


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_does_what_its_name_says(action):
    for facts in drawn(action):
        assert EXPECTED[action](facts), facts


@pytest.mark.parametrize("action", sorted(set(ACTIONS) - {"enter", "leave"}))
def test_an_action_keeps_its_actors_in_sight(action):
    for facts in drawn(action):
        for actor in facts.actors:
            radius = track_array(actor.radius, facts.num_frames)
            for at, camera in ((actor.x, facts.camera_x), (actor.y, facts.camera_y)):
                seen = track_array(at, facts.num_frames) - track_array(camera, facts.num_frames)
                assert (seen > radius * 0.8).all() and (seen < 1 - radius * 0.8).all()


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_takes_most_of_its_video_and_lies_within(action):
    for facts in drawn(action):
        event = facts.events[0]
        assert 0 <= event.start_s < event.end_s <= facts.duration_s
        least = 0.1 if action in ("appear", "vanish") else 0.55
        assert event.end_s - event.start_s >= least * facts.duration_s


@pytest.mark.parametrize("pair", PAIRS)
def test_both_of_a_pair_have_the_same_cast(pair):
    first, second = (ACTIONS[name] for name in pair)

    assert (first.verb, first.sizes, first.must_show_turning, first.must_cover) == (
        second.verb,
        second.sizes,
        second.must_show_turning,
        second.must_cover,
    )


def test_at_least_24_actions_most_of_them_in_pairs():
    paired = {name for pair in PAIRS for name in pair}

    assert len(ACTIONS) >= 24
    assert 2 * len(paired) > len(ACTIONS)
    assert {name for name, action in ACTIONS.items() if action.order != "drawn"} <= paired
