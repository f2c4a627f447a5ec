"""Episodes walked in generated houses; the interface is gymnasium's (`reset`, `step`).

An observation has twelve views with depth and the instruction. An action is what agents of this
task decide: stop, or turn to an angle and walk a distance, in steps of 0.25 m with sliding.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from internvideo.errors import ConfigError
from internvideo.metrics import Episode
from internvideo.navigation.episodes import NavigationEpisode
from internvideo.navigation.instructions import describe_way
from internvideo.navigation.movement import STEP_M, Floor
from internvideo.navigation.render import Panorama, render_panorama
from internvideo.navigation.world import CELL_M, Scene, Thing, make_scene

SUCCESS_M = 3.0
# Houses of other seeds than those that are trained in.
SPLITS: Mapping[str, int] = {"train": 0, "val_seen": 0, "val_unseen": 1_000_000}


class Go(NamedTuple):
    """Turn by `angle` (radians, counterclockwise, of the heading) and walk `distance_m`."""

    angle: float
    distance_m: float


Action = Go | None  # None: stop


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Observation:
    """What the agent is given before each decision."""

    panorama: Panorama
    instruction: str
    heading: float
    num_decisions: int


@dataclass(kw_only=True, slots=True)
class _Walk:
    """Everything that happened in the episode so far."""

    x: float
    z: float
    heading: float
    path: list[tuple[float, float, float]]
    distances_m: list[float]
    collided: list[float] = field(default_factory=list)
    num_decisions: int = 0
    stopped: bool = False


class RoomsEnvironment:
    """One agent in one episode at a time.

    Args:
        side_px: Side of each view; None renders nothing, for agents that do not look.
        max_decisions: After so many the episode ends, which counts as stopping, as released.
    """

    def __init__(self, *, side_px: int | None = 32, max_decisions: int = 25) -> None:
        if max_decisions < 1 or (side_px is not None and side_px < 2):
            raise ConfigError(
                f"side_px {side_px} and max_decisions {max_decisions}; views have two pixels or "
                "more, and an episode one decision"
            )
        self.side_px, self.max_decisions = side_px, max_decisions
        self._episode: NavigationEpisode | None = None

    def reset(self, episode: NavigationEpisode) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Raises:
            ConfigError: Its scene is no generated house, or its start lies in a wall.
        """
        self.floor = _floor(episode.scene)
        x, _, z = episode.start
        if not self.floor.fits(x, z):
            raise ConfigError(
                f"episode {episode.episode_id}: starts at x {x:.2f} m, z {z:.2f} m of "
                f"{episode.scene}, in or too near a wall or furniture"
            )
        self._episode = episode
        self._to_goal = _distances(episode.scene, episode.goal[0], episode.goal[2])
        self._walk = _Walk(
            x=x,
            z=z,
            heading=episode.heading,
            path=[(x, 0.0, z)],
            distances_m=[self.distance_m(x, z)],
        )
        return self._observe(), {"distance_m": self._walk.distances_m[-1]}

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Carry out a decision; returns observation, reward, terminated, truncated and facts.

        The reward is by how many metres the goal came nearer.
        """
        if self._episode is None or self._walk.stopped:
            raise ConfigError("the episode is over or none was started; call reset(episode) first")
        walk, before = self._walk, self._walk.distances_m[-1]
        walk.num_decisions += 1
        truncated = action is not None and walk.num_decisions >= self.max_decisions
        if action is not None:
            walk.heading = math.remainder(walk.heading + action.angle, math.tau)
            for _ in range(int(action.distance_m / STEP_M + 1e-6)):
                moved = self.floor.step(walk.x, walk.z, walk.heading)
                walk.x, walk.z = moved.x, moved.z
                walk.path.append((walk.x, 0.0, walk.z))
                walk.collided.append(float(moved.collided))
            walk.distances_m.append(self.distance_m(walk.x, walk.z))
        walk.stopped = action is None or truncated
        after = walk.distances_m[-1]
        reward = before - after if math.isfinite(before) and math.isfinite(after) else 0.0
        facts = {"distance_m": after}
        return self._observe(), reward, action is None, truncated, facts

    @property
    def position(self) -> tuple[float, float, float]:
        """Position (x, 0, z) of the agent in metres."""
        return self._walk.x, 0.0, self._walk.z

    @property
    def heading(self) -> float:
        return self._walk.heading

    def distance_m(self, x: float, z: float) -> float:
        """Geodesic distance from a point to the goal; infinite where no way leads."""
        return float(self._to_goal[self.floor.scene.cell(x, z)])

    def record(self) -> Episode:
        """What happened, for `metrics.navigation_metrics`."""
        assert self._episode is not None
        reference = self._episode.locations or self._episode.reference_path
        return Episode(
            path=self._walk.path,
            reference_path=reference or [self._episode.start, self._episode.goal],
            distances_m=self._walk.distances_m,
            stopped=self._walk.stopped,
            num_decisions=self._walk.num_decisions,
            collided=self._walk.collided,
        )

    def _observe(self) -> Observation:
        assert self._episode is not None
        walk, side = self._walk, self.side_px
        panorama = Panorama(np.zeros((12, 0, 0, 3), np.uint8), np.zeros((12, 0, 0), np.float32))
        if side is not None:
            scene = self.floor.scene
            panorama = render_panorama(scene, walk.x, walk.z, walk.heading, side_px=side)
        return Observation(
            panorama=panorama,
            instruction=self._episode.instruction,
            heading=walk.heading,
            num_decisions=walk.num_decisions,
        )


def make_episodes(
    split: str, count: int, *, seed: int = 0, episodes_per_house: int = 10
) -> tuple[NavigationEpisode, ...]:
    """Draw episodes of a split: from a room to a thing in another one.

    `val_seen` are other ways through the houses of `train`, `val_unseen` are other houses.

    Raises:
        ConfigError: The split is unknown or nothing is asked for.
    """
    if split not in SPLITS or count < 1 or episodes_per_house < 1:
        raise ConfigError(
            f"{count} episodes of split {split!r}, {episodes_per_house} a house; give one or more, "
            f"of {', '.join(SPLITS)}"
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


def teacher_action(environment: RoomsEnvironment, *, longest_m: float = 3.0) -> Action:
    """What the shortest-path oracle does: straight to the farthest point of the way in sight."""
    x, _, z = environment.position
    way = environment.floor.way(x, z, environment._to_goal)
    if environment.distance_m(x, z) < STEP_M or len(way) < 2:
        return None
    (x1, z1) = way[1]
    distance = min(longest_m, math.dist((x, z), (x1, z1)))
    heading = math.atan2(-(x1 - x), -(z1 - z))
    steps = max(1, round(distance / STEP_M))
    return Go(math.remainder(heading - environment.heading, math.tau), steps * STEP_M)


def _make_episode(name: str, random: np.random.Generator) -> NavigationEpisode | None:
    floor = _floor(name)
    scene = floor.scene
    thing = scene.things[int(random.integers(len(scene.things)))]
    if sum(other.name == thing.name for other in scene.things) > 1:
        return None  # the instruction would not say which
    starts = [n for n in range(len(scene.rooms)) if n != thing.room]
    start = _spot(floor, starts[int(random.integers(len(starts)))], random)
    goal = _beside(floor, thing)
    if start is None or goal is None:
        return None
    distances = _distances(name, *goal)
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
    return (column + 0.5) * 0.1, (row + 0.5) * CELL_M


def scene_of(name: str) -> Scene:
    """The house of a name such as `house-17`; raises `ConfigError` where it is none."""
    kind, _, number = name.partition("-")
    if kind != "house" or not number.isdecimal():
        raise ConfigError(
            f"scene {name!r} is no generated house (house-N); scenes of Matterport3D need Habitat"
        )
    return make_scene(int(number))


@lru_cache(maxsize=64)
def _floor(name: str) -> Floor:
    return Floor(scene_of(name))


@lru_cache(maxsize=256)
def _distances(name: str, x: float, z: float) -> NDArray[np.float64]:
    return _floor(name).distances_to(x, z)
