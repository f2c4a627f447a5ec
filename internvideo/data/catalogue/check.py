"""Checks a data set on disk against the catalogue: is everything there, and what was published?

A reader stops at the first line that it cannot read. Here such lines are named, set aside in a copy
of the annotation files, and reading goes on, so that one report has all that is wrong.
A stand-in says in `stand_in.json` what is expected of it, in place of the table.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from internvideo.data.annotations import ANNOTATIONS
from internvideo.data.annotations.gathering import has_known_ending
from internvideo.data.catalogue.entry import EPISODES, DataSet
from internvideo.data.catalogue.episodes import Episode
from internvideo.data.catalogue.expectation import (
    STAND_IN_FILE,
    Expectation,
    check_files,
    expectation_of,
    sha256_of,
    wrong_counts,
)
from internvideo.data.catalogue.report import CheckReport, Problem
from internvideo.errors import AnnotationError, ConfigError, DecodeError
from internvideo.values import Annotations, Record
from internvideo.video import scan_files
from internvideo.video.picture import open_picture
from internvideo.writing import replace_text

_MOST_LINES = 200  # unreadable lines that are set aside before the file is given up
_LINES_LOOKED_AT = 100  # to tell which column holds what
_TEXT = {".csv", ".json", ".jsonl", ".tsv", ".txt"}
_LATE_S = 1.0  # by which an annotation may lie beyond the end of its video
_LINE = re.compile(r"^(?P<file>.+?), line (?P<line>\d+): (?P<why>.*)$", re.DOTALL)


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
    if entry.reader == EPISODES:
        raise ConfigError(f"{entry.name}: holds no videos; check it with check_episodes")
    expected = expectation_of(entry, root)
    problems = check_files(entry, root, expected)
    annotations = _read_all(entry, root, Path(videos or root), expected, problems)
    counts = _counts(annotations.records, entry)
    problems += wrong_counts(counts, expected, entry.what)
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


def write_stand_in_file(
    entry: DataSet,
    root: str | Path,
    read_episodes: Callable[[Path], Sequence[Episode]] | None = None,
) -> None:
    """Write what the stand-in in `root` is, for later checks; episodes need their reader."""
    root = Path(root)
    classes: tuple[str, ...] = ()
    if read_episodes is not None:
        paths = {split: root / entry.source.replace("{split}", split) for split in entry.splits}
        counts = {split: len(read_episodes(path)) for split, path in paths.items()}
    else:
        found: list[Problem] = []
        annotations = _read_all(entry, root, root, Expectation(splits={}), found)
        if found:
            raise AnnotationError(str(found[0]))
        counts, classes = _counts(annotations.records, entry), annotations.classes
    files = sorted({path for file in entry.files for path in root.glob(file.pattern)})
    document = {
        "data_set": entry.name,
        "splits": counts,
        "classes": list(classes),
        "sha256": {path.relative_to(root).as_posix(): sha256_of(path) for path in files},
    }
    replace_text(root / STAND_IN_FILE, json.dumps(document, indent=1) + "\n")


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
            problems += _mend_text(place, path)
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
            text, others = _set_aside(file, number)
            kind = _kind_of_line(text, others, match["why"], expected.classes)
            where = f"{root / file.relative_to(copy)}, line {number}"
            problems.append(Problem(kind=kind, where=where, what=f"{match['why']} ({text[:80]!r})"))
    problems.append(
        Problem(kind="unreadable", where=str(root), what=f"more than {_MOST_LINES} lines are wrong")
    )
    return Annotations(records=())


def _mend_text(copy: Path, path: Path) -> Iterable[Problem]:
    """Name the first byte of a list that is not UTF-8, and let reading go on past all of them."""
    if copy.suffix.lower() not in _TEXT:
        return
    content = copy.read_bytes()
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        told = f"byte {error.start} is not UTF-8; save the file as UTF-8"
        yield Problem(kind="unreadable line", where=f"{path}, line {line}", what=told)
        copy.write_text(content.decode(errors="replace"), encoding="utf-8")


def _set_aside(file: Path, number: int) -> tuple[str, list[str]]:
    """Empty a line of the copy, so that the numbers of the others stay; it, and the others."""
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    if number > len(lines):  # of a reader that counts otherwise
        return "", lines
    text, lines[number - 1] = lines[number - 1], ""
    file.write_text("\n".join(lines), encoding="utf-8")
    return text, lines


def _kind_of_line(text: str, others: Sequence[str], why: str, classes: Sequence[str]) -> str:
    """What is wrong with a line; columns are swapped where others have such cells elsewhere."""
    for is_such in (set(classes).__contains__, has_known_ending):
        here = _places(text, is_such)
        usual = {place for other in others[:_LINES_LOOKED_AT] for place in _places(other, is_such)}
        if here and usual and not here & usual:
            return "swapped columns"
    return "label outside" if "class" in why or "label" in why else "unreadable line"


def _places(line: str, is_such: Callable[[str], bool]) -> set[int]:
    cells = [cell.strip().strip('"') for cell in re.split(r"[,;\t]", line)]
    cells = cells if len(cells) > 1 else line.split()
    return {place for place, cell in enumerate(cells) if is_such(cell)}


def _counts(records: Iterable[Record], entry: DataSet) -> dict[str, int]:
    if entry.what != "videos":
        return dict(Counter(record.split or "all" for record in records))
    seen = {(record.split or "all", record.clip) for record in records}
    if entry.task == "spatiotemporal-localization":
        seen = {(split, clip[:1]) for split, clip in seen}
    return dict(Counter(split for split, _ in seen))


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
        if record.member is None and not _is_there(record)
    }


def _is_there(record: Record) -> bool:
    """Whether there is a file, or a folder where frames are files; a name too long is none."""
    try:
        is_folder = record.frame_template is not None and record.video.is_dir()
        return is_folder or record.video.is_file()
    except OSError:
        return False


def _in_two_splits(records: Sequence[Record]) -> Iterable[Problem]:
    """The same moments of a video, by its path or its bytes, in two splits.

    Only files of one size are read. Splits may share a video where they take other parts of it.
    """
    records = [record for record in records if record.member is None]
    sizes: dict[int, set[Path]] = defaultdict(set)
    for video in {record.video for record in records}:
        sizes[video.stat().st_size if video.is_file() else -1].add(video)
    same: dict[Path, str] = {}
    for size, found in sizes.items():
        is_alone = len(found) == 1 or size < 0
        same |= {video: str(video) if is_alone else sha256_of(video) for video in found}
    parts: dict[str, list[tuple[float, float, Record]]] = defaultdict(list)
    for record in records:
        end_s = math.inf if record.end_s is None else record.end_s
        parts[same[record.video]].append((record.start_s or 0.0, end_s, record))
    for shown in parts.values():
        splits, places, latest = set(), set(), {}
        for start_s, end_s, record in sorted(shown, key=lambda part: part[:2]):
            split = record.split or ""
            for other, (until_s, video) in latest.items():
                if other != split and start_s < until_s:
                    splits |= {other, split}
                    places |= {video, record.video}
            if end_s > latest.get(split, (0.0, None))[0]:
                latest[split] = end_s, record.video
        if splits:
            first, *others = sorted(map(str, places))
            told = f"is in {' and '.join(sorted(splits))}"
            told += f" (same bytes as {others[0]})" if others else ""
            yield Problem(kind="in two splits", where=first, what=told)


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
