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
_CEILING = 245


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
    colours = np.full((side_px, len(yaw), 3), _CEILING, np.uint8)
    below = int((tangent <= 0).sum())  # the first row that looks down
    colours[below:] = _floor(scene, x, z, ahead_x, ahead_z, limits[below:])
    is_wall = wall.depth_m <= limits
    np.copyto(colours, _shaded(wall.colours, wall.depth_m), where=is_wall[..., None])
    depth = np.where(is_wall, wall.depth_m, limits)
    top = EYE_HEIGHT_M + elevation * thing.depth_m
    covered = (thing.depth_m < depth) & (top <= thing.heights_m)
    np.copyto(colours, _shaded(thing.colours, thing.depth_m), where=covered[..., None])
    np.copyto(depth, thing.depth_m, where=covered)
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
    looked at: those with lines of equal x, and those of equal z.
    """
    by_x = _first_crossings(scene.heights_m.T, x, z, ahead_x, ahead_z)
    by_z = _first_crossings(scene.heights_m, z, x, ahead_z, ahead_x)
    hits = []
    for (depth_x, column, along_column), (depth_z, row, along_row) in zip(by_x, by_z, strict=True):
        nearer = depth_x <= depth_z
        i, j = np.where(nearer, along_column, row), np.where(nearer, column, along_row)
        depth = np.where(nearer, depth_x, depth_z)
        hits.append(_Hit(depth, scene.heights_m[i, j], scene.colours[i, j]))
    return hits[0], hits[1]


# Of rays (r): depth of a crossing, the cell beyond the line, and the cell along the other axis.
_Crossing = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]


def _first_crossings(
    heights: NDArray[np.float32],
    start: float,
    other: float,
    ahead: NDArray[np.float64],
    aside: NDArray[np.float64],
) -> tuple[_Crossing, _Crossing]:
    """Where rays meet the first wall, and the first thing at all, on entering cells by one axis.

    `heights` has this axis first. Rays that leave the house by the other axis are followed along
    its outer wall, which they met before.
    """
    num_lines, num_others = heights.shape
    own = int(start / CELL_M)
    walls, things = (
        (np.empty(len(ahead)), np.empty(len(ahead), np.int64), np.empty(len(ahead), np.int64))
        for _ in range(2)
    )
    for is_forward in (True, False):
        rays = np.flatnonzero((ahead > 0) == is_forward)
        cells = np.arange(own + 1, num_lines) if is_forward else np.arange(own - 1, -1, -1)
        edges = (cells if is_forward else cells + 1) * CELL_M - start
        slope = np.where(np.abs(ahead[rays]) > 1e-9, ahead[rays], 1e-9 if is_forward else -1e-9)
        depth = edges / slope[:, None]
        along = (aside[rays, None] * depth + other) * (1 / CELL_M)
        along = np.minimum(np.maximum(along, 0, out=along), num_others - 1, out=along)
        along = along.astype(np.int64)
        met = heights.ravel()[along + cells * num_others]
        each = np.arange(len(rays))
        for found, least in ((walls, WALL_HEIGHT_M), (things, 1e-3)):
            first = (met >= least).argmax(1)
            found[0][rays], found[1][rays] = depth[each, first], cells[first]
            found[2][rays] = along[each, first]
    return walls, things


def _shaded(colours: NDArray[np.uint8], depth_m: NDArray[np.float64]) -> NDArray[np.uint8]:
    return (colours * (1 / (1 + 0.08 * depth_m))[..., None]).astype(np.uint8)


def _floor(
    scene: Scene,
    x: float,
    z: float,
    ahead_x: NDArray[np.float64],
    ahead_z: NDArray[np.float64],
    depth_m: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """Colours of the floor (h, r, 3) where rays reach it; `depth_m` (h, 1) of rows."""
    rows, columns = scene.room_of.shape
    j = np.clip((x + ahead_x * depth_m) / CELL_M, 0, columns - 1).astype(np.int64)
    i = np.clip((z + ahead_z * depth_m) / CELL_M, 0, rows - 1).astype(np.int64)
    shade = 1 / (1 + 0.08 * depth_m[..., None])
    return (scene.floors.reshape(-1, 3)[i * columns + j] * shade).astype(np.uint8)
