"""Spatiotemporal localization: boxes of actors at key frames, with what each does.

Sources: the csv files of AVA and AVA-Kinetics (`video,second,x1,y1,x2,y2,action,actor`, one action
a row), of excluded key frames (`video,second`), and the lists of actions (pbtxt, or `id: name`).
Boxes are `xyxy` in fractions of the frame. A record is one key frame; its time is that in its file.
Rows of actions that the list does not name are left out, as officially, and counted in the log.
"""

from __future__ import annotations

import logging
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from internvideo.data.annotations import files
from internvideo.data.annotations.gathering import has_known_ending, split_of
from internvideo.errors import AnnotationError
from internvideo.values import Annotations, Box, Record
from internvideo.video.finding import candidates

XYXY = tuple[float, float, float, float]

_log = logging.getLogger(__name__)

# Rounding that annotators' tools leave; what is further outside of the frame is no rounding.
_BEYOND = 0.02
_PIXELS = 2.0
# A clip of Kinetics is named by its video and the seconds that it was cut at.
_CUT_CLIP = re.compile(r"^(.+)_(\d{6})_(\d{6})$")
_NAMES = re.compile(r"(?:item|label)\s*\{(.*?)\}", re.DOTALL)
_NUM_AVA = 80
# Tables of a folder that hold no annotations: key frames that count or do not, detections.
_OTHER_TABLES = re.compile(r"cluded|detect|pred", re.IGNORECASE)


@files.reader
def read_ava(
    path: str | Path,
    *,
    root: str | Path | None = None,
    label_map: str = "",
    excluded: str = "",
    starts_at_s: int = 0,
) -> Annotations:
    """Read a csv of AVA or AVA-Kinetics, or a folder of them, one record a key frame.

    In a folder all csv files with train, val or test in their names are read, but for lists of
    excluded or included key frames, detections and predictions. Its
    `*excluded_timestamps*.csv` are taken for the excluded key frames, and its pbtxt with most names
    for the list of actions.

    Args:
        path: The csv, or the folder.
        root: Folder of the videos, searched through; that of the annotations without it. Videos are
            called by their ids, or ID_START_END as clips of Kinetics are, whose key frames are then
            counted from START.
        label_map: List of actions, beside the csv or where it is; without any AVA's 80 numbers.
        excluded: Csv of key frames to leave out; several with commas between.
        starts_at_s: Second of the movie at which its file starts, for movies that were cut.

    Raises:
        AnnotationError: A row cannot be read, or a box is impossible; the message names the line.
    """
    path = Path(path)
    tables = [path]
    if path.is_dir():
        tables = [
            table
            for table in sorted(path.glob("*.csv"))
            if split_of(table) and not _OTHER_TABLES.search(table.name)
        ]
        if not tables:
            raise AnnotationError(f"{path}: holds no csv with train, val or test in its name")
        lists = [read_label_map(found) for found in sorted(path.glob("*.pbtxt*"))]
        names = max(lists, key=len, default={})
    else:
        names = {}
    if label_map:
        names = read_label_map(_beside(path, label_map))
    names = names or {label: str(label) for label in range(1, _NUM_AVA + 1)}
    home = Path(root) if root is not None else path if path.is_dir() else path.parent
    gathered = KeyFrames(path, VideoIndex(home, starts_at_s=float(starts_at_s)), names)
    skipped = set(_excluded(path, excluded))
    for table in tables:
        _read_table(table, gathered, skipped)
    return gathered.done()


def _read_table(table: Path, gathered: KeyFrames, skipped: set[tuple[str, float]]) -> None:
    for line, row in files.csv_rows(table):
        where = f"{table}, line {line}"
        if len(row) not in (7, 8):
            raise AnnotationError(
                f"{where}: has {len(row)} fields, expected video,second,x1,y1,x2,y2,action and, if "
                "known, actor; is this a csv of another data set?"
            )
        time_s = seconds_of(where, row[1])
        if (row[0], time_s) in skipped:
            continue
        if not any(row[2:7]):
            gathered.leave_out("key frames without a box", where)
            continue
        label = files.whole_number(table, line, "action", row[6])
        actor = int(row[7]) if len(row) > 7 and row[7].lstrip("-").isdecimal() else None
        box = checked_box(where, [files.number(table, line, "box", x) for x in row[2:6]])
        gathered.add(where, row[0], time_s, box, [label], actor, split=split_of(table))


