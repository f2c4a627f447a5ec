"""Several actors in one video, each with an action of its own, beside things that do nothing.

Each actor has a quarter of the frame, in which it does what a video of its action alone shows, so
that two of them never meet. Files: videos/NAME.mp4; for each split `ava_SPLIT.csv`, boxes once a
second as of AVA, and `detections_SPLIT.csv`, the same boxes as a detector would give them: moved a
little, some missed, some of nothing; `actions.pbtxt`; `priors.json`, how frequent each class is.
Which two actions meet in a test video never met in training.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from internvideo.errors import ConfigError
from internvideo.playground.compose import World, draw_action
from internvideo.playground.facts import Actor, Facts, Track
from internvideo.playground.render import render
from internvideo.video import write_video
from internvideo.writing import written_beside

# Pairs that are the same frames in another order, but for the last two.
ACTED = (
    *("slide_right", "slide_left", "slide_down", "slide_up", "grow", "shrink"),
    *("circle_clockwise", "circle_anticlockwise", "shake", "blink"),
)
RESTING = "rest"
CLASSES = (*ACTED, RESTING)
_NUM_QUARTERS = 4
# Things keep more of their size than the frame that they move in.
_QUARTER, _SIZE = 0.5, 0.75
_OF_TEST = 5  # of so many pairs of actions one is met in test videos alone
_NUM_VIDEOS = {"train": 0.7, "val": 0.1, "test": 0.2}
_LOWEST_BOX = 0.03  # side of a box that is worth naming, as a fraction


@dataclass(frozen=True, kw_only=True, slots=True)
class ActedBox:
    """Who is where at one second, and what it does."""

    second: int
    actor: int
    action: str
    xyxy: tuple[float, float, float, float]


def acts_only_in_test(first: str, second: str) -> bool:
    """Whether two actions meet in test videos alone."""
    return (ACTED.index(first) + ACTED.index(second)) % _OF_TEST == 0


def draw_scene(number: int, split: str, *, seed: int = 0, world: World | None = None) -> Facts:
    """Draw a video with two or three actors and as many things at rest as there is room for.

    Args:
        number: Of the video, which decides all of it, together with `seed`.
        split: In "test" the first two actions never meet in another split.
        seed: Of the whole set.
        world: Size and rate; videos are as long as its longest.
    """
    world = world or World(seed=seed, side_px=96, durations_s=(4,))
    rng = np.random.default_rng((seed, 7, number))
    num_acting = int(rng.integers(2, 4))
    while True:
        actions = [str(name) for name in rng.choice(ACTED, num_acting, replace=False)]
        unseen = [acts_only_in_test(a, b) for i, a in enumerate(actions) for b in actions[:i]]
        if (split == "test" and unseen[0]) or (split != "test" and not any(unseen)):
            break
    parts = [draw_action(name, int(rng.integers(1 << 30)), world) for name in actions]
    frames = parts[0].num_frames
    quarters = rng.permutation(_NUM_QUARTERS)
    actors = [
        _in_quarter(one.actors[0], int(quarter))
        for one, quarter in zip(parts, quarters, strict=False)
    ]
    for quarter in quarters[num_acting:]:
        if rng.random() < 0.75:
            other = draw_action("shake", int(rng.integers(1 << 30)), world).actors[0]
            actors.append(_in_quarter(_at_rest(other), int(quarter)))
    events = tuple(replace(one.events[0], actors=(place,)) for place, one in enumerate(parts))
    return replace(
        parts[0],
        id=f"a{number:06d}",
        index=number,
        split=split,
        num_frames=frames,
        events=events,
        actors=tuple(actors),
        distractors=(),
        has_unseen_combination=split == "test",
    )


def boxes_by_second(facts: Facts) -> list[ActedBox]:
    """Boxes of all that shows at every whole second but the first; before and behind its event an
    actor is at rest."""
    tracks = [facts.boxes(actor) for actor in facts.actors]
    acting = {event.actors[0]: event for event in facts.events}
    found = []
    for second in range(1, int(facts.duration_s)):
        for place, track in enumerate(tracks):
            box = track[second * facts.rate_fps]
            if box is None or min(box[2] - box[0], box[3] - box[1]) < _LOWEST_BOX:
                continue
            event = acting.get(place)
            acts = event is not None and event.start_s <= second <= event.end_s
            action = event.action if acts and event is not None else RESTING
            found.append(ActedBox(second=second, actor=place, action=action, xyxy=box))
    return found


def generate_actors(
    folder: Path,
    *,
    size: int = 200,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> str:
    """Write a set of videos with boxes into a new folder, and say what it holds.

    Raises:
        ConfigError: If the folder exists, or so few videos give no test video.
    """
    if folder.exists():
        raise ConfigError(f"{folder}: exists already; choose another folder or remove it")
    if size < 10:
        raise ConfigError(f"{size} videos leave none to test on; give 10 or more")
    with written_beside(folder) as beside:
        number = _generate(beside, size, seed, on_progress)
        beside.rename(folder)
    return f"{folder}: {number} videos, boxes of {len(CLASSES)} actions in ava_SPLIT.csv"


def _generate(
    folder: Path, size: int, seed: int, on_progress: Callable[[int, int], None] | None
) -> int:
    (folder / "videos").mkdir()
    rng, counts, number = np.random.default_rng((seed, 8)), Counter[str](), 0
    for split, share in _NUM_VIDEOS.items():
        truth: list[list[object]] = []
        detections: list[list[object]] = []
        for _ in range(round(share * size)):
            facts = draw_scene(number, split, seed=seed)
            write_video(folder / "videos" / f"{facts.id}.mp4", iter(render(facts)), facts.rate_fps)
            boxes = boxes_by_second(facts)
            truth += [_row(facts.id, box) for box in boxes]
            detections += _detected(facts.id, boxes, rng)
            if split == "train":
                counts.update(box.action for box in boxes)
            number += 1
            if on_progress is not None:
                on_progress(number, size)
        _write(folder / f"ava_{split}.csv", truth)
        _write(folder / f"detections_{split}.csv", detections)
    names = "".join(
        f'item {{\n  name: "{name}"\n  id: {i}\n}}\n' for i, name in enumerate(CLASSES, 1)
    )
    (folder / "actions.pbtxt").write_text(names, encoding="utf-8")
    total = sum(counts.values())
    priors = {name: counts[name] / total for name in CLASSES}
    (folder / "priors.json").write_text(json.dumps(priors, indent=1) + "\n", encoding="utf-8")
    return number


def _in_quarter(actor: Actor, quarter: int) -> Actor:
    left, top = (quarter % 2) * _QUARTER, (quarter // 2) * _QUARTER

    def moved(track: Track, start: float) -> Track:
        return tuple(round(start + _QUARTER * value, 5) for value in track)

    radius = tuple(round(_SIZE * value, 5) for value in actor.radius)
    return replace(actor, x=moved(actor.x, left), y=moved(actor.y, top), radius=radius)


def _at_rest(actor: Actor) -> Actor:
    return replace(
        actor, x=(0.5,), y=(0.5,), radius=actor.radius[:1], angle=actor.angle[:1], opacity=(1.0,)
    )


def _row(video: str, box: ActedBox) -> list[object]:
    sides = [f"{side:.4f}" for side in box.xyxy]
    return [video, f"{box.second:04d}", *sides, CLASSES.index(box.action) + 1, box.actor]


def _detected(
    video: str, boxes: Iterable[ActedBox], rng: np.random.Generator
) -> list[list[object]]:
    """What a detector would find: nine boxes in ten, moved a little, and some where nothing is."""
    rows: list[list[object]] = []

    def add(second: int, sides: np.ndarray, score: float) -> None:
        x1, y1, x2, y2 = sides.clip(0, 1)
        if min(x2 - x1, y2 - y1) > _LOWEST_BOX / 2:
            shown = [f"{side:.4f}" for side in (x1, y1, x2, y2)]
            rows.append([video, f"{second:04d}", *shown, "", f"{score:.3f}"])

    seconds = set()
    for box in boxes:
        seconds.add(box.second)
        if rng.random() < 0.9:
            sides = np.array(box.xyxy)
            size = np.tile(sides[2:] - sides[:2], 2)
            add(box.second, sides + size * rng.normal(0, 0.05, 4), rng.uniform(0.6, 0.99))
    for second in sorted(seconds):
        if rng.random() < 0.4:
            corner, side = rng.uniform(0, 0.7, 2), rng.uniform(0.1, 0.3, 2)
            add(second, np.concatenate([corner, corner + side]), rng.uniform(0.05, 0.6))
    return rows


def _write(path: Path, rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
