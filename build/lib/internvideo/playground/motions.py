"""How things move: one function for each way, which draws it at random.

A motion gives each of its parts, for every frame, a place, a scale, a turn and an opacity, in the
units of `facts`. All keep their parts in sight (but for `enter`) whatever the camera does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

Frames = Float[np.ndarray, " t"]

# The camera never wanders further than this, so that what is kept away from the border by as much
# stays in sight.
CAMERA_REACH = 0.035
MARGIN = CAMERA_REACH + 0.015


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """How one thing moves; the defaults are staying as it is."""

    x: Frames | float
    y: Frames | float
    scale: Frames | float = 1.0
    turn: Frames | float = 0.0
    opacity: Frames | float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Motion:
    """One draw of an action: its parts, subject first, and from which frame to which it lasts.

    `rolled_span` is the span of the same motion rolled by half, where that is an action.
    """

    parts: tuple[Part, ...]
    span: tuple[float, float]
    rolled_span: tuple[float, float] | None = None
    parameters: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What a motion is drawn for; `radii` of its parts, subject first."""

    rng: np.random.Generator
    num_frames: int
    radii: tuple[float, ...]

    @property
    def frames(self) -> Frames:
        return np.arange(self.num_frames, dtype=float)

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def sign(self) -> float:
        return 1.0 if self.rng.random() < 0.5 else -1.0

    def place(self, reach: float) -> float:
        """Draw a coordinate such that `reach` around it stays in sight."""
        room = MARGIN + reach
        return self.uniform(room, 1 - room) if room < 0.5 else 0.5

    def span(self) -> tuple[float, float]:
        """Draw when a motion starts and ends; most of the video belongs to it."""
        last = self.num_frames - 1
        return self.uniform(0.04, 0.2) * last, self.uniform(0.8, 0.96) * last

    def progress(self, span: tuple[float, float]) -> Frames:
        """Rise from 0 to 1 over the span, with a drawn amount of easing at both ends."""
        p = ((self.frames - span[0]) / (span[1] - span[0])).clip(0, 1)
        eased = p * p * (3 - 2 * p)
        weight = self.uniform(0.0, 0.8)
        return (1 - weight) * p + weight * eased

    def excursion(self) -> tuple[Frames, tuple[float, float], tuple[float, float]]:
        """Go from 0 to 1 and back, resting at both; also the spans as drawn and rolled by half.

        The rests are drawn alike, so that rolling exchanges them.
        """
        half = self.num_frames / 2
        low, high = self.uniform(0.06, 0.2) * half, self.uniform(0.06, 0.2) * half
        from_end = half - np.abs(self.frames - half)
        p = ((from_end - low) / (half - low - high)).clip(0, 1)
        eased = p * p * (3 - 2 * p)
        return eased, (low, 2 * half - low), (high, 2 * half - high)


def _line(scene: Scene, angle: float, distance: float) -> tuple[float, float, float, float]:
    """Draw a line in sight with this direction and length; cut it where it does not fit."""
    room = 1 - 2 * (MARGIN + scene.radii[0])
    dx, dy = math.cos(angle), math.sin(angle)
    distance = min(distance, room / max(abs(dx), abs(dy)))
    dx, dy = dx * distance, dy * distance
    x0 = scene.place(scene.radii[0] + abs(dx) / 2) - dx / 2
    y0 = scene.place(scene.radii[0] + abs(dy) / 2) - dy / 2
    return x0, y0, dx, dy


def _still(scene: Scene, reach: float = 1.0) -> tuple[float, float]:
    return scene.place(scene.radii[0] * reach), scene.place(scene.radii[0] * reach)


def _slide(scene: Scene, direction: float) -> Motion:
    span = scene.span()
    p = scene.progress(span)
    angle = direction + scene.uniform(-0.15, 0.15)
    x0, y0, dx, dy = _line(scene, angle, scene.uniform(0.4, 0.6))
    distance = math.hypot(dx, dy)
    part = Part(x=x0 + p * dx, y=y0 + p * dy)
    return Motion(parts=(part,), span=span, parameters={"distance": distance})


def slide_right(scene: Scene) -> Motion:
    return _slide(scene, 0.0)


def slide_down(scene: Scene) -> Motion:
    return _slide(scene, math.pi / 2)


def turn_clockwise(scene: Scene) -> Motion:
    span = scene.span()
    x, y = _still(scene)
    degrees = scene.uniform(150.0, 270.0)
    part = Part(x=x, y=y, turn=degrees * scene.progress(span))
    return Motion(parts=(part,), span=span, parameters={"degrees": degrees})


def grow(scene: Scene) -> Motion:
    span = scene.span()
    factor = scene.uniform(2.0, 2.6)
    x, y = _still(scene, reach=math.sqrt(factor))
    scale = factor ** (scene.progress(span) - 0.5)
    part = Part(x=x, y=y, scale=scale)
    return Motion(parts=(part,), span=span, parameters={"factor": factor})


