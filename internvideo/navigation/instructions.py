"""Instructions in words for a way through a house, from a small grammar with paraphrases.

rooms of the way, turns at doors, what stands at the goal -> one to three sentences
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from internvideo.navigation.world import Scene, Thing

Point = tuple[float, float]

_LEAVE = ("Leave the {room}{turn}", "Exit the {room}{turn}", "Walk out of the {room}{turn}")
_CROSS = (
    "Go through the {room}{turn}",
    "Walk across the {room}{turn}",
    "Pass through the {room}{turn}",
)
_ENTER = ("Enter the {room}", "Go into the {room}", "Walk into the {room}")
_STOP = (
    "Stop next to the {thing}",
    "Wait by the {thing}",
    "Stop in front of the {thing}",
    "Stand beside the {thing}",
)
_TURNS = {"left": (" and turn left", " to the left"), "right": (" and turn right", " to the right")}


def describe_way(scene: Scene, way: Sequence[Point], goal: Thing, *, seed: int) -> str:
    """Tell how to walk `way`, which ends beside `goal`; the words are drawn from `seed`."""
    random = np.random.default_rng(seed)

    def pick(options: Sequence[str]) -> str:
        return options[int(random.integers(len(options)))]

    rooms, turns = _rooms_and_turns(scene, way)
    clauses = []
    for place, room in enumerate(rooms):
        is_last = place == len(rooms) - 1
        if is_last and len(rooms) > 1:
            clauses.append(pick(_ENTER).format(room=room))
        elif not is_last:
            turn = turns[place]
            told = pick(_TURNS[turn]) if turn else ""
            clauses.append(pick(_CROSS if place else _LEAVE).format(room=room, turn=told))
    clauses.append(pick(_STOP).format(thing=goal.name))
    joined = pick((". ", ", then "))
    if joined == ". ":
        return ". ".join(clauses) + "."
    head, *rest = clauses
    return ", then ".join([head, *(clause[0].lower() + clause[1:] for clause in rest)]) + "."


def _rooms_and_turns(scene: Scene, way: Sequence[Point]) -> tuple[list[str], list[str | None]]:
    """Rooms in the order of the way, and how one turns on leaving each but the last."""
    rooms: list[str] = []
    crossings: list[int] = []  # index of the fine point at which a room is left
    fine = _fine(way)
    for i, point in enumerate(fine):
        room = scene.room_at(*point)
        if room is not None and (not rooms or rooms[-1] != room.kind):
            if rooms:
                crossings.append(i)
            rooms.append(room.kind)
    turns: list[str | None] = []
    for i in crossings:
        before = _direction(fine[max(0, i - 12)], fine[max(0, i - 4)])
        after = _direction(fine[min(len(fine) - 1, i + 4)], fine[min(len(fine) - 1, i + 12)])
        angle = math.remainder(after - before, math.tau)
        sharp = abs(angle) > math.radians(35)
        turns.append(("left" if angle > 0 else "right") if sharp else None)
    return rooms, turns


def _fine(way: Sequence[Point], step_m: float = 0.1) -> list[Point]:
    points = [way[0]]
    for (x0, z0), (x1, z1) in itertools.pairwise(way):
        count = max(1, math.ceil(math.dist((x0, z0), (x1, z1)) / step_m))
        points += [
            (x0 + (x1 - x0) * k / count, z0 + (z1 - z0) * k / count) for k in range(1, count + 1)
        ]
    return points


def _direction(start: Point, end: Point) -> float:
    """Heading from one point to another."""
    return math.atan2(-(end[0] - start[0]), -(end[1] - start[1]))
