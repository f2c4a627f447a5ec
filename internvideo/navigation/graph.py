"""Scene graphs of Matterport3D: viewpoints of real houses that one can walk between, no pictures.

Source: `connectivity/{scan}_connectivity.json` of Matterport3DSimulator (Anderson et al. 2018,
arXiv:1711.07280), and R2R's episodes `R2R_{split}.json`. Positions are turned from Matterport's
axes (z upwards) into Habitat's (y upwards), so that episodes of R2R and of R2R-VLNCE are walked
alike.
"""

from __future__ import annotations

import heapq
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from internvideo.errors import AnnotationError, ConfigError
from internvideo.navigation.environment import (
    MAX_DECISIONS,
    SUCCESS_M,
    Action,
    Environment,
    Go,
    Moved,
    Place,
    Plan,
)
from internvideo.navigation.episodes import NavigationEpisode, Position, load_json
from internvideo.navigation.movement import STEP_M
from internvideo.navigation.render import Panorama
from internvideo.reading import OTHER_SHAPE

_log = logging.getLogger(__name__)
_NEAREST_M = 2.0  # of a viewpoint to where an episode starts or ends
_PLAN_PX_PER_M, _MARGIN_M = 48.0, 3.5


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewpointGraph:
    """Viewpoints of a scene by name, and from each the others that one can walk straight to."""

    scan: str
    positions: Mapping[str, Position]
    neighbours: Mapping[str, tuple[str, ...]]

    def nearest(self, position: Position) -> tuple[str, float]:
        """The viewpoint nearest to a position, and how far away it is."""
        name = min(self.positions, key=lambda n: math.dist(self.positions[n], position))
        return name, math.dist(self.positions[name], position)

    def distances_to(self, goal: str) -> dict[str, float]:
        """Length of the shortest way from each viewpoint; those without a way are left out."""
        distances, queue = {goal: 0.0}, [(0.0, goal)]
        while queue:
            distance, name = heapq.heappop(queue)
            if distance > distances[name]:
                continue
            for other in self.neighbours[name]:
                further = distance + math.dist(self.positions[name], self.positions[other])
                if further < distances.get(other, math.inf):
                    distances[other] = further
                    heapq.heappush(queue, (further, other))
        return distances


def read_graph(path: str | Path) -> ViewpointGraph:
    """Read the connectivity file of a scene; viewpoints that are not included are left out.

    Raises:
        AnnotationError: The file is missing, damaged or not in this format.
    """
    path = Path(path)
    document = load_json(path)
    try:
        kept = [node["image_id"] if node["included"] else None for node in document]
        positions, neighbours = {}, {}
        for node, name in zip(document, kept, strict=True):
            if name is None:
                continue
            x, y, z = (float(node["pose"][place]) for place in (3, 7, 11))
            # To y upwards, and from the camera down to the floor.
            positions[name] = (x, z - float(node["height"]), -y)
            if not all(map(math.isfinite, positions[name])):
                raise ValueError(f"viewpoint {name!r:.60} has no finite position")
            open_to = zip(kept, node["unobstructed"], strict=True)
            neighbours[name] = tuple(n for n, is_open in open_to if is_open and n and n != name)
    except OTHER_SHAPE as error:
        raise AnnotationError(
            f"{path}: {type(error).__name__}: {error}; expected a connectivity file of Matterport3D"
        ) from error
    if not positions:
        raise AnnotationError(f"{path}: has no viewpoint that is included")
    scan = path.name.removesuffix(".gz").removesuffix(".json").removesuffix("_connectivity")
    return ViewpointGraph(scan=scan, positions=positions, neighbours=neighbours)


