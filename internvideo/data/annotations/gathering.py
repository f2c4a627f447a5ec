"""What readers of captions and questions share: items are gathered, videos found, losses counted.

An item names its video without knowing where it lies or how its file name ends; the folders it may
lie in are listed once each. What is left out is counted by reason and logged in one line, with the
first place of each.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from internvideo.data.annotations import files
from internvideo.data.annotations.folders import SPLITS
from internvideo.errors import AnnotationError
from internvideo.values import Annotations, Record
from internvideo.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from internvideo.video.storage import address_scheme

_log = logging.getLogger(__name__)
_ENDINGS = VIDEO_SUFFIXES | IMAGE_SUFFIXES


class Gathering:
    """The records of one annotation file or folder, in the making."""

    def __init__(self, path: Path, root: str | Path | None) -> None:
        self.path = path
        self.root = Path(root) if root is not None else path if path.is_dir() else path.parent
        self._names: list[tuple[str, ...]] = []
        self._fields: list[dict[str, Any]] = []
        self._left_out: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(
        self, where: str, names: Sequence[str], captions: Sequence[object], **fields: Any
    ) -> None:
        """Add an item.

        Args:
            where: File and line or entry, for messages.
            names: Where the video may lie below the root, with or without the end of its name.
            captions: Sentences; empty ones are counted, and without any other so is the item.
            fields: Further fields of its `Record`.
        """
        texts = []
        for caption in captions:
            if not isinstance(caption, str):
                raise AnnotationError(f"{where}: a caption is {caption!r:.80}, expected a text")
            if caption.strip():
                texts.append(caption.strip())
            else:
                self.leave_out("empty captions", where)
        if not texts and not (fields.get("candidates") or fields.get("question")):
            self.leave_out("items without a caption", where)
            return
        if not names[0].strip():
            raise AnnotationError(f"{where}: names no video")
        if scheme := address_scheme(names[0]):
            raise AnnotationError(
                f"{where}: {names[0]!r} is an address ({scheme}:), expected the path of a local "
                "file; download the videos, or pack them as shards"
            )
        self._names.append(tuple(names))
        self._fields.append({"captions": tuple(texts), **fields})

    def leave_out(self, reason: str, where: str) -> None:
        """Count something that gives no record."""
        self._left_out[reason] += 1
        self._first.setdefault(reason, where)

    def done(self) -> Annotations:
        """Find the videos, tell what was left out, and give the records."""
        for reason, count in self._left_out.items():
            _log.warning(
                "%s: left out %d %s, first %s", self.path, count, reason, self._first[reason]
            )
        if not self._names:
            raise AnnotationError(f"{self.path}: holds no video with a caption or a question")
        videos = find_videos(self.root, self._names)
        return Annotations(
            records=tuple(
                Record(video=video, **fields)
                for video, fields in zip(videos, self._fields, strict=True)
            )
        )


def find_videos(root: Path, names: Sequence[Sequence[str]]) -> list[Path]:
    """Find one file for each item below `root`, whatever its name ends in.

    Args:
        root: Folder of the videos.
        names: For each item the paths to try, relative to `root`, with or without ending.

    Returns:
        A path each. Where there is no file, that of the first name (as mp4 if it has no ending),
        so that opening it tells what is missing; how many these are is logged.
    """
    listed: dict[str, dict[str, str]] = {}
    found, missing = [], []
    for tried in names:
        video = next(filter(None, (file_in_folder(listed, root, name) for name in tried)), None)
        if video is None:
            video = tried[0] if has_known_ending(tried[0]) else f"{tried[0]}.mp4"
            missing.append(video)
        found.append(root / video)
    if missing:
        _log.warning(
            "%s: %d of %d videos are not there, such as %s",
            *(root, len(missing), len(names), root / missing[0]),
        )
    return found


def file_in_folder(listed: dict[str, dict[str, str]], root: Path, name: str) -> str | None:
    """Look a file up by its name, else by its name without ending; each folder is listed once.

    Works on texts: millions of names would take minutes as paths.
    """
    folder, slash, file = name.rpartition("/")
    if folder not in listed:
        paths = (root / folder).iterdir() if (root / folder).is_dir() else ()
        entries = [path.name for path in paths if has_known_ending(path.name)]
        # Videos win over pictures of the same name, which are usually taken from them.
        entries.sort(key=lambda entry: (_ending(entry) in IMAGE_SUFFIXES, entry), reverse=True)
        listed[folder] = {bare_name(entry): entry for entry in entries} | dict(
            zip(entries, entries, strict=True)
        )
        listed[folder] |= _called_alike(entries)
    known = listed[folder]
    match = known.get(file) or known.get(bare_name(file))
    if match and "/" in match:
        raise AnnotationError(
            f"{root / folder}: {bare_name(file)!r} is the name of two videos, {match}; keep "
            "one, or write the whole names into the annotations"
        )
    return f"{folder}{slash}{match}" if match else None


def _called_alike(entries: Sequence[str]) -> dict[str, str]:
    """Names without ending that several videos have, and these, with the "/" that no name has."""
    videos: dict[str, list[str]] = {}
    for entry in entries:
        if _ending(entry) in VIDEO_SUFFIXES:
            videos.setdefault(bare_name(entry), []).append(entry)
    return {name: " / ".join(sorted(of)) for name, of in videos.items() if len(of) > 1}


def _ending(name: str) -> str:
    return name[name.rfind(".") :].lower()


def has_known_ending(name: str) -> bool:
    return _ending(name) in _ENDINGS


def bare_name(name: str) -> str:
    """Drop the end of a file name; other dots stay, which names of LSMDC are full of."""
    return name[: name.rfind(".")] if has_known_ending(name) else name.rstrip(".")


def split_of(path: Path) -> str | None:
    """Read train, val or test out of a file name such as `results_2M_train.csv`."""
    said = [SPLITS.get(word) for word in re.split(r"[-_.\s]", path.name.lower())]
    return next(filter(None, said), None)


def tables(path: Path, pattern: str) -> list[Path]:
    """List the file itself, or those of a folder whose names match and tell their split."""
    if not path.is_dir():
        return [path]
    found = [table for table in sorted(path.glob(pattern)) if split_of(table)]
    if not found:
        raise AnnotationError(f"{path}: holds no {pattern} with train, val or test in its name")
    return found


def ids_by_split(folder: Path) -> dict[str, str]:
    """Read `train_list.txt`, `val_list.txt`, `test_list.txt`, where present: video to split.

    Raises:
        AnnotationError: A video is in two of them.
    """
    found: dict[str, str] = {}
    for split in ("train", "val", "test"):
        path = folder / f"{split}_list.txt"
        for line, text in files.lines(path) if path.exists() else ():
            name = bare_name(text)
            if found.setdefault(name, split) != split:
                raise files.wrong(path, line, f"{name!r} is in {found[name]}_list.txt already")
    return found


def rows_with(path: Path, *columns: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield place and cells of every row of a csv whose header has at least these columns."""
    rows = files.csv_rows(path)
    line, header = next(rows)
    for name in columns:
        if name not in header:
            hint = files.nearest(name, header)
            raise files.wrong(path, line, f"no column {name!r}, found: {', '.join(header)}{hint}")
    for line, row in rows:
        if len(row) != len(header):
            raise files.wrong(path, line, f"has {len(row)} fields, the header has {len(header)}")
        yield f"{path}, line {line}", dict(zip(header, row, strict=True))


