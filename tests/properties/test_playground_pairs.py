"""Laws of the playground: pairs are the same frames in another order, facts survive writing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis.strategies import integers, sampled_from

from internvideo.playground import ACTIONS, PAIRS, World, draw_action, render
from internvideo.playground.facts import facts_line, parse_facts

WORLD = World(seed=9, side_px=48, rate_fps=6)
SEEDS = integers(0, 10_000)


def frames(action, seed):
    return render(replace(draw_action(action, seed, WORLD), noise=0.0))


@settings(max_examples=30, deadline=None)
@given(pair=sampled_from(PAIRS), seed=SEEDS)
def test_the_second_of_a_pair_shows_the_frames_of_the_first_in_another_order(pair, seed):
    first, second = frames(pair[0], seed), frames(pair[1], seed)

    if ACTIONS[pair[1]].order == "reversed":
        reordered = first[::-1]
    else:
        reordered = np.roll(first, -(len(first) // 2), axis=0)
    np.testing.assert_array_equal(second, reordered)


@settings(max_examples=30, deadline=None)
@given(pair=sampled_from(PAIRS), seed=SEEDS)
def test_reversing_also_reverses_when_the_action_happens(pair, seed):
    first, second = (draw_action(name, seed, WORLD) for name in pair)
    (one,), (other,) = first.events, second.events
    last_s = first.duration_s - 1 / first.rate_fps

    if ACTIONS[pair[1]].order == "reversed":
        assert abs(one.start_s + other.end_s - last_s) < 0.002
        assert abs(one.end_s + other.start_s - last_s) < 0.002
    assert one.parameters == other.parameters


@settings(max_examples=30, deadline=None)
@given(action=sampled_from(sorted(ACTIONS)), seed=SEEDS)
def test_facts_survive_writing_and_give_the_same_frames(action, seed):
    facts = draw_action(action, seed, WORLD)
    again = parse_facts(facts_line(facts))

    assert again == facts
    np.testing.assert_array_equal(render(again, frames=(0, 3)), render(facts, frames=(0, 3)))


@settings(max_examples=30, deadline=None)
@given(action=sampled_from(sorted(ACTIONS)), seed=SEEDS)
def test_boxes_lie_inside_the_frame_and_hold_something(action, seed):
    facts = draw_action(action, seed, WORLD)

    for actor in facts.actors:
        boxes = facts.boxes(actor)
        assert len(boxes) == facts.num_frames
        for left, top, right, bottom in filter(None, boxes):
            assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
