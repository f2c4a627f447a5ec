"""Frames follow from facts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from internvideo.playground import BACKGROUNDS, SHAPES, TEXTURES, World, draw_action, render
from internvideo.playground.facts import Track, track_array

WORLD = World(seed=4, side_px=64)


def placed(x: Track = (0.5,), **look):
    """One still thing without camera drift, distractors or noise."""
    facts = draw_action("blink", 0, WORLD)
    actor = replace(
        facts.actors[0],
        look=replace(facts.actors[0].look, **look),
        x=x,
        y=(0.5,),
        radius=(0.2,),
        angle=(0.0,),
        opacity=(1.0,),
    )
    still = {"camera_x": (0.0,), "camera_y": (0.0,), "noise": 0.0, "distractors": ()}
    return replace(facts, actors=(actor,), **still)


def test_the_same_facts_give_the_same_frames():
    facts = draw_action("chase", 1, WORLD)

    np.testing.assert_array_equal(render(facts), render(facts))


def test_some_frames_are_those_of_the_whole_video():
    facts = draw_action("swap", 1, WORLD)

    np.testing.assert_array_equal(render(facts, frames=(3, 20)), render(facts)[[3, 20]])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_painted_as_many_samples_of_it_would_be(shape):
    facts = placed(shape=shape, texture="plain", rgb=(255, 255, 255))
    frame = render(facts, frames=(0,), has_background=False)[0, ..., 0] / 255

    fine = (np.arange(64 * 8) + 0.5) / 8
    v, u = np.meshgrid((fine - 32) / 12.8, (fine - 32) / 12.8, indexing="ij")
    covered = (SHAPES[shape](u, v) < 0).reshape(64, 8, 64, 8).mean((1, 3))
    # The rim is darker, so compare where something is painted, not how bright.
    assert np.abs((frame > 0.25) * 1.0 - (covered > 0.5)).mean() < 0.01


def test_motion_below_a_pixel_shows():
    frames = [
        render(placed(x=(0.5 + shift / 64,), shape="disc", texture="plain"), frames=(0,))
        for shift in (0.0, 0.1, 0.2, 0.3)
    ]

    changes = [np.abs(frame.astype(int) - frames[0]).sum() for frame in frames]
    assert changes[0] == 0 and changes[0] < changes[1] < changes[2] < changes[3]


@pytest.mark.parametrize("texture", TEXTURES)
def test_a_texture_is_told_from_the_others(texture):
    one = render(placed(shape="square", texture=texture), frames=(0,)).astype(int)
    for other in set(TEXTURES) - {texture}:
        two = render(placed(shape="square", texture=other), frames=(0,))
        assert (np.abs(one - two).max(-1) > 60).sum() > 40


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_a_background_goes_from_one_colour_to_the_other_and_not_beyond(kind):
    facts = placed()
    behind = replace(facts.background, kind=kind, near=(40, 50, 60), far=(90, 100, 110))
    frame = render(replace(facts, background=behind, actors=()), frames=(0,))

    assert frame[..., 0].min() >= 40 and frame[..., 0].max() <= 90
    assert np.ptp(frame[..., 0]) > 15


def test_the_camera_moves_background_and_things_alike():
    facts = placed()
    moved = replace(facts, camera_x=(2 / 64,))

    here, there = (render(one, frames=(0,))[0].astype(int) for one in (facts, moved))
    assert np.abs(here[:, 2:] - there[:, :-2]).max() <= 1


def test_noise_has_the_strength_that_the_facts_say():
    facts = replace(draw_action("shake", 0, WORLD), noise=3.0)
    difference = render(facts).astype(float) - render(facts, has_noise=False)

    assert difference.std() == pytest.approx(3.0, abs=0.3)
    assert np.abs(np.corrcoef(difference[0].ravel(), difference[1].ravel())[0, 1]) < 0.05


def test_a_transparent_thing_leaves_no_trace():
    facts = draw_action("appear", 0, WORLD)
    empty = replace(facts, actors=())
    gone = np.flatnonzero(track_array(facts.actors[0].opacity, facts.num_frames) == 0)

    np.testing.assert_array_equal(render(facts, frames=gone), render(empty, frames=gone))
