"""The environment of generated houses: ray casting, sliding along walls, geodesic distances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from internvideo.errors import ConfigError
from internvideo.navigation.environment import (
    Action,
    Environment,
    Go,
    Moved,
    Place,
    Plan,
    straight_to,
)
from internvideo.navigation.episodes import NavigationEpisode, Position
from internvideo.navigation.movement import STEP_M, Floor
from internvideo.navigation.render import Panorama, render_panorama
from internvideo.navigation.world import CELL_M, WALL_HEIGHT_M, Scene, make_scene

_SIGHT_M = 6.0  # how far away points are that candidates lead to
_NEAREST_M = 0.5
_PLAN_PX = 5  # of each cell of 10 cm


class RoomsEnvironment(Environment):
    """One agent in one episode of a generated house at a time; see `Environment`."""

    def __init__(self, *, side_px: int | None = 32, **options: int) -> None:
        super().__init__(side_px=side_px, **options)

    def distance_from(self, x: float, z: float) -> float:
        """Geodesic distance from a point to the goal; infinite where no way leads."""
        return float(self._to_goal[self.floor.scene.cell(x, z)])

    def distances_after(self, actions: Sequence[Go]) -> list[float]:
        found = []
        for action in actions:
            places = self._go(action).places
            found.append(self._distance_m(places[-1].position) if places else self.distance_m)
        return found

    def towards_goal(self) -> Action:
        """Straight to the farthest point of the shortest way that one sees."""
        x, z = self.place.x, self.place.z
        way = self.floor.way(x, z, self._to_goal)
        if self.distance_from(x, z) < STEP_M or len(way) < 2:
            return None
        return straight_to(self.place, *way[1])

    def candidates(self) -> list[Go]:
        """Doors, middles of rooms and places beside things that one could walk straight to."""
        if self._known is None or self._known[0] != self.place:
            self._known = self.place, navigable_points(self.floor, self.place)
        return self._known[1]

    def plan(self) -> Plan:
        return Plan(_plan_of(self.episode.scene), (0.0, 0.0), _PLAN_PX / CELL_M)

    def _start(self, episode: NavigationEpisode) -> Place:
        self.floor = floor_of(episode.scene)
        x, _, z = episode.start
        if not self.floor.fits(x, z):
            raise ConfigError(
                f"episode {episode.episode_id}: starts at x {x:.2f} m, z {z:.2f} m of "
                f"{episode.scene}, in or too near a wall or furniture"
            )
        self._known: tuple[Place, list[Go]] | None = None
        self._to_goal = distances_of(episode.scene, episode.goal[0], episode.goal[2])
        return Place((x, 0.0, z), episode.heading)

    def _go(self, go: Go) -> Moved:
        x, z = self.place.x, self.place.z
        heading = math.remainder(self.place.heading + go.angle, math.tau)
        count = go.num_steps
        end = _end(self.place, Go(go.angle, count * STEP_M))
        if count and self.floor.sees((x, z), end):  # nothing to slide along
            shares = [(k + 1) / count for k in range(count)]
            points = [(x + s * (end[0] - x), 0.0, z + s * (end[1] - z)) for s in shares]
            return Moved([Place(point, heading) for point in points], [0.0] * count)
        places, collided = [], []
        for _ in range(count):
            x, z, met = self.floor.step(x, z, heading)
            places.append(Place((x, 0.0, z), heading))
            collided.append(float(met))
        return Moved(places, collided)

    def _distance_m(self, position: Position) -> float:
        return self.distance_from(position[0], position[2])

    def _render(self, place: Place) -> Panorama:
        assert self.side_px is not None
        return render_panorama(
            self.floor.scene, place.x, place.z, place.heading, side_px=self.side_px
        )


def scene_of(name: str) -> Scene:
    """The house of a name such as `house-17`; raises `ConfigError` where it is none."""
    kind, _, number = name.partition("-")
    if kind != "house" or not number.isdecimal():
        raise ConfigError(
            f"scene {name!r} is no generated house (house-N); scenes of Matterport3D need Habitat, "
            "or their connectivity graph"
        )
    return make_scene(int(number))


def navigable_points(floor: Floor, place: Place, *, most: int = 5) -> list[Go]:
    """Ways to walk from a place: to the nearest of the house's points that are in sight.

    Of points in nearly the same direction only the nearest counts. Where nothing is in sight it is
    the direction in which one can walk farthest.
    """
    here = (place.x, place.z)
    near = sorted((math.dist(here, point), point) for point in _points_of(floor.scene.name))
    found: list[Go] = []
    for distance, point in near:
        if distance > _SIGHT_M or len(found) == most:
            break
        go = straight_to(place, *point)
        apart = [abs(math.remainder(go.angle - other.angle, math.tau)) for other in found]
        is_new = distance >= _NEAREST_M and min(apart, default=math.pi) > math.radians(15)
        if is_new and floor.sees(here, point):
            found.append(go)
    return found or [_farthest(floor, place)]


def _farthest(floor: Floor, place: Place) -> Go:
    options = [Go(k * math.tau / 24, n * STEP_M) for k in range(24) for n in range(1, 13)]
    free = [go for go in options if floor.sees((place.x, place.z), _end(place, go))]
    return max(free, key=lambda go: go.distance_m, default=options[0])


def _end(place: Place, go: Go) -> tuple[float, float]:
    heading = place.heading + go.angle
    return (
        place.x - math.sin(heading) * go.distance_m,
        place.z - math.cos(heading) * go.distance_m,
    )


@lru_cache(maxsize=256)
def _points_of(name: str) -> tuple[tuple[float, float], ...]:
    """Middles of doors and rooms, and places beside things, moved to where one can stand."""
    floor = floor_of(name)
    scene = floor.scene
    cells = np.argwhere(floor.walkable)
    middles = (cells[:, ::-1] + 0.5) * CELL_M
    wanted = [*(door.centre for door in scene.doors), *(room.centre for room in scene.rooms)]
    wanted += [thing.centre for thing in scene.things]
    nearest = [int(np.hypot(*(middles - np.array(point)).T).argmin()) for point in wanted]
    return tuple((float(x), float(z)) for x, z in middles[nearest])


@lru_cache(maxsize=256)
def floor_of(name: str) -> Floor:
    """The floor of a generated house."""
    return Floor(scene_of(name))


@lru_cache(maxsize=1024)
def distances_of(name: str, x: float, z: float) -> NDArray[np.float64]:
    """Geodesic distances from every cell of a generated house to a point."""
    return floor_of(name).distances_to(x, z)


@lru_cache(maxsize=8)
def _plan_of(name: str) -> NDArray[np.uint8]:
    scene = scene_of(name)
    solid = (scene.heights_m > 0)[..., None]
    wall = (scene.heights_m >= WALL_HEIGHT_M)[..., None]
    picture = np.where(solid, scene.colours, (scene.floors * 0.5 + 127).astype(np.uint8))
    picture = np.where(wall, np.uint8(70), picture)
    return picture.repeat(_PLAN_PX, 0).repeat(_PLAN_PX, 1)
