"""Where an agent of some width can stand, how far it is along the floor, and how it moves.

An agent walks straight until it meets something and then slides along it, as Habitat does with
`ALLOW_SLIDING`. Distances are geodesic: shortest ways over cells on which the agent's centre fits,
with straight and diagonal moves, at most 8 % longer than the shortest curve.
"""

from __future__ import annotations

import heapq
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from internvideo.errors import ConfigError
from internvideo.navigation.world import CELL_M, Scene

STEP_M = 0.25
RADIUS_M = 0.2
_SUBSTEP_M = CELL_M / 4
# To where, and how long; straight before diagonal, so that equal ways are found in a fixed order.
_MOVES = [(i, j, math.hypot(i, j) * CELL_M) for i, j in ((-1, 0), (0, -1), (0, 1), (1, 0))]
_MOVES += [(i, j, math.hypot(i, j) * CELL_M) for i in (-1, 1) for j in (-1, 1)]


class Moved(NamedTuple):
    """Where a step ended, and whether it met something on the way."""

    x: float
    z: float
    collided: bool


class Floor:
    """The floor of a scene for an agent of some radius."""

    def __init__(self, scene: Scene, *, radius_m: float = RADIUS_M) -> None:
        self.scene = scene
        self.walkable = _far_from(~scene.free, radius_m / CELL_M)
        self._walkable: list[list[bool]] = self.walkable.tolist()

    def fits(self, x: float, z: float) -> bool:
        """Whether the agent's centre can be at a point."""
        row, column = self.scene.cell(x, z)
        inside = 0 <= row < len(self._walkable) and 0 <= column < len(self._walkable[0])
        return inside and self._walkable[row][column]

    def step(self, x: float, z: float, heading: float, *, length_m: float = STEP_M) -> Moved:
        """Walk straight, sliding along what is in the way.

        Raises:
            ConfigError: If the agent cannot stand where it starts.
        """
        if not self.fits(x, z):
            raise ConfigError(
                f"{self.scene.name}: nobody can stand at x {x:.2f} m, z {z:.2f} m; the point lies "
                "in or too near a wall or furniture"
            )
        count = max(1, round(length_m / _SUBSTEP_M))
        dx, dz = (-math.sin(heading) * length_m / count, -math.cos(heading) * length_m / count)
        collided = False
        for _ in range(count):
            if self.fits(x + dx, z + dz):
                x, z = x + dx, z + dz
                continue
            collided = True
            if self.fits(x + dx, z):
                x += dx
            elif self.fits(x, z + dz):
                z += dz
        return Moved(x, z, collided)

    def distances_to(self, x: float, z: float) -> NDArray[np.float64]:
        """Geodesic distance in metres from every cell to a point; infinite where no way leads."""
        if not self.fits(x, z):
            return np.full(self.walkable.shape, np.inf)
        # Lists and not arrays: single elements are read a million times.
        rows, columns = self.walkable.shape
        distances = [[math.inf] * columns for _ in range(rows)]
        i, j = self.scene.cell(x, z)
        distances[i][j] = 0.0
        queue = [(0.0, i, j)]
        while queue:
            distance, i, j = heapq.heappop(queue)
            if distance > distances[i][j]:
                continue
            for di, dj, length in _MOVES:
                further = distance + length
                if further < distances[i + di][j + dj] and self._passes(i, j, di, dj):
                    distances[i + di][j + dj] = further
                    heapq.heappush(queue, (further, i + di, j + dj))
        return np.array(distances)

    def way(self, x: float, z: float, distances: NDArray[np.float64]) -> list[tuple[float, float]]:
        """Points (x, z) of a shortest way down `distances`, from a point to where they are 0.

        Corners that can be cut in a straight line are left out. Empty where no way leads.
        """
        i, j = self.scene.cell(x, z)
        if not self.fits(x, z) or not np.isfinite(distances[i, j]):
            return []
        points = [(x, z)]
        while distances[i, j] > 0:
            options = [
                (distances[i + di, j + dj] + length, (i + di, j + dj))
                for di, dj, length in _MOVES
                if self._passes(i, j, di, dj)
            ]
            _, (i, j) = min(options)
            points.append(((j + 0.5) * CELL_M, (i + 0.5) * CELL_M))
        return self._straightened(points)

    def sees(self, start: tuple[float, float], end: tuple[float, float]) -> bool:
        """Whether the agent can walk a straight line."""
        count = max(1, math.ceil(math.dist(start, end) / _SUBSTEP_M))
        shares = np.arange(count + 1) / count
        rows, columns = (
            np.floor((start[axis] + shares * (end[axis] - start[axis])) / CELL_M).astype(np.int64)
            for axis in (1, 0)
        )
        height, width = self.walkable.shape
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        return bool(inside.all() and self.walkable[rows, columns].all())

    def _passes(self, i: int, j: int, di: int, dj: int) -> bool:
        """Whether a move leads to a walkable cell, without cutting a corner."""
        free = self._walkable  # never on the border: the outer wall lies there
        return free[i + di][j + dj] and free[i + di][j] and free[i][j + dj]

    def _straightened(self, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        kept, at = [points[0]], 0
        while at < len(points) - 1:
            far = len(points) - 1
            while far > at + 1 and not self.sees(points[at], points[far]):
                far -= max(1, (far - at) // 8)
            kept.append(points[far])
            at = far
        return kept


def _far_from(solid: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Cells whose middle is at least `radius` cells away from the edges of all solid ones."""
    reach = math.ceil(radius)
    padded = np.pad(solid, reach, constant_values=True)
    rows, columns = solid.shape
    near = np.zeros_like(solid)
    for i in range(-reach, reach + 1):
        for j in range(-reach, reach + 1):
            gap = math.hypot(max(0.0, abs(i) - 0.5), max(0.0, abs(j) - 0.5))
            if gap < radius:
                near |= padded[reach + i : reach + i + rows, reach + j : reach + j + columns]
    return ~near
