"""Shapes, colours and their outlines."""

from __future__ import annotations

import numpy as np
import pytest

from internvideo.playground.appearance import COLOURS, COVERING_SHAPES, SHAPES, SIZES, outline

RAMP = np.linspace(-1.4, 1.4, 281)
V, U = np.meshgrid(RAMP, RAMP, indexing="ij")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_lies_within_its_radius_and_has_some_size(shape):
    inside = SHAPES[shape](U, V) < 0

    assert np.hypot(U, V)[inside].max() <= 1.2
    assert 0.2 < inside.mean() * 2.8**2 < np.pi * 1.1**2


@pytest.mark.parametrize("shape", SHAPES)
def test_near_its_edge_a_shape_measures_distance(shape):
    distance = SHAPES[shape](U, V)
    step = RAMP[1] - RAMP[0]
    slope = np.hypot(*np.gradient(distance, step))
    near = np.abs(distance) < 0.03

    # Corners and creases aside, one unit of distance for one unit of way.
    assert np.median(slope[near]) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_outline_has_the_extent_of_the_shape(shape):
    inside = SHAPES[shape](U, V) < 0
    out_u, out_v = outline(shape)

    for found, at in ((out_u, U), (out_v, V)):
        assert found.min() == pytest.approx(at[inside].min(), abs=0.03)
        assert found.max() == pytest.approx(at[inside].max(), abs=0.03)


def test_no_two_shapes_are_alike():
    areas = {name: shape(U, V) < 0 for name, shape in SHAPES.items()}

    for one in SHAPES:
        for other in SHAPES:
            if one < other:
                both, either = areas[one] & areas[other], areas[one] | areas[other]
                assert both.sum() / either.sum() < 0.88, (one, other)


def test_a_large_covering_shape_hides_a_small_thing():
    reach = max(np.hypot(*outline(shape)).max() for shape in SHAPES) * SIZES["small"] * 1.05
    for shape in COVERING_SHAPES:
        room = np.hypot(U, V)[SHAPES[shape](U, V) > 0].min() * SIZES["large"] * 0.95
        assert room > reach, shape


def test_colours_are_apart():
    colours = np.array(list(COLOURS.values()), dtype=float)
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=-1)

    assert apart[~np.eye(len(colours), dtype=bool)].min() > 70
