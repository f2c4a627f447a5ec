"""What a stand-in consists of, and the videos that all of them show."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from internvideo.playground.actions import ACTIONS
from internvideo.playground.compose import World, draw_facts
from internvideo.playground.facts import Facts

# Two pairs, each of which is the other backwards.
STAND_IN_ACTIONS = ("slide_left", "slide_right", "grow", "shrink")
NUM_PLACES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """Files of a stand-in: `videos` has the path of each video, by its id.

    A path that ends in a slash is a folder of frames. `features` has the path of a feature file
    for each video, where the task is trained on features.
    """

    videos: Mapping[str, str]
    files: Mapping[str, str | bytes]
    features: Mapping[str, str] = field(default_factory=dict)


def draw_videos(seed: int) -> list[Facts]:
    """Draw twenty short videos of four actions: 14 to train on, 2 of val, 4 of test."""
    world = World(seed=seed, side_px=64, rate_fps=8, durations_s=(2,))
    names = list(ACTIONS)
    return [
        draw_facts(place * len(names) + names.index(action), world)
        for place in range(NUM_PLACES)
        for action in (STAND_IN_ACTIONS[:2] if place % 2 else STAND_IN_ACTIONS[2:])
    ]


def of_split(facts: Iterable[Facts], split: str) -> list[Facts]:
    return [one for one in facts if one.split == split]


def table(rows: Iterable[Sequence[object]], separator: str = ",") -> str:
    """Write rows with quotes where a cell needs them."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows(rows)
    return text.getvalue()


def lines(rows: Iterable[Sequence[object]], separator: str = " ") -> str:
    """Write rows without quotes."""
    return "".join(separator.join(map(str, row)) + "\n" for row in rows)


def document(value: Any) -> str:
    return json.dumps(value, indent=1) + "\n"