class SceneGraphs:
    """The connectivity files of a folder, read when a scene is asked for."""

    def __init__(self, folder: str | Path) -> None:
        self.folder, self._read = Path(folder), dict[str, ViewpointGraph]()
        if not self.folder.is_dir():
            raise ConfigError(
                f"{self.folder}: no such folder of connectivity files (SCAN_connectivity.json)"
            )

    def __contains__(self, scene: str) -> bool:
        return self._path(scene).exists()

    def graph(self, scene: str) -> ViewpointGraph:
        """The graph of a scene, named as in R2R (`SCAN`) or R2R-VLNCE (`mp3d/SCAN/SCAN.glb`).

        Raises:
            ConfigError: The folder has no such scene.
        """
        scan = _scan(scene)
        if scan not in self._read:
            if scene not in self:
                raise ConfigError(
                    f"{self.folder}: has no {scan}_connectivity.json for scene {scene!r}; add it "
                    "or leave out the episodes of this scene"
                )
            self._read[scan] = read_graph(self._path(scene))
        return self._read[scan]

    def _path(self, scene: str) -> Path:
        return self.folder / f"{_scan(scene)}_connectivity.json"


def _scan(scene: str) -> str:
    return scene.rpartition("/")[2].removesuffix(".glb")


def read_r2r(path: str | Path, graphs: SceneGraphs) -> tuple[NavigationEpisode, ...]:
    """Read `R2R_{split}.json`: an episode for each instruction, `PATH_NUMBER` by name.

    Entries of scenes without a connectivity file are left out, which is logged: many folders hold
    only some.

    Raises:
        AnnotationError: The file is damaged, has no goals (the test split), or all scenes lack.
    """
    path, document = Path(path), load_json(path)
    if not isinstance(document, list) or not document:
        raise AnnotationError(f"{path}: expected a list of entries with 'scan' and 'path'")
    episodes = []
    for number, entry in enumerate(document):
        try:
            episodes += _episodes_of(entry, graphs)
        except OTHER_SHAPE as error:
            name = entry.get("path_id", number) if isinstance(entry, dict) else number
            raise AnnotationError(
                f"{path}: entry {name}: {type(error).__name__}: {error}; expected the fields of R2R"
            ) from error
    if not episodes:
        raise AnnotationError(f"{path}: {graphs.folder} has the connectivity of none of its scenes")
    missing = sorted({scan for e in document if (scan := str(e["scan"])) not in graphs})
    if missing:
        _log.warning(
            "%s: left out the episodes of %d scenes that have no file in %s, such as %s",
            *(path, len(missing), graphs.folder, missing[0]),
        )
    return tuple(episodes)


def _episodes_of(entry: Mapping[str, Any], graphs: SceneGraphs) -> Iterator[NavigationEpisode]:
    scene, names = str(entry["scan"]), list(entry["path"])
    if scene not in graphs:
        return
    if len(names) < 2:
        raise ValueError("its path has no goal; such a split cannot be scored")
    positions = graphs.graph(scene).positions
    way = tuple(positions[name] for name in names)
    for number, text in enumerate(entry["instructions"]):
        yield NavigationEpisode(
            episode_id=f"{entry['path_id']}_{number}",
            trajectory_id=str(entry["path_id"]),
            scene=scene,
            start=way[0],
            # R2R's headings go clockwise from +y, which is -z here.
            heading=math.remainder(-float(entry["heading"]), math.tau),
            goal=way[-1],
            radius_m=SUCCESS_M,
            distance_m=float(entry["distance"]),
            instruction=str(text).strip(),
            reference_path=way,
        )


class _Edge(NamedTuple):
    go: Go
    name: str


