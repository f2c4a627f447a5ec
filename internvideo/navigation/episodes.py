"""Episodes of vision-language navigation, read and written in the format of R2R-VLNCE.

Source: Krantz et al. 2020, "Beyond the Nav-Graph" (arXiv:2004.02857); `{split}.json.gz` holds
episodes with an instruction each, `{split}_gt.json.gz` the positions of a shortest-path follower.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from internvideo.errors import AnnotationError
from internvideo.reading import OTHER_SHAPE, parse_json, read_bytes, unpacked

Position = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class NavigationEpisode:
    """One instruction to follow; positions (x, y, z) in metres, y upwards.

    `heading` is counterclockwise in radians, 0 along -z. `locations` are the ground-truth positions
    after each step of 0.25 m, empty where the split has no such file.
    """

    episode_id: str
    trajectory_id: str
    scene: str
    start: Position
    heading: float
    goal: Position
    radius_m: float
    distance_m: float
    instruction: str
    reference_path: tuple[Position, ...] = ()
    locations: tuple[Position, ...] = ()


def read_episodes(path: str | Path) -> tuple[NavigationEpisode, ...]:
    """Read `{split}.json.gz` (or `.json`) with, where it lies beside it, `{split}_gt.json.gz`.

    Raises:
        AnnotationError: The file is missing, cut off or not in this format; it names the episode.
    """
    path = Path(path)
    document = load_json(path)
    if not isinstance(document, dict) or not isinstance(document.get("episodes"), list):
        raise AnnotationError(f"{path}: has no list 'episodes'; expected a file of R2R-VLNCE")
    truth_path = path.with_name(path.name.replace(".json", "_gt.json", 1))
    truth = load_json(truth_path) if truth_path.exists() else {}
    if not isinstance(truth, dict):
        raise AnnotationError(f"{truth_path}: expected an object with one entry an episode")
    episodes = []
    for number, entry in enumerate(document["episodes"]):
        try:
            episodes.append(_episode(entry, truth))
        except OTHER_SHAPE as error:
            name = entry.get("episode_id", number) if isinstance(entry, dict) else number
            raise AnnotationError(
                f"{path}: episode {name}: {type(error).__name__}: {error}; expected the fields of "
                "R2R-VLNCE"
            ) from error
    return tuple(episodes)


def write_episodes(episodes: Iterable[NavigationEpisode], path: str | Path) -> None:
    """Write `{split}.json.gz` and, of episodes with locations, `{split}_gt.json.gz` beside it.

    The same episodes give the same bytes.
    """
    path, episodes = Path(path), tuple(episodes)
    vocabulary = ["<pad>", "<unk>"]
    vocabulary += sorted({w for e in episodes for w in _words(e.instruction)})
    index = {word: number for number, word in enumerate(vocabulary)}
    document = {
        "episodes": [_entry(episode, index) for episode in episodes],
        "instruction_vocab": {
            "word_list": vocabulary,
            "word2idx_dict": index,
            "UNK_INDEX": 1,
            "PAD_INDEX": 0,
        },
    }
    truth = {
        e.episode_id: {"locations": e.locations, "forward_steps": len(e.locations) - 1}
        for e in episodes
        if e.locations
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    _dump(document, path)
    if truth:
        _dump(truth, path.with_name(path.name.replace(".json", "_gt.json", 1)))


def _episode(entry: dict[str, Any], truth: Mapping[str, Any]) -> NavigationEpisode:
    goal = entry["goals"][0]
    identity = str(entry["episode_id"])
    located = truth.get(identity, {}).get("locations", ())
    distance = _length(entry["info"]["geodesic_distance"])
    text = entry["instruction"]["instruction_text"]
    if not isinstance(text, str) or not text.strip():
        raise ValueError("its instruction is empty")
    return NavigationEpisode(
        episode_id=identity,
        trajectory_id=str(entry.get("trajectory_id", identity)),
        scene=str(entry["scene_id"]),
        start=_position(entry["start_position"]),
        heading=_heading(entry["start_rotation"]),
        goal=_position(goal["position"]),
        radius_m=_length(goal.get("radius") or 3.0),
        distance_m=distance,
        instruction=text.strip(),
        reference_path=tuple(_position(p) for p in entry.get("reference_path") or ()),
        locations=tuple(_position(p) for p in located),
    )


def _entry(episode: NavigationEpisode, index: Mapping[str, int]) -> dict[str, Any]:
    half = episode.heading / 2
    return {
        "episode_id": episode.episode_id,
        "trajectory_id": episode.trajectory_id,
        "scene_id": episode.scene,
        "start_position": episode.start,
        "start_rotation": [0.0, math.sin(half), 0.0, math.cos(half)],
        "info": {"geodesic_distance": episode.distance_m},
        "goals": [{"position": episode.goal, "radius": episode.radius_m}],
        "instruction": {
            "instruction_text": episode.instruction,
            "instruction_tokens": [index[word] for word in _words(episode.instruction)],
        },
        "reference_path": episode.reference_path,
    }


def _position(values: Any) -> Position:
    x, y, z = (float(value) for value in values)
    if not all(map(math.isfinite, (x, y, z))):
        raise ValueError(f"position {values} is not finite")
    return x, y, z


def _length(value: Any) -> float:
    metres = float(value)
    if not 0 <= metres < math.inf:
        raise ValueError(f"a length of {value!r:.40} m")
    return metres


def _heading(rotation: Any) -> float:
    """Angle about the vertical axis of a quaternion (x, y, z, w)."""
    x, y, z, w = (float(value) for value in rotation)
    if not all(map(math.isfinite, (x, y, z, w))):
        raise ValueError(f"rotation {rotation!r:.80} is not finite")
    return math.atan2(2 * (w * y + x * z), 1 - 2 * (x * x + y * y))


def _words(text: str) -> list[str]:
    return "".join(c.lower() if c.isalnum() else f" {c} " for c in text).split()


def load_json(path: Path) -> Any:
    """Read a JSON file, zipped or not; raises `AnnotationError` where it is missing or damaged."""
    if not path.exists():
        raise AnnotationError(f"{path}: no such file; check the path")
    try:
        text = unpacked(read_bytes(path))
    except ValueError as error:
        raise AnnotationError(f"{path}: {error}; fetch it again") from error
    try:
        return parse_json(text)
    except ValueError as error:
        raise AnnotationError(f"{path}: not valid JSON ({error}); fetch it again") from error


def _dump(document: Any, path: Path) -> None:
    data = json.dumps(document).encode()
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    beside.replace(path)
