"""Houses, what is seen in them, and moving about: laws that hold for any seed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from internvideo.errors import ConfigError
from internvideo.navigation import Floor, make_scene, render_panorama
from internvideo.navigation.world import CELL_M, COLOURS, WALL_HEIGHT_M


@pytest.fixture(scope="module")
def scene():
    return make_scene(3)


def test_the_same_seed_gives_the_same_house_to_the_bit():
    first, second, other = make_scene(5), make_scene(5), make_scene(6)

    assert first.things == second.things
    assert (first.heights_m == second.heights_m).all()
    assert (first.colours == second.colours).all()
    assert first.things != other.things


@pytest.mark.parametrize("seed", range(8))
def test_every_room_can_be_reached_from_every_other(seed):
    scene = make_scene(seed)
    floor = Floor(scene)

    inside = floor.walkable & (scene.room_of >= 0)
    i, j = np.argwhere(inside)[0]
    distances = floor.distances_to((j + 0.5) * CELL_M, (i + 0.5) * CELL_M)

    reached = {int(n) for n in np.unique(scene.room_of[np.isfinite(distances)])} - {-1}
    assert reached == set(range(len(scene.rooms)))


def test_a_house_of_one_room_or_of_too_many_is_refused():
    with pytest.raises(ConfigError, match="1 x 1 rooms"):
        make_scene(0, rows=1, columns=1)
    with pytest.raises(ConfigError, match="4 x 4 rooms"):
        make_scene(0, rows=4, columns=4)


def test_turning_by_30_degrees_moves_the_views_on_by_one(scene):
    x, z = scene.rooms[1].centre

    before = render_panorama(scene, x, z, 0.4)
    after = render_panorama(scene, x, z, 0.4 + math.tau / 12)

    for view in range(12):
        same = before.colours[(view + 1) % 12] == after.colours[view]
        assert same.mean() > 0.99  # edges may fall on the other side of a pixel
        np.testing.assert_allclose(
            np.median(before.depths_m[(view + 1) % 12]), np.median(after.depths_m[view]), rtol=1e-3
        )


def _obvious_depth(scene, x, z, yaw, tangent) -> float:
    """Depth of the first wall, followed in steps of a millimetre."""
    dx, dz = -math.sin(yaw) + tangent * math.cos(yaw), -math.cos(yaw) - tangent * math.sin(yaw)
    for k in range(1, 20_000):
        i, j = scene.cell(x + dx * k * 1e-3, z + dz * k * 1e-3)
        if scene.heights_m[i, j] >= WALL_HEIGHT_M:
            return k * 1e-3
    return math.inf


@pytest.mark.parametrize("seed", range(4))
def test_depth_agrees_with_the_map(seed):
    scene, side = make_scene(seed), 32
    random = np.random.default_rng(seed)
    free = np.argwhere(Floor(scene).walkable)

    for _ in range(5):
        i, j = free[random.integers(len(free))]
        x, z, heading = (j + 0.5) * CELL_M, (i + 0.5) * CELL_M, random.uniform(-3, 3)
        view, column = int(random.integers(12)), int(random.integers(side))
        depths = render_panorama(scene, x, z, heading, side_px=side).depths_m
        tangent = (column + 0.5) / side * 2 - 1
        expected = _obvious_depth(scene, x, z, heading + view * math.tau / 12, tangent)
        # The uppermost row above the horizon looks over furniture, at the wall where it is near.
        above = depths[view, side // 2 - 1, column]
        assert above == pytest.approx(min(expected, above), abs=2e-3)
        assert above <= expected + 2e-3
        if above < expected - 2e-3:  # then furniture taller than the eye stands before the wall
            assert max(t for t in scene.heights_m.ravel() if t < WALL_HEIGHT_M) > 1.25


def test_a_thing_in_front_is_seen_in_its_colour(scene):
    floor = Floor(scene)
    thing = next(t for t in scene.things if t.kind == "bed")
    x, z = scene.rooms[thing.room].centre
    if not floor.fits(x, z):
        pytest.skip("the middle of this room is taken")
    heading = math.atan2(-(thing.centre[0] - x), -(thing.centre[1] - z))

    ahead = render_panorama(scene, x, z, heading, side_px=64).colours[0].astype(float)

    hue = np.array(COLOURS[thing.colour], float)
    cosine = (ahead @ hue) / (np.linalg.norm(ahead, axis=-1) * np.linalg.norm(hue) + 1e-9)
    assert (cosine[40:, 24:40] > 0.99).mean() > 0.1


def test_walking_into_a_wall_slides_along_it_and_is_noticed(scene):
    floor = Floor(scene)
    room = scene.rooms[0]
    x, z = room.centre
    while floor.fits(x - 0.05, z):  # up to the western wall
        x -= 0.05

    straight = floor.step(x, z, math.pi / 2)
    slanted = floor.step(x, z, math.pi / 4)

    assert straight.collided and straight.x == pytest.approx(x, abs=0.06)
    assert slanted.collided
    assert slanted.z < z - 0.1


def test_an_agent_never_ends_where_it_does_not_fit(scene):
    floor, random = Floor(scene), np.random.default_rng(0)
    x, z = scene.rooms[2].centre

    for _ in range(300):
        x, z, _ = floor.step(x, z, random.uniform(-math.pi, math.pi))
        assert floor.fits(x, z)


def test_starting_in_a_wall_is_refused(scene):
    with pytest.raises(ConfigError, match=r"nobody can stand at x 0\.00 m"):
        Floor(scene).step(0.0, 0.0, 0.0)


def test_a_way_is_walkable_and_about_as_long_as_its_distance(scene):
    floor = Floor(scene)
    cells = np.argwhere(floor.walkable)
    (a, b), (c, d) = cells[10], cells[-10]
    goal = ((d + 0.5) * CELL_M, (c + 0.5) * CELL_M)
    start = ((b + 0.5) * CELL_M, (a + 0.5) * CELL_M)
    distances = floor.distances_to(*goal)

    way = floor.way(*start, distances)

    length = sum(math.dist(p, q) for p, q in itertools.pairwise(way))
    assert all(floor.sees(p, q) for p, q in itertools.pairwise(way))
    assert length <= distances[a, b] + 1e-6
    assert length >= distances[a, b] / 1.09
