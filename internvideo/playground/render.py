"""From facts to frames: backgrounds, then every thing with anti-aliased edges, then sensor noise.

Only the square around a thing is painted, for all frames at once; an edge is as soft as one pixel,
whatever the position, so that motion is smooth below a pixel.
Shapes: frames (t, h, w, 3) uint8, RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from jaxtyping import Float, UInt8

from internvideo.playground.facts import Actor, Facts, Look, track_array
from internvideo.playground.looks import SHAPES, TEXTURES
from internvideo.playground.motions import CAMERA_REACH

Weights = Float[np.ndarray, "side side"]

# Of the paint: a rim and a second colour, both darker, keep shapes apart from any background.
_RIM_PX = 1.3
_RIM_SHADE = 0.55
_SECOND_SHADE = 0.5

_NOISE_TILE_PX = 64


def _gradient(rng: np.random.Generator, u: Weights, v: Weights) -> Weights:
    angle = rng.uniform(0, 2 * np.pi)
    along = (u - 0.5) * np.cos(angle) + (v - 0.5) * np.sin(angle)
    return (along / 1.4 + 0.5).clip(0, 1)


def _clouds(rng: np.random.Generator, u: Weights, v: Weights) -> Weights:
    """Interpolate two grids of random numbers, one coarse and one finer."""

    def layer(cells: int) -> Weights:
        knots = np.arange(cells + 1)
        # Row i holds how much every knot counts for pixel i: linear interpolation.
        spread = (1 - np.abs(u[0][:, None] * cells - knots)).clip(0, None)
        return spread @ rng.random((cells + 1, cells + 1)) @ spread.T

    return 0.65 * layer(4) + 0.35 * layer(11)


def _waves(rng: np.random.Generator, u: Weights, v: Weights) -> Weights:
    angle, cycles = rng.uniform(0, 2 * np.pi), rng.uniform(3, 7)
    along = u * np.cos(angle) + v * np.sin(angle)
    return 0.5 + 0.5 * np.sin(2 * np.pi * cycles * along)


def _tiles(rng: np.random.Generator, u: Weights, v: Weights) -> Weights:
    cells = rng.uniform(3, 6)
    at_u, at_v = rng.uniform(0, 1, 2)
    waves = np.sin(np.pi * (cells * u + at_u)) * np.sin(np.pi * (cells * v + at_v))
    return (0.5 + 4 * waves).clip(0, 1)


def _spots(rng: np.random.Generator, u: Weights, v: Weights) -> Weights:
    spots = np.zeros_like(u)
    for x, y, radius in rng.uniform((0, 0, 0.05), (1, 1, 0.2), (9, 3)):
        spots += np.exp(-((u - x) ** 2 + (v - y) ** 2) / radius**2)
    return spots.clip(0, 1)


# How far each place is from the background's first colour towards its second.
BACKGROUNDS: dict[str, Callable[[np.random.Generator, Weights, Weights], Weights]] = {
    "gradient": _gradient,
    "clouds": _clouds,
    "waves": _waves,
    "tiles": _tiles,
    "spots": _spots,
}


def render(
    facts: Facts,
    *,
    frames: Sequence[int] | None = None,
    has_background: bool = True,
    has_noise: bool = True,
    has_distractors: bool = True,
) -> UInt8[np.ndarray, "t h w 3"]:
    """Paint the video, or some of its frames; the same facts give the same frames always.

    Without its background a video is black behind the things.
    """
    index = np.arange(facts.num_frames) if frames is None else np.asarray(frames, dtype=int)
    camera = [
        track_array(track, facts.num_frames)[index] * facts.side_px
        for track in (facts.camera_x, facts.camera_y)
    ]
    if has_background:
        canvas = _paint_background(facts, *camera)
    else:
        canvas = np.zeros((len(index), facts.side_px, facts.side_px, 3), dtype=np.float32)
    things = (*facts.distractors, *facts.actors) if has_distractors else facts.actors
    for thing in things:
        _paint(canvas, thing, facts, index, *camera)
    if has_noise and facts.noise > 0:
        _add_noise(canvas, facts, index)
    canvas += 0.5
    np.clip(canvas, 0, 255.5, out=canvas)
    return canvas.astype(np.uint8)


def _paint_background(
    facts: Facts, camera_x: Float[np.ndarray, " t"], camera_y: Float[np.ndarray, " t"]
) -> Float[np.ndarray, "t h w 3"]:
    side = facts.side_px
    border = int(np.ceil(CAMERA_REACH * side)) + 1
    whole = side + 2 * border
    ramp = np.linspace(0, 1, whole)
    v, u = np.meshgrid(ramp, ramp, indexing="ij")
    kind = BACKGROUNDS[facts.background.kind]
    mix = kind(np.random.default_rng(facts.background.seed), u, v)[..., None].astype(np.float32)
    near, far = (np.float32(colour) for colour in (facts.background.near, facts.background.far))
    world = near + mix * (far - near)

    canvas = np.empty((len(camera_x), side, side, 3), dtype=np.float32)
    for frame, x, y in zip(canvas, camera_x + border, camera_y + border, strict=True):
        left, top = int(x), int(y)
        seen = world[top : top + side + 1, left : left + side + 1]
        rows = seen[:-1] + np.float32(y - top) * (seen[1:] - seen[:-1])
        np.subtract(rows[:, 1:], rows[:, :-1], out=frame)
        frame *= np.float32(x - left)
        frame += rows[:, :-1]
    return canvas


def _paint(
    canvas: Float[np.ndarray, "t h w 3"],
    thing: Actor,
    facts: Facts,
    index: np.ndarray,
    camera_x: Float[np.ndarray, " t"],
    camera_y: Float[np.ndarray, " t"],
) -> None:
    """Lay one thing over the canvas, in place."""
    side, num_frames = facts.side_px, facts.num_frames
    x = track_array(thing.x, num_frames)[index] * side - camera_x
    y = track_array(thing.y, num_frames)[index] * side - camera_y
    radius = track_array(thing.radius, num_frames)[index] * side
    angle = np.radians(track_array(thing.angle, num_frames)[index])
    opacity = track_array(thing.opacity, num_frames)[index]

    half = int(np.ceil(radius.max() * 1.1)) + 1
    left, top = np.floor(x).astype(int) - half, np.floor(y).astype(int) - half
    steps = np.arange(2 * half + 1, dtype=np.float32) + 0.5
    across = (left - x).astype(np.float32)[:, None, None] + steps[None, None, :]
    down = (top - y).astype(np.float32)[:, None, None] + steps[None, :, None]
    cos = (np.cos(angle) / radius).astype(np.float32)[:, None, None]
    sin = (np.sin(angle) / radius).astype(np.float32)[:, None, None]
    u, v = cos * across + sin * down, cos * down - sin * across
    paint, cover = _shade(thing.look, u, v, radius.astype(np.float32)[:, None, None])
    cover *= opacity[:, None, None]
    cover = cover[..., None]
    paint = paint[..., None] * np.float32(thing.look.rgb)

    for i in np.flatnonzero(opacity > 0):
        # The part of the square that lies inside the frame.
        first_x, first_y = max(0, -left[i]), max(0, -top[i])
        last_x, last_y = min(2 * half + 1, side - left[i]), min(2 * half + 1, side - top[i])
        if first_x >= last_x or first_y >= last_y:
            continue
        rows, columns = slice(first_y, last_y), slice(first_x, last_x)
        under = canvas[i, top[i] + first_y : top[i] + last_y, left[i] + first_x : left[i] + last_x]
        under += cover[i, rows, columns] * (paint[i, rows, columns] - under)


def _shade(
    look: Look,
    u: Float[np.ndarray, "t rows columns"],
    v: Float[np.ndarray, "t rows columns"],
    radius_px: Float[np.ndarray, "t 1 1"],
) -> tuple[Float[np.ndarray, "t rows columns"], Float[np.ndarray, "t rows columns"]]:
    """Give the brightness of the paint and how much of each pixel it covers."""
    distance = SHAPES[look.shape](u, v) * radius_px
    cover = (0.5 - distance).clip(0, 1)
    shade = 1 - (1 - _RIM_SHADE) * (distance + _RIM_PX + 0.5).clip(0, 1)
    texture = TEXTURES[look.texture]
    if texture is not None:
        second = (0.5 - texture(u, v) * radius_px).clip(0, 1)
        np.minimum(shade, 1 - (1 - _SECOND_SHADE) * second, out=shade)
    return shade, cover


@cache
def _noise_tile(side_px: int) -> Float[np.ndarray, "rows columns 3"]:
    side = side_px + _NOISE_TILE_PX
    return np.random.default_rng(0).standard_normal((side, side, 3), dtype=np.float32)


def _add_noise(
    canvas: Float[np.ndarray, "t h w 3"], facts: Facts, index: Sequence[int] | np.ndarray
) -> None:
    """Add each frame's piece of one tile of noise, in place: drawing it anew costs ten times."""
    tile = _noise_tile(facts.side_px) * np.float32(facts.noise)
    rng = np.random.default_rng(facts.background.seed + 1)
    offsets = rng.integers(0, _NOISE_TILE_PX, (facts.num_frames, 2))
    side = facts.side_px
    for frame, (top, left) in zip(canvas, offsets[index], strict=True):
        frame += tile[top : top + side, left : left + side]
