"""Draw the facts of a video: video `index` of the world `seed`, whatever else is made.

Source of the idea that some combinations occur only in the test split: compositional splits as in
Something-Else (Materzynska et al. 2020). A combination (shape, colour, verb) is reserved where its
three numbers sum to a multiple of 8: an eighth of all, while every two of the three still occur
together in training, and both actions of a pair reserve the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from internvideo.errors import ConfigError, unknown_name
from internvideo.playground.actions import ACTIONS, Action
from internvideo.playground.appearance import (
    COLOURS,
    COVERING_SHAPES,
    ROUND_SHAPES,
    SHAPES,
    SIZES,
    TEXTURES,
)
from internvideo.playground.facts import Actor, Background, Event, Facts, Look, Track
from internvideo.playground.images import clear_frame, still
from internvideo.playground.motions import CAMERA_REACH, MARGIN, Frames, Motion, Part, Scene
from internvideo.playground.render import BACKGROUNDS

NUM_RESERVED_OF = 8
MAX_DISTRACTORS = 3
# Of so many stills the last is held back.
STILLS_PER_VAL = 20

# Ten videos of a class in turn: where they go, and whether their subject is a reserved combination.
_PLACES: tuple[tuple[str, bool], ...] = (
    ("train", False),
    ("test", True),
    ("train", False),
    ("val", False),
    ("train", False),
    ("test", False),
    ("train", False),
    ("train", False),
    ("train", False),
    ("train", False),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """What all videos of a playground have in common."""

    seed: int = 0
    side_px: int = 128
    rate_fps: int = 16
    durations_s: tuple[int, ...] = (2, 3, 4)

    def __post_init__(self) -> None:
        if self.side_px < 32 or self.side_px % 2:
            raise ConfigError(
                f"playground side_px {self.side_px} is not an even number of at least 32; "
                f"choose such as 64, 96 or 128"
            )
        if self.rate_fps < 4 or min(self.durations_s, default=0) < 1:
            raise ConfigError(
                f"playground rate_fps {self.rate_fps} and durations_s {self.durations_s} are too "
                f"short to show a motion; choose at least 4 frames a second and 1 s"
            )
        if self.seed < 0:
            raise ConfigError(f"playground seed {self.seed} is negative; choose 0 or more")


def is_reserved(shape: str, colour: str, verb: int) -> bool:
    """Say whether a subject of this shape and colour does this only in the test split."""
    number = list(SHAPES).index(shape) + list(COLOURS).index(colour) + verb
    return number % NUM_RESERVED_OF == 0


def place_of(index: int) -> int:
    """Say where a video is among ten of its class, which decides its split."""
    return index // len(ACTIONS) % len(_PLACES)


def draw_facts(index: int, world: World) -> Facts:
    """Draw video `index` of a world; classes take turns, so that any number is balanced."""
    names = list(ACTIONS)
    split, unseen = _PLACES[place_of(index)]
    rng = np.random.default_rng((world.seed, 0, index))
    facts = _draw(rng, names[index % len(names)], world, unseen=unseen)
    return replace(facts, id=f"v{index:06d}", index=index, split=split)


def draw_still(index: int, world: World) -> Facts:
    """Draw still `index` of a world: the actors, alone, in the clear frame of a video never made.

    So shapes are learned in few steps, first of one thing, then of two at once. A still is of one
    frame, in training or validation, and who acts first is never a reserved combination. Of two,
    either is named first.
    """
    names = list(ACTIONS)
    rng = np.random.default_rng((world.seed, 5, index))
    facts = _draw(rng, names[index % len(names)], world, unseen=False)
    (event,) = facts.events
    cast = tuple(int(actor) for actor in rng.permutation(event.actors))
    split = "val" if index % STILLS_PER_VAL == STILLS_PER_VAL - 1 else "train"
    facts = replace(
        facts,
        id=f"i{index:06d}",
        index=index,
        split=split,
        events=(replace(event, actors=cast),),
        distractors=(),
    )
    return still(facts, clear_frame(facts))


def draw_action(action: str, seed: int, world: World) -> Facts:
    """Draw one video of an action from a seed of its own, outside of every split.

    Both actions of a pair give, for the same seed, the same frames in another order.
    """
    if action not in ACTIONS:
        raise unknown_name("action", action, ACTIONS)
    rng = np.random.default_rng((world.seed, 1, seed))
    return _draw(rng, action, world, unseen=False)


def _draw(rng: np.random.Generator, name: str, world: World, *, unseen: bool) -> Facts:
    action = ACTIONS[name]
    num_frames = world.rate_fps * int(rng.choice(world.durations_s))
    looks = _cast(rng, action, unseen=unseen)
    radii = [SIZES[look.size] * float(rng.uniform(0.95, 1.05)) for look in looks]
    num_parts = len(action.sizes)
    scene = Scene(rng=rng, num_frames=num_frames, radii=tuple(radii[:num_parts]))
    motion = action.draw(scene)
    order, span = _order(action, motion, num_frames)

    def actor(look: Look, part: Part, radius: float) -> Actor:
        start = float(rng.uniform(-180, 180))
        return Actor(
            look=look,
            x=_track(part.x, order),
            y=_track(part.y, order),
            radius=_track(np.multiply(part.scale, radius), order),
            angle=_track(np.add(part.turn, start), order, decimals=2),
            opacity=_track(part.opacity, order, decimals=3),
        )

    moving = zip(looks[:num_parts], motion.parts, radii[:num_parts], strict=True)
    actors = tuple(actor(*one) for one in moving)
    parts = _scatter(rng, motion, radii[num_parts:], radii[:num_parts], num_frames)
    distractors = tuple(
        actor(look, part, radius)
        for look, part, radius in zip(looks[num_parts:], parts, radii[num_parts:], strict=True)
        if part is not None
    )
    camera_x, camera_y = (_loop(rng, num_frames, CAMERA_REACH) for _ in range(2))
    event = Event(
        action=name,
        actors=tuple(range(num_parts)),
        start_s=round(span[0] / world.rate_fps, 3),
        end_s=round(span[1] / world.rate_fps, 3),
        parameters={key: round(value, 4) for key, value in motion.parameters.items()},
    )
    return Facts(
        id="",
        index=-1,
        seed=world.seed,
        split="",
        has_unseen_combination=unseen,
        num_frames=num_frames,
        rate_fps=world.rate_fps,
        side_px=world.side_px,
        events=(event,),
        actors=actors,
        distractors=distractors,
        background=_background(rng),
        camera_x=_track(camera_x, order),
        camera_y=_track(camera_y, order),
        noise=round(float(rng.uniform(0.5, 3.5)), 2),
    )


def _order(
    action: Action, motion: Motion, num_frames: int
) -> tuple[np.ndarray, tuple[float, float]]:
    """Give the drawn frames in the order in which the action shows them, and its span then."""
    frames = np.arange(num_frames)
    if action.order == "reversed":
        start, end = motion.span
        return frames[::-1], (num_frames - 1 - end, num_frames - 1 - start)
    if action.order == "rolled":
        assert motion.rolled_span is not None
        return np.roll(frames, num_frames // 2), motion.rolled_span
    return frames, motion.span


def _track(values: Frames | float, order: np.ndarray, decimals: int = 5) -> Track:
    values = np.asarray(values, dtype=float).round(decimals)
    return (float(values),) if values.ndim == 0 else tuple(values[order].tolist())


def _loop(rng: np.random.Generator, num_frames: int, reach: float) -> Frames:
    """Drift along a closed path, so that its frames can be rolled like those of a motion."""
    phase = 2 * np.pi * np.arange(num_frames) / num_frames
    amounts, starts = rng.uniform(-reach / 2, reach / 2, 2), rng.uniform(0, 2 * np.pi, 2)
    return amounts[0] * np.sin(phase + starts[0]) + amounts[1] * np.sin(2 * phase + starts[1])


def _cast(rng: np.random.Generator, action: Action, *, unseen: bool) -> list[Look]:
    """Choose the looks of the action's parts, then of distractors; no two alike."""

    def reserved(look: Look) -> bool:
        return is_reserved(look.shape, look.colour, action.verb)

    shapes = [s for s in SHAPES if not (action.must_show_turning and s in ROUND_SHAPES)]
    looks = [_look(rng, shapes, action.sizes[0], lambda look: reserved(look) == unseen)]

    def is_new(look: Look) -> bool:
        return all((look.shape, look.colour) != (one.shape, one.colour) for one in looks)

    for sizes in action.sizes[1:]:
        shapes = [s for s in SHAPES if not action.must_cover or s in COVERING_SHAPES]
        looks.append(_look(rng, shapes, sizes, is_new))
    num_distractors = int(rng.integers(0, MAX_DISTRACTORS + 1))
    for _ in range(num_distractors):  # each sees those before it through `is_new`
        looks += [_look(rng, list(SHAPES), tuple(SIZES), is_new)]
    return looks


