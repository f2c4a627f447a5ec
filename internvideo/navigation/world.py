"""Houses drawn from a seed: rooms, doors and furniture on a grid of 10 cm, seen from above.

    plan of rooms -> walls with doors -> furniture -> Scene (what stands on every cell)

Positions are (x, y, z) in metres with y upwards, as in Habitat; the floor is y = 0. A heading is an
angle in radians, counterclockwise seen from above; heading 0 looks along -z. Everything follows
from (seed, options): the same seed gives the same house to the bit.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from internvideo.errors import ConfigError

CELL_M = 0.1
WALL_HEIGHT_M = 2.5
DOOR_CELLS = 10  # 1 m

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (200, 40, 40),
    "green": (50, 160, 60),
    "blue": (50, 80, 200),
    "yellow": (230, 200, 40),
    "purple": (140, 60, 170),
    "orange": (235, 130, 30),
    "white": (235, 235, 235),
    "black": (35, 35, 35),
}


class RoomKind(NamedTuple):
    """Colours of walls and floor, by which one sees where one is, and what stands there."""

    wall: tuple[int, int, int]
    floor: tuple[int, int, int]
    furniture: tuple[str, ...]


ROOMS: dict[str, RoomKind] = {
    "kitchen": RoomKind((215, 200, 160), (150, 140, 130), ("stove", "table")),
    "bedroom": RoomKind((170, 180, 215), (120, 90, 70), ("bed", "wardrobe")),
    "bathroom": RoomKind((170, 215, 215), (200, 210, 215), ("bathtub", "cabinet")),
    "office": RoomKind((185, 165, 140), (95, 100, 110), ("desk", "shelf")),
    "lounge": RoomKind((200, 160, 160), (140, 110, 80), ("sofa", "plant")),
    "playroom": RoomKind((175, 210, 165), (170, 150, 110), ("tent", "chest")),
}


class Shape(NamedTuple):
    """Footprint in cells along both sides, and height in metres."""

    length: int
    width: int
    height_m: float


FURNITURE: dict[str, Shape] = {
    "stove": Shape(6, 6, 0.9),
    "table": Shape(10, 7, 0.75),
    "bed": Shape(14, 9, 0.5),
    "wardrobe": Shape(9, 5, 1.9),
    "bathtub": Shape(13, 7, 0.6),
    "cabinet": Shape(6, 4, 1.2),
    "desk": Shape(11, 6, 0.7),
    "shelf": Shape(8, 3, 1.8),
    "sofa": Shape(13, 7, 0.8),
    "plant": Shape(4, 4, 1.3),
    "tent": Shape(9, 9, 1.4),
    "chest": Shape(7, 5, 0.6),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """A piece of furniture; `centre` on the floor, (x, z) in metres."""

    kind: str
    colour: str
    room: int
    centre: tuple[float, float]

    @property
    def name(self) -> str:
        return f"{self.colour} {self.kind}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """A room: cells of rows `top` to `bottom` and columns `left` to `right`, ends excluded."""

    kind: str
    top: int
    left: int
    bottom: int
    right: int

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the floor, (x, z) in metres."""
        return (self.left + self.right) / 2 * CELL_M, (self.top + self.bottom) / 2 * CELL_M


@dataclass(frozen=True, kw_only=True, slots=True)
class Door:
    """An opening between two rooms, with its middle (x, z) in metres."""

    rooms: tuple[int, int]
    centre: tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scene:
    """A house as rays and feet meet it; row i is z, column j is x, of cells of 10 cm.

    `heights_m` is what stands on a cell (0: nothing, `WALL_HEIGHT_M`: wall), `colours` of what
    stands there, `floors` of the floor, `room_of` the number of the room (-1 in walls and doors).
    """

    name: str
    rooms: tuple[Room, ...]
    doors: tuple[Door, ...]
    things: tuple[Thing, ...]
    heights_m: NDArray[np.float32]
    colours: NDArray[np.uint8]
    floors: NDArray[np.uint8]
    room_of: NDArray[np.int16]

    @property
    def free(self) -> NDArray[np.bool_]:
        """Cells where nothing stands."""
        return self.heights_m == 0

    def cell(self, x: float, z: float) -> tuple[int, int]:
        """Row and column of a point of the floor."""
        return math.floor(z / CELL_M), math.floor(x / CELL_M)

    def room_at(self, x: float, z: float) -> Room | None:
        """The room of a point, or None in a wall or door or outside."""
        row, column = self.cell(x, z)
        inside = 0 <= row < self.room_of.shape[0] and 0 <= column < self.room_of.shape[1]
        number = int(self.room_of[row, column]) if inside else -1
        return self.rooms[number] if number >= 0 else None