@files.reader
def read_label_map(path: str | Path) -> dict[int, str]:
    """Read names of actions by their ids: pbtxt as of AVA, or lines of `id: name`.

    Raises:
        AnnotationError: A line or an item holds no id and name, or an id comes twice.
    """
    path = Path(path)
    text = files.read_text(path)
    found: list[tuple[str, int, str]] = []
    if "{" in text:
        for place, item in enumerate(_NAMES.findall(text), 1):
            name = re.search(r'name:\s*"(.*?)"', item)
            number = re.search(r"(?:^|\s)(?:label_)?id:\s*(\d+)", item)
            if name is None or number is None:
                raise AnnotationError(f"{path}, item {place}: has no name or no id")
            found.append((f"item {place}", int(number[1]), name[1]))
    else:
        for line, row in files.lines(path):
            match = re.fullmatch(r"(\d+)\s*[:,]\s*(.+)", row)
            if match is None:
                raise files.wrong(path, line, f"is {row!r:.60}, expected `id: name`")
            found.append((f"line {line}", int(match[1]), match[2]))
    names: dict[int, str] = {}
    for where, number, name in found:
        if number in names:
            raise AnnotationError(f"{path}, {where}: id {number} is there already")
        names[number] = name
    return dict(sorted(names.items()))


@dataclass(slots=True)
class VideoIndex:
    """Which file a video's id stands for; the folder is searched through once.

    A moment of a clip that is named ID_START_END is counted from START.
    """

    root: Path
    starts_at_s: float = 0.0
    missing: list[str] = field(default_factory=list)
    _whole: dict[str, list[Path]] = field(default_factory=dict)
    _cut: dict[str, list[tuple[int, int, Path]]] = field(default_factory=dict)
    _is_listed: bool = False

    def find(self, name: str, time_s: float) -> tuple[Path, float]:
        """The file of a moment of a video, and the moment's time in it.

        Where there is none it is ID.mp4 in the folder, so that opening it tells what is missing.
        """
        direct = self.root / name
        if has_known_ending(name) and direct.is_file():
            return direct, time_s - self.starts_at_s
        self._list()
        whole = self._whole.get(Path(name).stem if has_known_ending(name) else Path(name).name, [])
        if len(whole) > 1:
            raise AnnotationError(
                f"{self.root}: {name} may be {whole[0]} or {whole[1]}; give their folder as root"
            )
        if whole:
            return whole[0], time_s - self.starts_at_s
        for start, end, path in self._cut.get(name, ()):
            if start <= time_s <= end:
                return path, time_s - start
        if name not in self.missing:
            self.missing.append(name)
        return (direct if has_known_ending(name) else direct.with_name(f"{direct.name}.mp4")), (
            time_s - self.starts_at_s
        )

    def _list(self) -> None:
        if self._is_listed:
            return
        self._is_listed = True
        if not self.root.is_dir():
            return
        for path in (path for path, has_video_name in candidates(self.root) if has_video_name):
            self._whole.setdefault(path.stem, []).append(path)
            if match := _CUT_CLIP.match(path.stem):
                self._cut.setdefault(match[1], []).append((int(match[2]), int(match[3]), path))