def appear(scene: Scene) -> Motion:
    # Seen for about half of the video either way round.
    last = scene.num_frames - 1
    middle, half = scene.uniform(0.35, 0.65) * last, scene.uniform(0.06, 0.14) * last
    span = (middle - half, middle + half)
    x, y = _still(scene)
    return Motion(parts=(Part(x=x, y=y, opacity=scene.progress(span)),), span=span)


def approach(scene: Scene) -> Motion:
    span = scene.span()
    p = scene.progress(span)
    near = sum(scene.radii) + 0.02
    far, parts = _facing(scene, spare=0.45)
    return Motion(
        parts=parts(far + p * (near - far)), span=span, parameters={"distance": far - near}
    )


def rise_then_fall(scene: Scene) -> Motion:
    p, span, rolled_span = scene.excursion()
    height = scene.uniform(0.35, 0.55)
    x0, y0, dx, dy = _line(scene, -math.pi / 2 + scene.uniform(-0.1, 0.1), height)
    return Motion(
        parts=(Part(x=x0 + p * dx, y=y0 + p * dy),),
        span=span,
        rolled_span=rolled_span,
        parameters={"distance": math.hypot(dx, dy)},
    )


def circle_clockwise(scene: Scene) -> Motion:
    span = scene.span()
    orbit = scene.uniform(0.17, 0.23)
    degrees = scene.uniform(320.0, 480.0)
    angle = scene.uniform(0.0, 2.0 * math.pi) + math.radians(degrees) * scene.progress(span)
    reach = orbit + scene.radii[0]
    x, y = scene.place(reach), scene.place(reach)
    part = Part(x=x + orbit * np.cos(angle), y=y + orbit * np.sin(angle))
    return Motion(parts=(part,), span=span, parameters={"degrees": degrees, "radius": orbit})


def enter(scene: Scene) -> Motion:
    span = scene.span()
    p = scene.progress(span)
    radius = scene.radii[0]
    inside, outside = scene.uniform(0.4, 0.65), -radius - MARGIN
    along, across = outside + p * (inside - outside), scene.place(radius)
    across = across + p * scene.uniform(-0.06, 0.06)
    if scene.sign() > 0:
        along = 1 - along
    x, y = (along, across) if scene.sign() > 0 else (across, along)
    return Motion(parts=(Part(x=x, y=y),), span=span)


def _behind(scene: Scene, *, comes_out: bool) -> Motion:
    """Move behind the second part, which is large and nearer, and out again or not."""
    span = scene.span()
    p = scene.progress(span)
    beside = sum(scene.radii) + 0.04
    angle = scene.uniform(-0.35, 0.35) + (math.pi if scene.sign() > 0 else 0.0)
    cos, sin = math.cos(angle), math.sin(angle)
    x = scene.place(scene.radii[1] if not comes_out else beside * abs(cos) + scene.radii[0])
    y = scene.place(max(scene.radii[1], beside * abs(sin) + scene.radii[0]))
    along = beside * (1 - (2 if comes_out else 1) * p)
    if not comes_out and not MARGIN + scene.radii[0] < x + beside * cos < 1 - MARGIN:
        cos = -cos
    return Motion(
        parts=(Part(x=x + along * cos, y=y + along * sin), Part(x=x, y=y)),
        span=span,
    )


def hide(scene: Scene) -> Motion:
    return _behind(scene, comes_out=False)


def pass_behind(scene: Scene) -> Motion:
    return _behind(scene, comes_out=True)


def zigzag(scene: Scene) -> Motion:
    span = scene.span()
    p = scene.progress(span)
    swings = float(scene.rng.integers(4, 7))
    width = scene.uniform(0.09, 0.13)
    side = width * (2 / math.pi) * np.arcsin(np.sin(math.pi * swings * p)) * scene.sign()
    radius, direction = scene.radii[0], scene.sign()
    length = min(scene.uniform(0.5, 0.65), 1 - 2 * (MARGIN + radius))
    along = scene.place(radius + length / 2) + direction * length * (p - 0.5)
    across = scene.place(radius + width) + side
    x, y = (along, across) if scene.sign() > 0 else (across, along)
    return Motion(parts=(Part(x=x, y=y),), span=span, parameters={"swings": swings})


def bounce(scene: Scene) -> Motion:
    span = scene.span()
    p = scene.progress(span)
    bounces = float(scene.rng.integers(3, 5))
    radius, direction = scene.radii[0], scene.sign()
    phase = (bounces * p + 0.5) % 1.0
    height = scene.uniform(0.28, 0.4) * 4 * phase * (1 - phase)
    length = min(scene.uniform(0.4, 0.6), 1 - 2 * (MARGIN + radius))
    x = scene.place(radius + length / 2) + direction * length * (p - 0.5)
    floor = 1 - MARGIN - radius - scene.uniform(0.0, 0.12)
    return Motion(parts=(Part(x=x, y=floor - height),), span=span, parameters={"bounces": bounces})