def make_scene(seed: int, *, rows: int = 2, columns: int = 3, extra_doors: int = 1) -> Scene:
    """Draw a house of `rows` x `columns` rooms of different kinds, all of which can be reached.

    Args:
        seed: The house follows from it and the other arguments alone.
        rows: Of rooms, from north to south.
        columns: Of rooms, from west to east.
        extra_doors: Doors beyond those that connect all rooms.

    Raises:
        ConfigError: If there are fewer than two rooms, or more than kinds of rooms.
    """
    if rows < 1 or columns < 1 or not 2 <= rows * columns <= len(ROOMS):
        raise ConfigError(
            f"a house of {rows} x {columns} rooms; give 2 to {len(ROOMS)} rooms in all, each of "
            "its own kind"
        )
    random = np.random.default_rng([seed, rows, columns, extra_doors])
    heights = random.integers(32, 46, rows)
    widths = random.integers(32, 46, columns)
    tops = np.concatenate([[1], 1 + np.cumsum(heights + 1)])
    lefts = np.concatenate([[1], 1 + np.cumsum(widths + 1)])
    kinds = random.permutation(list(ROOMS))
    rooms = tuple(
        Room(
            kind=str(kinds[i * columns + j]),
            top=int(tops[i]),
            left=int(lefts[j]),
            bottom=int(tops[i] + heights[i]),
            right=int(lefts[j] + widths[j]),
        )
        for i, j in itertools.product(range(rows), range(columns))
    )
    size = int(tops[-1]), int(lefts[-1])
    scene = Scene(
        name=f"house-{seed}",
        rooms=rooms,
        doors=(),
        things=(),
        heights_m=np.full(size, WALL_HEIGHT_M, np.float32),
        colours=np.zeros((*size, 3), np.uint8),
        floors=np.full((*size, 3), 110, np.uint8),
        room_of=np.full(size, -1, np.int16),
    )
    for number, room in enumerate(rooms):
        _clear(scene, number, room)
    doors = tuple(
        _open_door(scene, pair, random) for pair in _connect(rows, columns, extra_doors, random)
    )
    things: list[Thing] = []
    colours = list(COLOURS)
    names = [(n, kind) for n, room in enumerate(rooms) for kind in ROOMS[room.kind].furniture]
    for number, kind in names:
        colour = colours[int(random.integers(len(colours)))]
        thing = _furnish(scene, doors, number, kind, colour, random)
        if thing is not None:
            things.append(thing)
    return Scene(
        name=scene.name,
        rooms=rooms,
        doors=doors,
        things=tuple(things),
        heights_m=scene.heights_m,
        colours=scene.colours,
        floors=scene.floors,
        room_of=scene.room_of,
    )


def _clear(scene: Scene, number: int, room: Room) -> None:
    """Empty a room and paint its floor and the walls around it."""
    kind = ROOMS[room.kind]
    around = np.s_[room.top - 1 : room.bottom + 1, room.left - 1 : room.right + 1]
    painted = (scene.heights_m[around] > 0) & (scene.colours[around].sum(-1) == 0)
    scene.colours[around][painted] = kind.wall
    inside = np.s_[room.top : room.bottom, room.left : room.right]
    scene.heights_m[inside] = 0
    scene.floors[inside] = kind.floor
    scene.room_of[inside] = number


def _connect(
    rows: int, columns: int, extra: int, random: np.random.Generator
) -> list[tuple[int, int]]:
    """Pairs of neighbouring rooms with a door: a spanning tree of all, and some more."""
    numbers = np.arange(rows * columns).reshape(rows, columns)
    pairs = [*zip(numbers[:, :-1].ravel(), numbers[:, 1:].ravel(), strict=True)]
    pairs += [*zip(numbers[:-1].ravel(), numbers[1:].ravel(), strict=True)]
    group = list(range(rows * columns))
    tree: list[tuple[int, int]] = []
    rest: list[tuple[int, int]] = []
    for place in random.permutation(len(pairs)):
        first, second = (int(n) for n in pairs[place])
        if group[first] == group[second]:
            rest.append((first, second))
            continue
        tree.append((first, second))
        old, new = group[first], group[second]
        group = [new if g == old else g for g in group]
    return tree + rest[:extra]


def _open_door(scene: Scene, pair: tuple[int, int], random: np.random.Generator) -> Door:
    first, second = (scene.rooms[n] for n in pair)
    beside = first.top == second.top
    low = max(first.top, second.top) if beside else max(first.left, second.left)
    high = min(first.bottom, second.bottom) if beside else min(first.right, second.right)
    start = int(random.integers(low + 4, high - DOOR_CELLS - 3))
    wall = first.right if beside else first.bottom
    opening = (
        np.s_[start : start + DOOR_CELLS, wall]
        if beside
        else (np.s_[wall, start : start + DOOR_CELLS])
    )
    scene.heights_m[opening] = 0
    along, across = (start + DOOR_CELLS / 2) * CELL_M, (wall + 0.5) * CELL_M
    return Door(rooms=pair, centre=(across, along) if beside else (along, across))


def _furnish(
    scene: Scene,
    doors: tuple[Door, ...],
    number: int,
    kind: str,
    colour: str,
    random: np.random.Generator,
) -> Thing | None:
    """Put a thing beside a wall of its room, off the doors and what stands there already."""
    room, shape = scene.rooms[number], FURNITURE[kind]
    for _ in range(60):
        along = shape[:2] if random.random() < 0.5 else (shape.width, shape.length)
        rows, columns = along
        top = int(random.choice([room.top, room.bottom - rows]))
        left = int(random.integers(room.left, room.right - columns + 1))
        if random.random() < 0.5:
            top = int(random.integers(room.top, room.bottom - rows + 1))
            left = int(random.choice([room.left, room.right - columns]))
        centre = (left + columns / 2) * CELL_M, (top + rows / 2) * CELL_M
        margin = np.s_[max(0, top - 7) : top + rows + 7, max(0, left - 7) : left + columns + 7]
        taken = (scene.heights_m[margin] > 0) & (scene.heights_m[margin] < WALL_HEIGHT_M)
        reach = max(along) / 2 * CELL_M + 0.9
        near = any(
            abs(d.centre[0] - centre[0]) < reach and abs(d.centre[1] - centre[1]) < reach
            for d in doors
        )
        if taken.any() or near:
            continue
        scene.heights_m[top : top + rows, left : left + columns] = shape.height_m
        scene.colours[top : top + rows, left : left + columns] = COLOURS[colour]
        return Thing(kind=kind, colour=colour, room=number, centre=centre)
    return None