def _look(
    rng: np.random.Generator,
    shapes: list[str],
    sizes: tuple[str, ...],
    is_allowed: Callable[[Look], bool],
) -> Look:
    while True:
        colour = str(rng.choice(list(COLOURS)))
        red, green, blue = (
            int(np.clip(value + rng.integers(-10, 11), 0, 255)) for value in COLOURS[colour]
        )
        look = Look(
            shape=str(rng.choice(shapes)),
            colour=colour,
            size=str(rng.choice(sizes)),
            texture=str(rng.choice(list(TEXTURES))),
            rgb=(red, green, blue),
        )
        if is_allowed(look):
            return look


def _scatter(
    rng: np.random.Generator,
    motion: Motion,
    radii: list[float],
    actor_radii: list[float],
    num_frames: int,
) -> list[Part | None]:
    """Find places for distractors beside all that moves; None where there is no room."""
    taken = [
        (
            np.broadcast_to(part.x, num_frames),
            np.broadcast_to(part.y, num_frames),
            radius * float(np.max(part.scale)),
        )
        for part, radius in zip(motion.parts, actor_radii, strict=True)
    ]
    parts: list[Part | None] = []
    for radius in radii:
        part = None
        low, high = MARGIN + radius, 1 - MARGIN - radius
        for x, y in rng.uniform(low, high, (12, 2)):
            gaps = [np.hypot(x - at_x, y - at_y).min() - reach for at_x, at_y, reach in taken]
            if min(gaps) > radius:
                part = Part(
                    x=x + _loop(rng, num_frames, 0.012), y=y + _loop(rng, num_frames, 0.012)
                )
                taken.append((np.array([x]), np.array([y]), radius))
                break
        parts.append(part)
    return parts


def _background(rng: np.random.Generator) -> Background:
    """Draw two muted colours, apart in brightness but never as vivid as an actor."""

    def muted(grey: float) -> tuple[int, int, int]:
        red, green, blue = (int(np.clip(grey + rng.uniform(-14, 14), 0, 255)) for _ in range(3))
        return red, green, blue

    grey = float(rng.uniform(45, 150))
    return Background(
        kind=str(rng.choice(list(BACKGROUNDS))),
        near=muted(grey),
        far=muted(grey + float(rng.uniform(15, 45))),
        seed=int(rng.integers(0, 2**31)),
    )
