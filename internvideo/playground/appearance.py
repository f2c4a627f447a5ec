"""What things look like: shapes as signed distances, colours, sizes, textures.

A shape is a function of coordinates in its own frame, in units of its radius: negative inside,
positive outside, and near the edge a true distance, which is all that anti-aliasing needs.
Shapes: coordinate arrays of any shape in, distances of the same shape out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float

Plane = Float[np.ndarray, "*points"]
Field = Callable[[Any, Any], Any]


def _disc(u: Plane, v: Plane) -> Plane:
    return np.sqrt(u * u + v * v) - 0.92


def _ring(u: Plane, v: Plane) -> Plane:
    return np.abs(np.sqrt(u * u + v * v) - 0.72) - 0.24


def _square(u: Plane, v: Plane) -> Plane:
    return np.maximum(np.abs(u), np.abs(v)) - 0.78


def _cross(u: Plane, v: Plane) -> Plane:
    u, v = np.abs(u), np.abs(v)
    return np.maximum(np.minimum(u, v) - 0.3, np.maximum(u, v) - 0.95)


def _triangle(u: Plane, v: Plane) -> Plane:
    # The three half-planes of an equilateral triangle that points up.
    slanted = math.sqrt(3) / 2 * np.abs(u) - v / 2
    return np.maximum(slanted, v) - 0.54


def _star(u: Plane, v: Plane) -> Plane:
    # Folded into one tenth of the star, the outline is one straight line from tip to notch.
    tenth = math.pi / 5
    angle = np.arctan2(u, -v)
    angle = np.abs(angle - 2 * tenth * np.round(angle / (2 * tenth)))
    radius = np.sqrt(u * u + v * v)
    notch = 0.46
    along, across = 1.04 - notch * math.cos(tenth), notch * math.sin(tenth)
    line = across * (radius * np.cos(angle) - 1.04) + along * radius * np.sin(angle)
    return line / math.hypot(along, across)


def _heart(u: Plane, v: Plane) -> Plane:
    u = np.abs(u)
    lobe = np.hypot(u - 0.42, v + 0.34) - 0.5
    # The tip is the corner of a square that stands on its point, tangent to both lobes.
    inside = math.sqrt(0.5)
    tip = np.maximum(inside * (u + v) - 0.5 - inside * 0.08, inside * np.abs(u - v) - 0.75)
    return np.minimum(lobe, np.maximum(tip, -0.42 - v))


def _moon(u: Plane, v: Plane) -> Plane:
    return np.maximum(np.hypot(u + 0.1, v) - 0.95, 0.72 - np.hypot(u - 0.42, v))


SHAPES: dict[str, Field] = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
    "heart": _heart,
    "moon": _moon,
}

# Turning one of these cannot be seen.
ROUND_SHAPES = frozenset({"disc", "ring"})

# A large one of these covers a small thing of any shape.
COVERING_SHAPES = frozenset({"disc", "square"})

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 40, 38),
    "orange": (250, 140, 20),
    "yellow": (250, 228, 50),
    "green": (52, 176, 60),
    "cyan": (60, 212, 224),
    "blue": (40, 80, 226),
    "purple": (160, 52, 200),
    "white": (245, 245, 245),
}

# Radius of the shape, in widths of the frame.
SIZES: dict[str, float] = {"small": 0.10, "medium": 0.13, "large": 0.17}


def _stripes(u: Plane, v: Plane) -> Plane:
    return np.sin(u * 6.0 + 0.8) / 6.0


def _dots(u: Plane, v: Plane) -> Plane:
    cell = 0.62
    fold_u, fold_v = u - cell * np.round(u / cell), v - cell * np.round(v / cell)
    return np.hypot(fold_u, fold_v) - 0.19


def _checks(u: Plane, v: Plane) -> Plane:
    return np.sin(u * 5.0 + 0.5) * np.sin(v * 5.0 + 0.5) / 5.0


# Negative where the darker paint is; None has no second paint.
TEXTURES: dict[str, Field | None] = {
    "plain": None,
    "stripes": _stripes,
    "dots": _dots,
    "checks": _checks,
}


@cache
def outline(shape: str) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """Give the outermost points of a shape, in units of its radius, all the way round."""
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)[:, None]
    radius = np.linspace(1.3, 0, 1301)[None]
    inside = SHAPES[shape](radius * np.cos(angle), radius * np.sin(angle)) <= 0
    # A ray that misses the shape (the open side of the moon) has no outermost point.
    hit = inside.any(axis=1)
    reach = radius[0, inside.argmax(axis=1)][hit]
    return reach * np.cos(angle[hit, 0]), reach * np.sin(angle[hit, 0])
