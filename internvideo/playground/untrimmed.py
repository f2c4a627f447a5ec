"""Untrimmed videos of the playground: several actions in one scene, with pauses and overlaps.

Each action is drawn as a trimmed video draws it and laid at its time on a longer line. Who acts is
there a little earlier and stays a little longer, standing still, so that being seen is not acting.
A segment lasts as long as the motion itself. Annotations are written in the published formats:
`thumos14.json` as ActionFormer keeps THUMOS14 (whose training uses its validation subset),
`activitynet.json` as ActivityNet's, and `segments.csv`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from internvideo.errors import ConfigError
from internvideo.playground.actions import ACTIONS
from internvideo.playground.compose import World, draw_action
from internvideo.playground.facts import Actor, Event, Facts, Track, facts_line
from internvideo.playground.render import render
from internvideo.video import write_video
from internvideo.writing import replace_text, written_beside

DURATIONS_S = (20, 60)
# Seconds from the end of one action to the start of the next; below zero they overlap.
_PAUSES_S = (-1.5, 6.0)
_STANDING_S = (0.3, 1.2)
_SPLITS = ("train", "train", "train", "val", "test")
_SUBSETS = {
    "thumos14.json": {"train": "Validation", "val": "Validation", "test": "Test"},
    "activitynet.json": {"train": "training", "val": "validation", "test": "testing"},
}


def draw_untrimmed(index: int, world: World, *, actions: tuple[str, ...] = ()) -> Facts:
    """Draw untrimmed video `index` of a world, of some of the actions or of all."""
    names = actions or tuple(ACTIONS)
    rng = np.random.default_rng((world.seed, 7, index))
    num_frames = world.rate_fps * int(rng.integers(DURATIONS_S[0], DURATIONS_S[1] + 1))
    actors: list[Actor] = []
    distractors: list[Actor] = []
    events: list[Event] = []
    start = int(world.rate_fps * rng.uniform(1, 4))
    scene = draw_action(names[0], int(rng.integers(2**31)), world)
    while True:
        piece = draw_action(str(rng.choice(names)), int(rng.integers(2**31)), world)
        if start + piece.num_frames + world.rate_fps > num_frames:
            break
        margins = (rng.uniform(*_STANDING_S, size=2) * world.rate_fps).astype(int)
        place = (start, int(margins[0]), int(margins[1]), num_frames)
        event = piece.events[0]
        events.append(
            replace(
                event,
                actors=tuple(len(actors) + actor for actor in event.actors),
                start_s=round(start / world.rate_fps + event.start_s, 3),
                end_s=round(start / world.rate_fps + event.end_s, 3),
            )
        )
        actors += [_laid(actor, piece.num_frames, place) for actor in piece.actors]
        distractors += [_laid(one, piece.num_frames, place) for one in piece.distractors[:1]]
        start += piece.num_frames + int(rng.uniform(*_PAUSES_S) * world.rate_fps)
    repeats = -(-num_frames // scene.num_frames)
    return replace(
        scene,
        id=f"u{index:06d}",
        index=index,
        split=_SPLITS[index % len(_SPLITS)],
        num_frames=num_frames,
        events=tuple(events),
        actors=tuple(actors),
        distractors=tuple(distractors),
        # The drift of the camera is a closed path.
        camera_x=(scene.camera_x * repeats)[:num_frames],
        camera_y=(scene.camera_y * repeats)[:num_frames],
    )


def generate_untrimmed(
    out: Path,
    *,
    num_videos: int = 60,
    seed: int = 0,
    actions: tuple[str, ...] = (),
    side_px: int = 128,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write untrimmed videos with their annotations, and return the number of segments.

    A video that is there already is left alone, so an interrupted generation goes on.

    Raises:
        ConfigError: If an option is impossible, or the folder holds another generation.
    """
    if num_videos < len(_SPLITS):
        raise ConfigError(
            f"{num_videos} videos do not fill all splits; give {len(_SPLITS)} or more"
        )
    if unknown := [name for name in actions if name not in ACTIONS]:
        raise ConfigError(f"no actions of the playground: {', '.join(unknown)}")
    world = World(seed=seed, side_px=side_px)
    drawn = [draw_untrimmed(index, world, actions=actions) for index in range(num_videos)]
    lines = "".join(facts_line(facts) + "\n" for facts in drawn)
    _claim(out, json.dumps({"seed": seed, "side_px": side_px, "actions": list(actions)}))
    for done, facts in enumerate(drawn, 1):
        path = out / "videos" / f"{facts.id}.mp4"
        if not path.exists():
            with written_beside(path) as folder:
                pixels = torch.from_numpy(render(facts))
                write_video(
                    folder / path.name, pixels, float(facts.rate_fps), crf=25, preset="superfast"
                )
                (folder / path.name).replace(path)
        if on_progress is not None:
            on_progress(done, num_videos)
    replace_text(out / "facts.jsonl", lines)
    names = sorted({event.action for facts in drawn for event in facts.events})
    for name in _SUBSETS:
        replace_text(out / name, json.dumps(_database(name, drawn, names), indent=1) + "\n")
    replace_text(out / "segments.csv", _table(drawn))
    return sum(len(facts.events) for facts in drawn)