class GraphEnvironment(Environment):
    """One agent on the viewpoints of a scene; it moves along the edge nearest to its action."""

    def __init__(self, graphs: SceneGraphs, *, max_decisions: int = MAX_DECISIONS) -> None:
        super().__init__(max_decisions=max_decisions)
        self.graphs = graphs

    def distances_after(self, actions: Sequence[Go]) -> list[float]:
        return [self._to_goal.get(self._nearest(go).name, math.inf) for go in actions]

    def towards_goal(self) -> Action:
        edges = self._edges(self.place)
        if not edges or self.distance_m == 0 or not math.isfinite(self.distance_m):
            return None
        best = min(edges, key=lambda e: self._to_goal.get(e.name, math.inf) + self._length(e.name))
        return best.go

    def candidates(self) -> list[Go]:
        """The viewpoints that one can walk straight to."""
        return [edge.go for edge in self._edges(self.place)]

    def plan(self) -> Plan:
        points = np.array(list(self._graph.positions.values()))[:, [0, 2]]
        low, high = points.min(0) - _MARGIN_M, points.max(0) + _MARGIN_M
        width, height = np.ceil((high - low) * _PLAN_PX_PER_M).astype(int)
        picture = np.full((height, width, 3), 240, np.uint8)
        for name, others in self._graph.neighbours.items():
            for other in others:
                ends = [self._graph.positions[n] for n in (name, other)]
                (x0, z0), (x1, z1) = (((p[0] - low[0]), (p[2] - low[1])) for p in ends)
                count = int(math.dist((x0, z0), (x1, z1)) * _PLAN_PX_PER_M) + 2
                columns = (np.linspace(x0, x1, count) * _PLAN_PX_PER_M).astype(int)
                rows = (np.linspace(z0, z1, count) * _PLAN_PX_PER_M).astype(int)
                picture[rows, columns] = 190
        return Plan(picture, (float(low[0]), float(low[1])), _PLAN_PX_PER_M)

    def _start(self, episode: NavigationEpisode) -> Place:
        self._graph = self.graphs.graph(episode.scene)
        found = []
        for what, position in (("starts", episode.start), ("ends", episode.goal)):
            name, away = self._graph.nearest(position)
            if away > _NEAREST_M:
                raise ConfigError(
                    f"episode {episode.episode_id}: {what} {away:.1f} m from the nearest viewpoint "
                    f"of {episode.scene}; its positions are those of another scene"
                )
            found.append(name)
        self._at, goal = found
        self._to_goal = self._graph.distances_to(goal)
        return Place(self._graph.positions[self._at], episode.heading)

    def _go(self, go: Go) -> Moved:
        edge = self._nearest(go)
        start, end = self.place.position, self._graph.positions[edge.name]
        heading = math.remainder(self.place.heading + edge.go.angle, math.tau)
        if edge.name == self._at:
            return Moved([], [])
        self._at = edge.name
        count = max(1, round(math.dist(start, end) / STEP_M))
        shares = [k / count for k in range(1, count + 1)]
        path = [(_between(start, end, share)) for share in shares]
        return Moved([Place(point, heading) for point in path], [0.0] * count)

    def _nearest(self, go: Go) -> _Edge:
        """The edge whose end is nearest to where an action would lead; of none to stay."""
        edges = self._edges(self.place)
        if not edges:
            return _Edge(Go(go.angle, 0.0), self._at)
        return min(edges, key=lambda edge: _apart(edge.go, go))

    def _edges(self, place: Place) -> list[_Edge]:
        found = []
        for name in self._graph.neighbours[self._at]:
            x, y, z = self._graph.positions[name]
            heading = math.atan2(-(x - place.x), -(z - place.z))
            distance = math.dist(place.position, (x, y, z))
            found.append(
                _Edge(Go(math.remainder(heading - place.heading, math.tau), distance), name)
            )
        return found

    def _length(self, name: str) -> float:
        return math.dist(self.place.position, self._graph.positions[name])

    def _distance_m(self, position: Position) -> float:
        return self._to_goal.get(self._at, math.inf)

    def _render(self, place: Place) -> Panorama:
        raise ConfigError("scene graphs have no pictures; agents that look need Habitat")


def _between(start: Position, end: Position, share: float) -> Position:
    x, y, z = (a + share * (b - a) for a, b in zip(start, end, strict=True))
    return x, y, z


def _apart(first: Go, second: Go) -> float:
    """Distance of the ends of two actions on the ground."""
    ends = [
        (g.distance_m * math.sin(g.angle), g.distance_m * math.cos(g.angle))
        for g in (first, second)
    ]
    return math.dist(*ends)
