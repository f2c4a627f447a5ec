"""Episodes drawn from a seed: from a room of a generated house to a thing in another room."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from internvideo.errors import ConfigError
from internvideo.navigation.environment import SUCCESS_M
from internvideo.navigation.episodes import NavigationEpisode
from internvideo.navigation.instructions import describe_way
from internvideo.navigation.movement import STEP_M, Floor
from internvideo.navigation.rooms import distances_of, floor_of
from internvideo.navigation.world import CELL_M, Thing

# Houses of other seeds than those that are trained in.
SPLITS: Mapping[str, int] = {"train": 0, "val_seen": 0, "val_unseen": 1_000_000}


def make_episodes(
    split: str, count: int, *, seed: int = 0, episodes_per_house: int = 10
) -> tuple[NavigationEpisode, ...]:
    """Draw episodes of a split: from a room to a thing in another one.

    `val_seen` are other ways through the houses of `train`, `val_unseen` are other houses.

    Raises:
        ConfigError: The split is unknown or nothing is asked for.
    """
    if split not in SPLITS:
        raise ConfigError(f"split {split!r} of generated houses; there are {', '.join(SPLITS)}")
    if count < 1 or episodes_per_house < 1:
        raise ConfigError(
            f"{count} episodes, {episodes_per_house} a house; give one or more of both"
        )
    made: list[NavigationEpisode] = []
    stream = list(SPLITS).index(split)
    house = SPLITS[split] + seed * 10_000
    while len(made) < count:
        random = np.random.default_rng([seed, stream, house])
        for _ in range(episodes_per_house):
            episode = _make_episode(f"house-{house}", random)
            if episode is not None and len(made) < count:
                number = str(len(made) + 1)
                made.append(replace(episode, episode_id=number, trajectory_id=number))
        house += 1
    return tuple(made)


def _make_episode(name: str, random: np.random.Generator) -> NavigationEpisode | None:
    floor = floor_of(name)
    scene = floor.scene
    thing = scene.things[int(random.integers(len(scene.things)))]
    if sum(other.name == thing.name for other in scene.things) > 1:
        return None  # the instruction would not say which
    starts = [n for n in range(len(scene.rooms)) if n != thing.room]
    start = _spot(floor, starts[int(random.integers(len(starts)))], random)
    goal = _beside(floor, thing)
    if start is None or goal is None:
        return None
    distances = distances_of(name, *goal)
    way = floor.way(*start, distances)
    if not way or distances[scene.cell(*start)] < SUCCESS_M:
        return None
    heading = float(random.integers(12)) * math.tau / 12
    instruction = describe_way(scene, way, thing, seed=int(random.integers(2**31)))
    return NavigationEpisode(
        episode_id="",
        trajectory_id="",
        scene=name,
        start=(start[0], 0.0, start[1]),
        heading=math.remainder(heading, math.tau),
        goal=(goal[0], 0.0, goal[1]),
        radius_m=SUCCESS_M,
        distance_m=float(distances[scene.cell(*start)]),
        instruction=instruction,
        reference_path=tuple((x, 0.0, z) for x, z in way),
        locations=tuple(_walked(way)),
    )


def _walked(way: list[tuple[float, float]]) -> list[tuple[float, float, float]]:
    """Positions every 0.25 m along a way, its ends included."""
    points, left = [(way[0][0], 0.0, way[0][1])], STEP_M
    for (x0, z0), (x1, z1) in itertools.pairwise(way):
        length, at = math.dist((x0, z0), (x1, z1)), left
        while at <= length:
            share = at / length
            points.append((x0 + share * (x1 - x0), 0.0, z0 + share * (z1 - z0)))
            at += STEP_M
        left = at - length
    end = (way[-1][0], 0.0, way[-1][1])
    return points if math.dist(points[-1], end) < 1e-6 else [*points, end]


def _spot(floor: Floor, room: int, random: np.random.Generator) -> tuple[float, float] | None:
    """A point of a room where the agent can stand."""
    cells = np.argwhere((floor.scene.room_of == room) & floor.walkable)
    if not len(cells):
        return None
    i, j = cells[int(random.integers(len(cells)))]
    return _middle(int(i), int(j))


def _beside(floor: Floor, thing: Thing) -> tuple[float, float] | None:
    """The point of the thing's room that is nearest to it and walkable."""
    cells = np.argwhere((floor.scene.room_of == thing.room) & floor.walkable)
    if not len(cells):
        return None
    middles = (cells[:, ::-1] + 0.5) * CELL_M
    i, j = cells[int(np.hypot(*(middles - np.array(thing.centre)).T).argmin())]
    return _middle(int(i), int(j))


def _middle(row: int, column: int) -> tuple[float, float]:
    return (column + 0.5) * CELL_M, (row + 0.5) * CELL_M