def tab_rows(path: Path, num_columns: int) -> Iterator[tuple[str, list[str]]]:
    """Yield place and cells of every line of a tab-separated file; quotes mean nothing in it."""
    for line, text in enumerate(files.read_text(path).split("\n"), 1):
        cells = [cell.strip() for cell in text.split("\t")]
        if not any(cells):
            continue
        if len(cells) != num_columns:
            raise files.wrong(path, line, f"has {len(cells)} columns, expected {num_columns}")
        yield f"{path}, line {line}", cells


def objects(path: Path, *fields: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and content of every object of a JSON list, or of JSON lines (`.jsonl`)."""
    if path.suffix == ".jsonl":
        found: Iterable[tuple[str, Any]] = (
            (f"{path}, line {line}", files.parse_json(path, line, text))
            for line, text in files.lines(path)
        )
    else:
        entries = files.read_json(path)
        if not isinstance(entries, list):
            raise AnnotationError(f"{path}: expected a list of objects, found {entries!r:.80}")
        found = ((f"{path}, entry {place}", entry) for place, entry in enumerate(entries))
    for where, entry in found:
        yield where, with_fields(where, entry, *fields)


def with_fields(where: str, entry: object, *fields: str) -> dict[str, Any]:
    """Check that an entry is an object with these fields."""
    missing = [name for name in fields if not isinstance(entry, dict) or name not in entry]
    if missing or not isinstance(entry, dict):
        raise AnnotationError(
            f"{where}: expected an object with {', '.join(fields)}, found {entry!r:.80}"
        )
    return entry
