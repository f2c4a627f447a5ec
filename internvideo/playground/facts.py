"""Everything that is true of one video of the playground, as plain data.

Every annotation file is derived from these facts and from nothing else, and the frames can be
rendered from them. Lengths are fractions of the frame, x to the right, y down; angles are degrees,
clockwise as seen; times are seconds. A track holds one value for every frame, or a single one
that holds throughout.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from pydantic import TypeAdapter, ValidationError

from internvideo.errors import AnnotationError
from internvideo.playground.appearance import outline

Track = tuple[float, ...]
XYXY = tuple[float, float, float, float]

# Fainter than this, or with less than this of its side inside the frame, a thing is not there.
LEAST_OPACITY = 0.1
LEAST_SIDE = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """Who it is: names from the tables in `appearance`, and the exact colour that was painted."""

    shape: str
    colour: str
    size: str
    texture: str
    rgb: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """A thing and where it is: in the world, which the camera moves over."""

    look: Look
    x: Track
    y: Track
    radius: Track
    angle: Track
    opacity: Track


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What happens: an action by some of the actors (subject first) within a span of time."""

    action: str
    actors: tuple[int, ...]
    start_s: float
    end_s: float
    parameters: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Background:
    """What is behind: one of `BACKGROUNDS`, two colours, and the seed of its details."""

    kind: str
    near: tuple[int, int, int]
    far: tuple[int, int, int]
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """One video. Later actors are drawn over earlier ones, distractors under all actors.

    `has_unseen_combination` marks a subject whose shape, colour and verb never occur together
    in the training and validation splits.
    """

    id: str
    index: int
    seed: int
    split: str
    has_unseen_combination: bool
    num_frames: int
    rate_fps: int
    side_px: int
    events: tuple[Event, ...]
    actors: tuple[Actor, ...]
    distractors: tuple[Actor, ...]
    background: Background
    camera_x: Track
    camera_y: Track
    noise: float

    @property
    def action(self) -> str:
        """Name of the first action; trimmed videos have no other."""
        return self.events[0].action

    @property
    def subject(self) -> Look:
        return self.actors[self.events[0].actors[0]].look

    @property
    def shows_one_thing(self) -> bool:
        return len(self.actors) == 1 and not self.distractors

    @property
    def duration_s(self) -> float:
        return self.num_frames / self.rate_fps

    @property
    def whole_seconds(self) -> int:
        """The duration as Kinetics gives it: in whole seconds, none cut off."""
        return -(-self.num_frames // self.rate_fps)

    @property
    def path(self) -> str:
        """Where the video lies below the root of the data set; named as Kinetics names clips."""
        return f"videos/{self.action}/{self.id}_{0:06d}_{self.whole_seconds:06d}.mp4"

    def boxes(self, actor: Actor) -> tuple[XYXY | None, ...]:
        """Box the whole `actor` in every frame, cut at the border; None where nothing shows.

        What another thing covers still counts: the box is where the actor is, not what is seen.
        """
        out_u, out_v = outline(actor.look.shape)
        x, y, radius, angle, opacity, camera_x, camera_y = (
            np.broadcast_to(np.asarray(track, dtype=float), self.num_frames)[:, None]
            for track in (
                actor.x,
                actor.y,
                actor.radius,
                actor.angle,
                actor.opacity,
                self.camera_x,
                self.camera_y,
            )
        )
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        across = x - camera_x + radius * (cos * out_u - sin * out_v)
        down = y - camera_y + radius * (sin * out_u + cos * out_v)
        corners = np.stack([across.min(1), down.min(1), across.max(1), down.max(1)], axis=1)
        corners = corners.clip(0, 1).round(4)
        sides = (corners[:, 2:] - corners[:, :2]).min(axis=1)
        present = (sides >= LEAST_SIDE) & (opacity[:, 0] >= LEAST_OPACITY)
        return tuple(
            (box[0], box[1], box[2], box[3]) if there else None
            for box, there in zip(corners.tolist(), present.tolist(), strict=True)
        )


def track_array(track: Track, num_frames: int) -> Float[np.ndarray, " t"]:
    """Spread a track over all frames."""
    return np.broadcast_to(np.asarray(track, dtype=np.float32), num_frames)


def facts_line(facts: Facts) -> str:
    """Write facts as one line of JSON, with the boxes beside the tracks for other readers."""
    fields = asdict(facts)
    for written, actor in zip(fields["actors"], facts.actors, strict=True):
        written["boxes"] = facts.boxes(actor)
    return json.dumps(fields, separators=(",", ":"))


_ADAPTER = TypeAdapter(Facts)


def parse_facts(line: str | bytes) -> Facts:
    """Read one line that `facts_line` wrote; its boxes follow from the tracks and are left out."""
    return _ADAPTER.validate_json(line)


def read_facts(path: Path) -> Iterator[Facts]:
    """Read `facts.jsonl`, or the one in the folder `path`, video by video.

    Raises:
        AnnotationError: If the file is missing, or a line is not the facts of a video.
    """
    if path.is_dir():
        path = path / "facts.jsonl"
    if not path.is_file():
        raise AnnotationError(
            f"{path}: no such file; make it with `internvideo data playground --out {path.parent}`"
        )
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield parse_facts(line)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                raise AnnotationError(
                    f"{path}, line {number}: not the facts of a video ({where} {first['msg']}); "
                    f"generate the playground again"
                ) from error