def shake(scene: Scene) -> Motion:
    span = scene.span()
    p = scene.progress(span)
    width, swings = scene.uniform(0.045, 0.07), float(scene.rng.integers(3, 6))
    x, y = _still(scene, reach=1 + width / scene.radii[0])
    x = x + scene.sign() * width * np.sin(2 * math.pi * swings * p)
    return Motion(parts=(Part(x=x, y=y),), span=span, parameters={"swings": swings})


def blink(scene: Scene) -> Motion:
    span = scene.span()
    p = scene.progress(span)
    blinks = float(scene.rng.integers(3, 5))
    x, y = _still(scene)
    opacity = (0.5 + 2.5 * np.cos(2 * math.pi * blinks * p)).clip(0, 1)
    return Motion(
        parts=(Part(x=x, y=y, opacity=opacity),), span=span, parameters={"blinks": blinks}
    )


def push(scene: Scene) -> Motion:
    span = scene.span()
    p = scene.progress(span)
    touch, direction = sum(scene.radii), scene.sign()
    room = 1 - 2 * MARGIN - 2 * touch
    gap, pushed = 0.45 * room, 0.5 * room
    subject = p * (gap + pushed)
    second = gap + touch + (subject - gap).clip(0, None)
    left = MARGIN + scene.radii[0] + scene.uniform(0.0, 0.05 * room)
    y = scene.place(max(scene.radii))
    first_x, second_x = left + subject, left + second
    if direction < 0:
        first_x, second_x = 1 - first_x, 1 - second_x
    return Motion(
        parts=(Part(x=first_x, y=y), Part(x=second_x, y=y)),
        span=span,
        parameters={"distance": pushed},
    )


def chase(scene: Scene) -> Motion:
    span = scene.span()
    p = scene.progress(span)
    behind = sum(scene.radii) + 0.05
    start = scene.uniform(0.0, 2.0 * math.pi)
    # Around an ellipse, the pursuer's angle behind by the gap.
    orbit = 0.5 - MARGIN - max(scene.radii)
    wide, tall = orbit, orbit * scene.uniform(0.6, 0.9)
    turn = scene.sign() * (scene.uniform(1.2, 1.6) * math.pi * p)
    lag = math.copysign(behind / ((wide + tall) / 2), turn[-1])
    y = scene.place(tall + max(scene.radii))

    def at(angle: Frames) -> Part:
        return Part(x=0.5 + wide * np.cos(angle), y=y + tall * np.sin(angle))

    return Motion(parts=(at(start + turn - lag), at(start + turn)), span=span)


def swap(scene: Scene) -> Motion:
    span = scene.span()
    touch = sum(scene.radii)
    half, bulge = touch / 2 + scene.uniform(0.06, 0.14), touch / 2 + 0.02
    tilt = scene.uniform(0.0, 2.0 * math.pi)
    reach = max(half, bulge) + max(scene.radii)
    x, y = scene.place(reach), scene.place(reach)
    angle = scene.sign() * math.pi * scene.progress(span)
    along, across = half * np.cos(angle), bulge * np.sin(angle)
    dx = along * math.cos(tilt) - across * math.sin(tilt)
    dy = along * math.sin(tilt) + across * math.cos(tilt)
    return Motion(parts=(Part(x=x + dx, y=y + dy), Part(x=x - dx, y=y - dy)), span=span)


def collide(scene: Scene) -> Motion:
    span = scene.span()
    p = scene.progress(span)
    near = sum(scene.radii) * 0.94
    far, parts = _facing(scene, spare=0.5)
    return Motion(parts=parts(near + (far - near) * np.abs(1 - 2 * p)), span=span)


def _facing(
    scene: Scene, *, spare: float
) -> tuple[float, Callable[[np.ndarray], tuple[Part, Part]]]:
    """Set two shapes facing each other anywhere, at any angle.

    Returns the widest gap between their centres that fits (touching plus at most `spare`), and
    what places them for the gaps of all frames.
    """
    angle = scene.uniform(0.0, 2.0 * math.pi)
    cos, sin = math.cos(angle), math.sin(angle)
    room = 1 - 2 * (MARGIN + max(scene.radii))
    widest = min(room / max(abs(cos), abs(sin)), sum(scene.radii) + spare)
    x = scene.place(max(scene.radii) + widest / 2 * abs(cos))
    y = scene.place(max(scene.radii) + widest / 2 * abs(sin))

    def parts(gap: np.ndarray) -> tuple[Part, Part]:
        return (
            Part(x=x - gap / 2 * cos, y=y - gap / 2 * sin),
            Part(x=x + gap / 2 * cos, y=y + gap / 2 * sin),
        )

    return widest, parts
