"""What an agent sees: colour and depth of views around it, by casting a ray for every column.

Shapes: twelve views (12, h, w, 3) uint8 with depth (12, h, w) float32 in metres along the view's
axis; view i looks 30 i degrees to the left of the heading. Field of view 90 degrees both ways.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from internvideo.navigation.world import CELL_M, WALL_HEIGHT_M, Scene

NUM_VIEWS = 12
EYE_HEIGHT_M = 1.25
_FAR_M = 20.0


class Panorama(NamedTuple):
    """Views around a point; see the top of the file."""

    colours: NDArray[np.uint8]
    depths_m: NDArray[np.float32]


def render_panorama(
    scene: Scene, x: float, z: float, heading: float, *, side_px: int = 32
) -> Panorama:
    """Render twelve square views from a point of the floor at eye height.

    Every ray is followed to the first wall, and to the first furniture before it. Rows below the
    top edge of furniture show it; its top side is not drawn.
    """
    tangent = (np.arange(side_px) + 0.5) / side_px * 2 - 1  # of columns to the right, rows down
    across = np.tile(tangent, NUM_VIEWS)
    yaw = heading + np.repeat(np.arange(NUM_VIEWS) * (2 * math.pi / NUM_VIEWS), side_px)
    # The point at depth 1 of a column: forward plus its tangent to the right.
    ahead_x = -np.sin(yaw) + across * np.cos(yaw)
    ahead_z = -np.cos(yaw) - across * np.sin(yaw)
    wall, thing = _first_hits(scene, x, z, ahead_x, ahead_z)
    elevation = -tangent[:, None]  # upwards, of rows; (h, 1)
    limits = np.where(
        elevation < 0,
        EYE_HEIGHT_M / np.maximum(-elevation, 1e-6),
        (WALL_HEIGHT_M - EYE_HEIGHT_M) / np.maximum(elevation, 1e-6),
    )  # depth of floor and ceiling
    depth = np.minimum(wall.depth_m[None], limits)
    colours = np.where(
        (wall.depth_m[None] <= limits)[..., None],
        _shaded(wall.colours, wall.depth_m)[None],
        _floor_or_ceiling(scene, x, z, ahead_x, ahead_z, limits, elevation),
    )
    top = EYE_HEIGHT_M + elevation * thing.depth_m[None]
    covered = (thing.depth_m[None] < depth) & (top <= thing.heights_m[None])
    colours = np.where(covered[..., None], _shaded(thing.colours, thing.depth_m)[None], colours)
    depth = np.where(covered, thing.depth_m[None], depth)
    # (h, 12 w) -> (12, h, w)
    colours = colours.reshape(side_px, NUM_VIEWS, side_px, 3).transpose(1, 0, 2, 3)
    depths = depth.reshape(side_px, NUM_VIEWS, side_px).transpose(1, 0, 2)
    return Panorama(np.ascontiguousarray(colours), np.ascontiguousarray(depths, np.float32))


class _Hit(NamedTuple):
    depth_m: NDArray[np.float64]
    heights_m: NDArray[np.float32]
    colours: NDArray[np.uint8]


def _first_hits(
    scene: Scene, x: float, z: float, ahead_x: NDArray[np.float64], ahead_z: NDArray[np.float64]
) -> tuple[_Hit, _Hit]:
    """The first wall on each ray, and the first thing of any height (furniture or that wall).

    A ray enters a cell through one of the grid's lines, so only its crossings with these are
    looked at: first those with lines of equal x, then of equal z.
    """
    by_x = _crossings(scene.heights_m, x, z, ahead_x, ahead_z)
    by_z = _crossings(scene.heights_m.T, z, x, ahead_z, ahead_x)
    rays = np.arange(len(ahead_x))
    hits = []
    for least in (WALL_HEIGHT_M, 1e-3):
        depths, rows, columns = [], [], []
        for (depth, beyond, along, heights), is_x in ((by_x, True), (by_z, False)):
            solid = heights >= least
            first = solid.argmax(1)
            depths.append(np.where(solid[rays, first], depth[rays, first], _FAR_M))
            line, place = beyond[rays, first], along[rays, first]
            rows.append(place if is_x else line)
            columns.append(line if is_x else place)
        nearer = depths[0] <= depths[1]
        i, j = np.where(nearer, *rows), np.where(nearer, *columns)
        hits.append(_Hit(np.where(nearer, *depths), scene.heights_m[i, j], scene.colours[i, j]))
    return hits[0], hits[1]


def _crossings(
    heights: NDArray[np.float32],
    start: float,
    other: float,
    ahead: NDArray[np.float64],
    aside: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Crossings of rays (r) with grid lines along one axis, nearest first, each (r, lines).

    Depth; the cell beyond the line, along this axis; the cell along the other; what stands there.
    `heights` has this axis last.
    """
    num_others, num_lines = heights.shape
    forward = ahead > 0
    own = int(start / CELL_M)
    count = np.arange(num_lines)
    beyond = np.where(forward[:, None], own + 1 + count, own - 1 - count)
    edge = np.where(forward[:, None], beyond, beyond + 1) * CELL_M
    safe = np.where(np.abs(ahead) > 1e-9, ahead, 1e-9)
    depth = (edge - start) / safe[:, None]
    along = ((other + aside[:, None] * depth) / CELL_M).astype(np.int64)
    outside = (beyond < 0) | (beyond >= num_lines) | (along < 0) | (along >= num_others)
    beyond, along = beyond.clip(0, num_lines - 1), along.clip(0, num_others - 1)
    met = np.where(outside, np.float32(WALL_HEIGHT_M), heights[along, beyond])
    return depth, beyond, along, met


def _shaded(colours: NDArray[np.uint8], depth_m: NDArray[np.float64]) -> NDArray[np.uint8]:
    return (colours * (1 / (1 + 0.08 * depth_m))[..., None]).astype(np.uint8)


def _floor_or_ceiling(
    scene: Scene,
    x: float,
    z: float,
    ahead_x: NDArray[np.float64],
    ahead_z: NDArray[np.float64],
    limits: NDArray[np.float64],
    elevation: NDArray[np.float64],
) -> NDArray[np.uint8]:
    rows, columns = scene.room_of.shape
    j = np.clip(((x + ahead_x[None] * limits) / CELL_M).astype(np.int64), 0, columns - 1)
    i = np.clip(((z + ahead_z[None] * limits) / CELL_M).astype(np.int64), 0, rows - 1)
    floor = _shaded(scene.floors[i, j], np.broadcast_to(limits, i.shape))
    return np.where((elevation < 0)[..., None], floor, np.uint8(245))