class KeyFrames:
    """Records of key frames in the making: boxes of one moment come together."""

    def __init__(self, path: Path, index: VideoIndex, names: dict[int, str]) -> None:
        self.path, self.index = path, index
        self.classes = tuple(names.values())
        self._place = {number: place for place, number in enumerate(names)}
        self._boxes: dict[tuple[Path, float], dict[tuple[XYXY, int | None], list[int]]] = {}
        self._split: dict[tuple[Path, float], str | None] = {}
        self._left_out: dict[str, list[str]] = defaultdict(list)

    def add(
        self,
        where: str,
        video: str,
        time_s: float,
        xyxy: XYXY,
        labels: Sequence[int],
        actor: int | None,
        *,
        split: str | None = None,
    ) -> None:
        """Add what one actor does; labels are ids of the list of actions."""
        known = [self._place[label] for label in labels if label in self._place]
        if not known:
            self.leave_out("boxes of actions that the list does not name", where)
            return
        path, key_s = self.index.find(video, time_s)
        moment = (path, round(key_s, 3))
        self._split.setdefault(moment, split)
        of_box = self._boxes.setdefault(moment, {}).setdefault((xyxy, actor), [])
        of_box += [label for label in known if label not in of_box]

    def leave_out(self, reason: str, where: str) -> None:
        """Count what gives no record."""
        self._left_out[reason].append(where)

    def done(self) -> Annotations:
        """Tell what was left out, and give the records in the order of the annotations."""
        for reason, places in self._left_out.items():
            _log.warning("%s: left out %d %s, first %s", self.path, len(places), reason, places[0])
        if not self._boxes:
            raise AnnotationError(
                f"{self.path}: no box of a known action is left; is this the list of actions of "
                "another data set?"
            )
        if missing := self.index.missing:
            _log.warning(
                "%s: %d videos are not there, such as %s", self.index.root, len(missing), missing[0]
            )
        return Annotations(records=tuple(self._records()), classes=self.classes)

    def _records(self) -> Iterator[Record]:
        for (video, key_s), found in self._boxes.items():
            boxes = tuple(
                Box(time_s=key_s, xyxy=xyxy, labels=tuple(labels), actor=actor)
                for (xyxy, actor), labels in found.items()
            )
            split = self._split[video, key_s]
            yield Record(video=video, key_s=key_s, boxes=boxes, split=split)


def checked_box(where: str, sides: Sequence[float], *, cut: bool = False) -> XYXY:
    """Check a box `xyxy` in fractions of the frame and cut rounding off; `cut` cuts off all.

    Raises:
        AnnotationError: A side is no number, the corners are swapped, or the box lies outside of
            the frame, has no area, or is in pixels.
    """
    x1, y1, x2, y2 = sides
    shown = f"box ({', '.join(f'{side:g}' for side in sides)})"
    if not all(math.isfinite(side) for side in sides):
        raise AnnotationError(f"{where}: {shown} has sides that are no numbers")
    if max(sides) > _PIXELS:
        raise AnnotationError(
            f"{where}: {shown} seems to be in pixels; give fractions of the frame, from 0 to 1"
        )
    if x2 < x1 or y2 < y1:
        raise AnnotationError(
            f"{where}: {shown} has its corners swapped; expected x1,y1 (left, top) before x2,y2"
        )
    if not cut and (min(sides) < -_BEYOND or max(sides) > 1 + _BEYOND):
        raise AnnotationError(f"{where}: {shown} reaches out of the frame, which is 0 to 1")
    left, top, right, bottom = (min(max(side, 0.0), 1.0) for side in sides)
    if left >= right or top >= bottom:
        outside = x2 > x1 and y2 > y1
        what = "lies outside of the frame" if outside else "has no area"
        raise AnnotationError(f"{where}: {shown} {what}; leave it out")
    return left, top, right, bottom


def seconds_of(where: str, text: str) -> float:
    """Read the time of a key frame in seconds."""
    try:
        time_s = float(text)
    except ValueError:
        time_s = math.nan
    if not 0 <= time_s < math.inf:
        raise AnnotationError(f"{where}: time is {text!r}, expected seconds from 0 on")
    return round(time_s, 3)


def excluded_moments(path: str | Path, excluded: str, index: VideoIndex) -> set[tuple[Path, float]]:
    """Key frames that `read_ava` leaves out with the same arguments."""
    found = set()
    for name, time_s in _excluded(Path(path), excluded):
        video, key_s = index.find(name, time_s)
        found.add((video, round(key_s, 3)))
    return found


def _excluded(path: Path, excluded: str) -> Iterator[tuple[str, float]]:
    tables = [_beside(path, name.strip()) for name in excluded.split(",") if name.strip()]
    if not tables and path.is_dir():
        tables = sorted(path.glob("*excluded_timestamps*.csv"))
    for table in tables:
        yield from _moments(table)


def _moments(table: Path) -> Iterator[tuple[str, float]]:
    """Key frames that a csv names; it may be empty."""
    if table.is_file() and not table.read_bytes().strip():
        return
    for line, row in files.csv_rows(table):
        if len(row) != 2:
            raise files.wrong(table, line, f"has {len(row)} fields, expected video,second")
        yield row[0], seconds_of(f"{table}, line {line}", row[1])


def _beside(path: Path, name: str) -> Path:
    beside = (path if path.is_dir() else path.parent) / name
    return beside if beside.exists() else Path(name)