def _claim(out: Path, state: str) -> None:
    """Make the folder ours, or see that it was begun with the same settings."""
    path = out / "untrimmed.json"
    if path.exists():
        if path.read_text(encoding="utf-8") != state:
            raise ConfigError(f"{out}: holds videos of other settings; choose another folder")
    elif out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out}: is not empty; choose an empty or a new folder")
    (out / "videos").mkdir(parents=True, exist_ok=True)
    replace_text(path, state)


def _laid(actor: Actor, length: int, place: tuple[int, int, int, int]) -> Actor:
    """Lay the tracks of an actor on a longer line, still before and after, absent beyond."""
    start, before, after, num_frames = place
    index = np.clip(np.arange(num_frames) - start, 0, length - 1)

    def track(values: Track) -> Track:
        spread = np.broadcast_to(np.asarray(values, dtype=float), length)
        return tuple(spread[index].tolist())

    frames = np.arange(num_frames)
    is_there = (frames >= start - before) & (frames < start + length + after)
    opacity = np.asarray(track(actor.opacity)) * is_there
    return replace(
        actor,
        x=track(actor.x),
        y=track(actor.y),
        radius=track(actor.radius),
        angle=track(actor.angle),
        opacity=tuple(opacity.tolist()),
    )


def _database(name: str, drawn: list[Facts], names: list[str]) -> dict[str, object]:
    is_thumos = name.startswith("thumos")
    database = {}
    for facts in drawn:
        annotations = []
        for event in facts.events:
            entry: dict[str, object] = {
                "label": event.action,
                "segment": [event.start_s, event.end_s],
            }
            if is_thumos:
                entry["label_id"] = names.index(event.action)
                entry["segment(frames)"] = [
                    round(time_s * facts.rate_fps, 1) for time_s in (event.start_s, event.end_s)
                ]
            annotations.append(entry)
        database[facts.id] = {
            "subset": _SUBSETS[name][facts.split],
            "duration": facts.duration_s,
            **({"fps": facts.rate_fps} if is_thumos else {"resolution": f"{facts.side_px}x"}),
            "annotations": annotations,
        }
    return {"version": name.removesuffix(".json"), "database": database}


def _table(drawn: list[Facts]) -> str:
    rows = ["path,start_s,end_s,label,split,duration_s"]
    for facts in drawn:
        start, end = f"videos/{facts.id}.mp4", f"{facts.split},{facts.duration_s}"
        rows += [f"{start},{e.start_s},{e.end_s},{e.action},{end}" for e in facts.events]
        rows += [f"{start},,,,{end}"] * (not facts.events)
    return "\n".join(rows) + "\n"
