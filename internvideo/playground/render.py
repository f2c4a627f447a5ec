"""From facts to frames: backgrounds, then every thing with anti-aliased edges, then sensor noise.

A thing is painted on a small square, for all frames at once, then laid over each. An edge is as
soft as one pixel, wherever it lies, so that motion is smooth below a pixel.
Shapes: frames (t, h, w, 3) uint8, RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int64, UInt8

from internvideo.playground.appearance import SHAPES, TEXTURES
from internvideo.playground.facts import Actor, Facts, Look, track_array
from internvideo.playground.motions import CAMERA_REACH

Weights = Float[np.ndarray, "side side"]
Canvas = Float[np.ndarray, "rows columns 3"]

# Of the paint: a rim and a second colour, both darker, keep shapes apart from any background.
_RIM_PX = 1.3
_RIM_SHADE = 0.55
_SECOND_SHADE = 0.5

_NOISE_SHIFT_PX = 64


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
    frames: Sequence[int] | Int64[np.ndarray, " t"] | None = None,
    has_background: bool = True,
    has_noise: bool = True,
    has_distractors: bool = True,
) -> UInt8[np.ndarray, "t h w 3"]:
    """Paint the video, or some of its frames; the same facts give the same frames always.

    Without its background a video is black behind the things.
    """
    index = np.arange(facts.num_frames) if frames is None else np.asarray(frames, dtype=int)
    side = facts.side_px
    camera_x, camera_y = (
        track_array(track, facts.num_frames)[index] * side
        for track in (facts.camera_x, facts.camera_y)
    )
    world = _world(facts) if has_background else None
    things = (*facts.distractors, *facts.actors) if has_distractors else facts.actors
    sprites = [_sprite(thing, facts, index, camera_x, camera_y) for thing in things]
    noise = _noise_tile(side) * np.float32(facts.noise if has_noise else 0)
    shifts = _noise_shifts(facts)[index]

    # Frame by frame, so that all that is done to one happens in the processor's cache.
    video = np.empty((len(index), side, side, 3), dtype=np.uint8)
    canvas = np.zeros((side, side, 3), dtype=np.float32)
    for i, frame in enumerate(video):
        if world is None:
            canvas[:] = 0
        else:
            _look_at(world, float(camera_x[i]), float(camera_y[i]), canvas)
        for sprite in sprites:
            sprite.lay_over(canvas, i)
        if facts.noise and has_noise:
            top, left = shifts[i]
            canvas += noise[top : top + side, left : left + side]
        canvas += 0.5
        np.clip(canvas, 0, 255, out=canvas)
        frame[:] = canvas
    return video


def _border(side_px: int) -> int:
    return int(np.ceil(CAMERA_REACH * side_px)) + 1


def _world(facts: Facts) -> Canvas:
    """Paint all of the background that the camera may come to see."""
    ramp = np.linspace(0, 1, facts.side_px + 2 * _border(facts.side_px))
    v, u = np.meshgrid(ramp, ramp, indexing="ij")
    kind = BACKGROUNDS[facts.background.kind]
    mix = kind(np.random.default_rng(facts.background.seed), u, v)[..., None].astype(np.float32)
    near, far = (np.float32(colour) for colour in (facts.background.near, facts.background.far))
    return near + mix * (far - near)


def _look_at(
    world: Float[np.ndarray, "height width 3"], camera_x: float, camera_y: float, canvas: Canvas
) -> None:
    """Copy what the camera sees to the canvas, interpolated between pixels."""
    side = len(canvas)
    x, y = camera_x + _border(side), camera_y + _border(side)
    left, top = int(x), int(y)
    seen = world[top : top + side + 1, left : left + side + 1]
    rows = seen[1:] - seen[:-1]
    rows *= np.float32(y - top)
    rows += seen[:-1]
    np.subtract(rows[:, 1:], rows[:, :-1], out=canvas)
    canvas *= np.float32(x - left)
    canvas += rows[:, :-1]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sprite:
    """One thing painted on a small square for every frame, and where the square lies."""

    cover: Float[np.ndarray, "t rows columns 1"]
    paint: Float[np.ndarray, "t rows columns 3"]
    left: Int64[np.ndarray, " t"]
    top: Int64[np.ndarray, " t"]

    def lay_over(self, canvas: Canvas, i: int) -> None:
        left, top = int(self.left[i]), int(self.top[i])
        height, width = canvas.shape[:2]
        rows = slice(max(0, -top), max(0, height - top))
        columns = slice(max(0, -left), max(0, width - left))
        cover, paint = self.cover[i, rows, columns], self.paint[i, rows, columns]
        first_row, first_column = top + rows.start, left + columns.start
        under = canvas[
            first_row : first_row + cover.shape[0], first_column : first_column + cover.shape[1]
        ]
        if cover.size:
            under += cover * (paint - under)


def _sprite(
    thing: Actor,
    facts: Facts,
    index: Int64[np.ndarray, " t"],
    camera_x: Float[np.ndarray, " t"],
    camera_y: Float[np.ndarray, " t"],
) -> _Sprite:
    x, y, radius, angle, opacity = (
        track_array(track, facts.num_frames)[index]
        for track in (thing.x, thing.y, thing.radius, thing.angle, thing.opacity)
    )
    x, y, radius = (
        x * facts.side_px - camera_x,
        y * facts.side_px - camera_y,
        radius * facts.side_px,
    )
    half = int(np.ceil(radius.max() * 1.1)) + 1
    left, top = np.floor(x).astype(int) - half, np.floor(y).astype(int) - half

    steps = np.arange(2 * half + 1, dtype=np.float32) + 0.5
    across = (left - x).astype(np.float32)[:, None, None] + steps[None, None, :]
    down = (top - y).astype(np.float32)[:, None, None] + steps[None, :, None]
    cos = (np.cos(np.radians(angle)) / radius)[:, None, None]
    sin = (np.sin(np.radians(angle)) / radius)[:, None, None]
    u, v = cos * across + sin * down, cos * down - sin * across
    shade, cover = _shade(thing.look, u, v, radius[:, None, None])
    return _Sprite(
        cover=(cover * opacity[:, None, None])[..., None],
        paint=shade[..., None] * np.float32(thing.look.rgb),
        left=left,
        top=top,
    )


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
def _noise_tile(side_px: int) -> Canvas:
    """Draw noise once: drawing it anew for every frame costs ten times what all else does."""
    side = side_px + _NOISE_SHIFT_PX
    return np.random.default_rng(0).standard_normal((side, side, 3), dtype=np.float32)


def _noise_shifts(facts: Facts) -> Int64[np.ndarray, "t 2"]:
    """Say which piece of the noise tile each frame gets."""
    rng = np.random.default_rng(facts.background.seed + 1)
    return rng.integers(0, _NOISE_SHIFT_PX, (facts.num_frames, 2))
