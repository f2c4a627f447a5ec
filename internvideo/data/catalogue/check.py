"""Checks a data set on disk against the catalogue: is everything there, and what was published?

A reader stops at the first line that it cannot read. Here such lines are named, set aside in a copy
of the annotation files, and reading goes on, so that one report has all that is wrong.
A stand-in says in `stand_in.json` what is expected of it, in place of the table.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from internvideo.data.annotations import ANNOTATIONS
from internvideo.data.annotations.gathering import has_known_ending
from internvideo.data.catalogue.entry import DataSet, Split
from internvideo.errors import AnnotationError, ConfigError, DecodeError
from internvideo.reading import read_json_document
from internvideo.values import Annotations, Record
from internvideo.video import scan_files
from internvideo.video.picture import open_picture
from internvideo.writing import replace_text

STAND_IN_FILE = "stand_in.json"
_MOST_NAMED = 20  # problems of one kind; the rest is counted
_MOST_LINES = 200  # unreadable lines that are set aside before the file is given up
_LATE_S = 1.0  # by which an annotation may lie beyond the end of its video
_LINE = re.compile(r"^(?P<file>.+?), line (?P<line>\d+): (?P<why>.*)$", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something that is not as expected: which kind, where, and what to know of it."""

    kind: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.what}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectation:
    """What is expected of a folder: counts by split, hashes of files, classes in order."""

    splits: Mapping[str, Split]
    hashes: Mapping[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    num_classes: int | None = None
    is_stand_in: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckReport:
    """Problems found, counts by split, and the records that can be used."""

    name: str
    problems: tuple[Problem, ...]
    counts: Mapping[str, int]
    expected: Mapping[str, int]
    num_decoded: int
    usable: Annotations
    is_stand_in: bool

    def lines(self) -> list[str]:
        """The report as lines for the terminal, most problems of a kind counted only."""
        kinds: dict[str, list[Problem]] = defaultdict(list)
        for problem in self.problems:
            kinds[problem.kind].append(problem)
        shown = []
        for kind, found in kinds.items():
            shown += map(str, found[:_MOST_NAMED])
            if len(found) > _MOST_NAMED:
                shown.append(f"{kind}: {len(found) - _MOST_NAMED} more")
        counted = ", ".join(
            f"{self.counts.get(split, 0)} {split} (expected {self.expected[split]})"
            if split in self.expected
            else f"{count} {split}"
            for split, count in {**dict.fromkeys(self.expected, 0), **self.counts}.items()
        )
        stand_in = "; a stand-in" if self.is_stand_in else ""
        told = f"{len(self.problems)} problems" if self.problems else "no problem found"
        return [
            *shown,
            f"{self.name}: {counted}; {self.num_decoded} videos decoded{stand_in}",
            told,
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "is_stand_in": self.is_stand_in,
            "counts": dict(self.counts),
            "expected": dict(self.expected),
            "num_decoded": self.num_decoded,
            "num_usable": len(self.usable.records),
            "problems": [{"kind": p.kind, "where": p.where, "what": p.what} for p in self.problems],
        }


def check_data_set(
    entry: DataSet,
    root: str | Path,
    *,
    videos: str | Path | None = None,
    decoded: int | None = 200,
    num_workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Compare a folder with what the catalogue says of it.

    Args:
        entry: The row of the catalogue.
        root: Folder of the annotation files.
        videos: Folder of the videos; `root` without it.
        decoded: At most how many videos are decoded from end to end, evenly over all; None for all.
        num_workers: Processes that decode.
        on_progress: Called with how many videos are decoded, and of how many.

    Raises:
        ConfigError: There is no such folder, or no reader gives records of this data set.
    """
    root = Path(root)
    if not root.is_dir():
        raise ConfigError(f"{root}: there is no such folder")
    if entry.reader is None:
        raise ConfigError(f"{entry.name}: holds no videos; {entry.protocol}")
    expected = _expectation(entry, root)
    problems = _files(entry, root, expected)
    annotations = _read_all(entry, root, Path(videos or root), expected, problems)
    counts = _counts(annotations.records, entry)
    problems += _wrong_counts(counts, expected, entry.what)
    problems += _wrong_classes(annotations.classes, expected)
    problems += _wrong_frames(annotations.records)
    missing = _missing(annotations.records)
    problems += missing.values()
    present = [r for r in annotations.records if r.video not in missing]
    problems += _in_two_splits(present)
    broken, num_decoded = _broken(present, decoded, num_workers, on_progress)
    problems += broken.values()
    usable = tuple(r for r in present if r.video not in broken)
    return CheckReport(
        name=entry.name,
        problems=tuple(problems),
        counts=counts,
        expected={name: split.count for name, split in expected.splits.items()},
        num_decoded=num_decoded,
        usable=replace(annotations, records=usable),
        is_stand_in=expected.is_stand_in,
    )


def write_stand_in_file(entry: DataSet, root: str | Path) -> None:
    """Write what the stand-in in `root` is, for later checks."""
    root = Path(root)
    found: list[Problem] = []
    annotations = _read_all(entry, root, root, Expectation(splits={}), found)
    if found:
        raise AnnotationError(str(found[0]))
    files = sorted({path for file in entry.files for path in root.glob(file.pattern)})
    document = {
        "data_set": entry.name,
        "splits": _counts(annotations.records, entry),
        "classes": list(annotations.classes),
        "sha256": {path.relative_to(root).as_posix(): _sha256(path) for path in files},
    }
    replace_text(root / STAND_IN_FILE, json.dumps(document, indent=1) + "\n")


def _expectation(entry: DataSet, root: Path) -> Expectation:
    path = root / STAND_IN_FILE
    if not path.exists():
        hashes = {file.pattern: file.sha256 for file in entry.files if file.sha256}
        return Expectation(splits=entry.splits, hashes=hashes, num_classes=entry.num_classes)
    try:
        told = read_json_document(path)
        expected = Expectation(
            splits={name: Split(count=int(count)) for name, count in told["splits"].items()},
            hashes={str(name): str(value) for name, value in told["sha256"].items()},
            classes=tuple(map(str, told["classes"])),
            num_classes=len(told["classes"]) or None,
            is_stand_in=True,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: is no description of a stand-in ({error})") from error
    if told.get("data_set") != entry.name:
        raise ConfigError(f"{root}: is a stand-in for {told.get('data_set')}, not {entry.name}")
    return expected


def _files(entry: DataSet, root: Path, expected: Expectation) -> list[Problem]:
    problems = []
    for file in entry.files:
        known = [name for name in expected.hashes if fnmatch(name, file.pattern)]
        lacking = [name for name in known if not (root / name).is_file()] if known else []
        if not known and file.required and not any(root.glob(file.pattern)):
            lacking = [file.pattern]
        problems += [
            Problem(kind="missing file", where=str(root / name), what=file.what) for name in lacking
        ]
    for name, sha256 in expected.hashes.items():
        path = root / name
        if path.is_file() and (found := _sha256(path)) != sha256:
            what = f"sha256 is {found[:12]}..., expected {sha256[:12]}..."
            problems.append(Problem(kind="other hash", where=str(path), what=what))
    return problems


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_all(
    entry: DataSet, root: Path, videos: Path, expected: Expectation, problems: list[Problem]
) -> Annotations:
    """Read what can be read, from a copy of the annotation files without the lines that cannot."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for path in {p for file in entry.files for p in root.glob(file.pattern) if p.is_file()}:
            place = copy / path.relative_to(root)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        sources = [copy] if entry.source == "." else sorted(copy.glob(entry.source))
        classes: tuple[str, ...] = ()
        records: list[Record] = []
        for source in sources:
            found = _read(entry, source, (copy, root, videos), expected, problems)
            records += found.records
            classes = classes or found.classes
    return Annotations(records=tuple(records), classes=classes)


def _read(
    entry: DataSet,
    source: Path,
    places: tuple[Path, Path, Path],
    expected: Expectation,
    problems: list[Problem],
) -> Annotations:
    copy, root, videos = places
    assert entry.reader is not None
    for _ in range(_MOST_LINES):
        try:
            return ANNOTATIONS[entry.reader](str(source), root=str(videos), **entry.options)
        except AnnotationError as error:
            told = str(error).replace(str(copy), str(root))
            match = _LINE.match(str(error))
            if match is None or not Path(match["file"]).is_file():
                problems.append(Problem(kind="unreadable", where=str(root), what=told))
                return Annotations(records=())
            file, number = Path(match["file"]), int(match["line"])
            text = _set_aside(file, number)
            kind = _kind_of_line(text, match["why"], expected.classes)
            where = f"{root / file.relative_to(copy)}, line {number}"
            problems.append(Problem(kind=kind, where=where, what=f"{match['why']} ({text[:80]!r})"))
    problems.append(
        Problem(kind="unreadable", where=str(root), what=f"more than {_MOST_LINES} lines are wrong")
    )
    return Annotations(records=())


def _set_aside(file: Path, number: int) -> str:
    """Empty a line of the copy, so that the numbers of the others stay."""
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    text, lines[number - 1] = lines[number - 1], ""
    file.write_text("\n".join(lines), encoding="utf-8")
    return text


def _kind_of_line(text: str, why: str, classes: Sequence[str]) -> str:
    cells = [cell.strip().strip('"') for cell in re.split(r"[,;\t]", text)]
    cells = cells if len(cells) > 1 else text.split()
    if any(cell in classes for cell in cells):
        return "swapped columns"
    if len(cells) > 1 and has_known_ending(cells[-1]) and not has_known_ending(cells[0]):
        return "swapped columns"
    return "label outside" if "class" in why or "label" in why else "unreadable line"


def _counts(records: Iterable[Record], entry: DataSet) -> dict[str, int]:
    if entry.what != "videos":
        return dict(Counter(record.split or "all" for record in records))
    seen = {(record.split or "all", record.clip) for record in records}
    if entry.task == "spatiotemporal-localization":
        seen = {(split, clip[:1]) for split, clip in seen}
    return dict(Counter(split for split, _ in seen))


def _wrong_counts(counts: Mapping[str, int], expected: Expectation, what: str) -> Iterable[Problem]:
    for name, split in expected.splits.items():
        count = counts.get(name, 0)
        near = abs(count - split.count) <= 0.05 * split.count
        if count == 0:
            yield Problem(kind="empty split", where=name, what=f"expected {split.count} {what}")
        elif count != split.count and (split.is_exact or not near):
            told = f"{count} {what}, expected {'' if split.is_exact else 'about '}{split.count}"
            yield Problem(kind="other count", where=name, what=told)


def _wrong_classes(classes: tuple[str, ...], expected: Expectation) -> Iterable[Problem]:
    known = expected.classes
    if known and classes and classes != known:
        if sorted(classes) == sorted(known):
            place = next(i for i, (a, b) in enumerate(zip(classes, known, strict=True)) if a != b)
            told = f"class {place} is {classes[place]!r}, expected {known[place]!r}"
            yield Problem(kind="other label order", where="classes", what=told)
        else:
            odd = sorted(set(classes) ^ set(known))
            told = f"{len(classes)} classes, expected {len(known)}; {odd[0]!r} is in one list only"
            yield Problem(kind="label outside", where="classes", what=told)
    elif classes and expected.num_classes and len(classes) != expected.num_classes:
        told = f"{len(classes)} classes, expected {expected.num_classes}"
        yield Problem(kind="other classes", where="classes", what=told)


def _wrong_frames(records: Iterable[Record]) -> Iterable[Problem]:
    """Folders of frames that lack those that the annotation names."""
    for record in records:
        if record.frame_template is None or not record.video.is_dir():
            continue
        last = record.first_frame + max(1, record.num_frames or 1) - 1
        for number in (record.first_frame, last):
            name = record.frame_template.format(number)
            if not (record.video / name).exists():
                count = sum(1 for _ in record.video.iterdir())
                told = f"there is no {name} among {count} files"
                yield Problem(kind="wrong frame numbers", where=str(record.video), what=told)
                break
        else:
            names = sorted(p.name for p in record.video.iterdir() if not p.name.startswith("."))
            first = record.frame_template.format(record.first_frame)
            wanted = [
                record.frame_template.format(record.first_frame + n) for n in range(len(names))
            ]
            if record.num_frames is None and names != wanted:
                odd = next((n for n in names if n not in set(wanted)), first)
                told = f"frames are not numbered from {first} on without a gap: {odd}"
                yield Problem(kind="wrong frame numbers", where=str(record.video), what=told)


def _missing(records: Iterable[Record]) -> dict[Path, Problem]:
    return {
        record.video: Problem(
            kind="missing video", where=str(record.video), what="there is no such file"
        )
        for record in records
        if record.member is None and not record.video.exists()
    }


def _in_two_splits(records: Sequence[Record]) -> Iterable[Problem]:
    """The same video, by its path or its bytes, in two splits; only files of one size are read."""
    splits: dict[Path, set[str]] = defaultdict(set)
    sizes: dict[int, list[Path]] = defaultdict(list)
    for record in records:
        if record.start_s is None and record.member is None:
            splits[record.video].add(record.split or "")
    for video in splits:
        sizes[video.stat().st_size if video.is_file() else -1].append(video)
    same: dict[str, list[Path]] = defaultdict(list)
    for size, found in sizes.items():
        for video in found:
            is_alone = len(found) == 1 or size < 0
            same[str(video) if is_alone else _sha256(video)].append(video)
    for found in same.values():
        parts = sorted({part for video in found for part in splits[video]})
        if len(parts) > 1:
            told = f"is in {' and '.join(parts)}"
            told += f" (same bytes as {found[1]})" if len(found) > 1 else ""
            yield Problem(kind="in two splits", where=str(found[0]), what=told)


def _broken(
    records: Sequence[Record],
    decoded: int | None,
    num_workers: int,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[dict[Path, Problem], int]:
    """Decode a part of the videos; annotations beyond their end are problems too."""
    files = sorted({r.video for r in records if r.member is None and r.video.is_file()})
    if decoded is not None and len(files) > decoded:
        files = [files[place * len(files) // decoded] for place in range(decoded)]
    health = scan_files(files, num_workers=num_workers, on_progress=on_progress)
    problems = {
        one.path: Problem(kind="broken video", where=str(one.path), what=one.reason or one.status)
        for one in health
        if one.status != "ok"
    }
    for record in records:
        if record.frame_template is not None and (why := _unreadable_frame(record.video)):
            problems[record.video] = Problem(kind="broken video", where=str(record.video), what=why)
    duration_s = {one.path: one.duration_s for one in health if one.status == "ok"}
    for record in records:
        end_s = max(_times(record), default=0.0)
        known = duration_s.get(record.video)
        if known is not None and end_s > known + _LATE_S:
            problems[record.video] = Problem(
                kind="beyond the end",
                where=str(record.video),
                what=f"annotated up to {end_s:.2f} s, the video has {known:.2f} s",
            )
    return problems, len(health)


def _unreadable_frame(folder: Path) -> str | None:
    for path in sorted(folder.iterdir()):
        try:
            open_picture(path).load()
        except (OSError, DecodeError) as error:
            return str(error).removeprefix(f"{folder}/")
    return None


def _times(record: Record) -> Iterable[float]:
    yield from (time for time in (record.start_s, record.end_s) if time is not None)
    yield from (segment.end_s for segment in record.segments)
    yield from (box.time_s for box in record.boxes)
