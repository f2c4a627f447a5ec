"""Reading annotation files line by line, with errors that name file and line.

Every reader of this folder goes through here, so that byte-order marks, Windows line ends, empty
files and other encodings are met in one place.
"""

from __future__ import annotations

import csv
import difflib
import functools
import inspect
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from internvideo.errors import AnnotationError, InternVideoError
from internvideo.reading import OTHER_SHAPE, why_no_file
from internvideo.reading import parse_json as parse_text
from internvideo.video.storage import address_scheme

# Whole numbers are rows of a head, from 0 on; beyond so many they are dates or ids of something.
MOST_CLASSES = 100_000
# What a first line says that is no record.
_HEADER_WORDS = frozenset(
    (
        *("class", "class_id", "class_index", "clip", "end", "file", "filename", "filepath"),
        *("folder", "frames", "id", "index", "label", "labels", "name", "num_frames", "path"),
        *("paths", "start", "target", "total_frames", "video", "video_id", "video_name"),
        *("video_path", "videos"),
    )
)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@contextmanager
def expected(where: str) -> Iterator[None]:
    """Turn what an entry of another shape leads to into an `AnnotationError` that names it."""
    try:
        yield
    except InternVideoError:
        raise
    except (*OTHER_SHAPE, OSError, csv.Error) as error:
        said = f"{type(error).__name__}: {error}"
        raise AnnotationError(f"{where}: is not as expected ({said:.200})") from error


def reader(read: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let a reader raise our errors only, whatever is in the file that its `path` names."""

    @functools.wraps(read)
    def call(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        given = inspect.signature(read).bind(*arguments, **options)  # a wrong call stays one
        with expected(str(given.arguments["path"])):
            return read(*arguments, **options)

    return call


def read_text(path: Path) -> str:
    """Read UTF-8 with or without byte-order mark; every reason not to is an `AnnotationError`."""
    if not path.exists():
        near = _nearest_file(path)
        raise AnnotationError(f"{path}: there is no such annotation file{near}")
    if (why := why_no_file(path)) is not None:
        raise AnnotationError(f"{path}: cannot be read ({why})")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(
            f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8"
        ) from None
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not text.strip():
        raise AnnotationError(f"{path}: the file is empty; expected at least one record")
    return text


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and stripped text of every line that holds something."""
    # Not `splitlines`, which also breaks at characters that captions may hold, such as U+2028.
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            yield number, line.strip()


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and stripped fields of every row of a csv; quoted commas are kept."""
    reader, is_empty = csv.reader(io.StringIO(read_text(path)), strict=True), True
    while True:
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise wrong(path, reader.line_num, f"is not csv ({error})") from None
        if any(field.strip() for field in row):
            is_empty = False
            yield reader.line_num, [field.strip() for field in row]
    if is_empty:
        raise AnnotationError(f"{path}: all its fields are empty; expected at least one record")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    text = read_text(path)
    try:
        return parse_text(text)
    except json.JSONDecodeError as error:
        raise wrong(path, error.lineno, f"is not JSON ({error.msg})") from None
    except ValueError as error:
        raise AnnotationError(f"{path}: is not JSON ({error})") from None


def parse_json(path: Path, line: int, text: str) -> Any:
    """Parse one line of JSON lines."""
    try:
        return parse_text(text)
    except ValueError as error:
        raise wrong(path, line, f"is not JSON ({getattr(error, 'msg', error)})") from None


def class_names(path: str | Path) -> tuple[str, ...]:
    """Read class names in the order of their ids, one a line, without numbers before them."""
    return tuple(line for _, line in lines(Path(path)))


def named_classes(path: Path, classes: tuple[str, ...] | str) -> tuple[str, ...]:
    """Take class names as they are, or read the file of them: beside `path`, or where it is."""
    if not isinstance(classes, str):
        return classes
    beside = (path if path.is_dir() else path.parent) / classes
    return class_names(beside if beside.exists() else classes)


def other_part(path: Path) -> list[Path]:
    """Find the file of validation beside that of training, or the other way round; none if alone.

    Their names differ in `train` and `val`. Class names are those of both, as of any one of them.
    """
    names = (path.name.replace(*words) for words in (("train", "val"), ("val", "train")))
    return [path.with_name(n) for n in names if n != path.name and path.with_name(n).is_file()]


def wrong(path: Path, line: int, problem: str) -> AnnotationError:
    """Build the error for one line."""
    return AnnotationError(f"{path}, line {line}: {problem}")


def number(path: Path, line: int, name: str, text: str) -> float:
    """Read a number of a named field."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise wrong(path, line, f"{name} is {text!r:.80}, expected a number")
    return value


def whole_number(path: Path, line: int, name: str, text: str) -> int:
    """Read an integer of a named field."""
    if not re.fullmatch(r"[+-]?\d{1,18}", text):
        raise wrong(path, line, f"{name} is {text!r:.80}, expected a whole number")
    return int(text)


def seconds(path: Path, line: int, start: str, end: str) -> tuple[float | None, float | None]:
    """Read a span; either side may be empty."""
    start_s = number(path, line, "start", start) if start else None
    end_s = number(path, line, "end", end) if end else None
    if (start_s or 0.0) < 0 or (end_s is not None and end_s <= (start_s or 0.0)):
        raise wrong(path, line, f"start {start!r} and end {end!r} (in seconds) hold no time")
    return start_s, end_s


def local_video(path: Path, line: int, home: Path, name: str) -> Path:
    """Give the path of a video that one line names; addresses are refused, colons are not."""
    video = home / name
    if (scheme := address_scheme(name)) and not video.exists():
        raise wrong(
            path,
            line,
            f"{name!r} is an address ({scheme}:), expected the path of a local file; download the "
            "videos, or pack them as shards",
        )
    return video


def is_header(fields: Sequence[str]) -> bool:
    """Whether the fields of a first line name columns: all are words that headers are made of."""
    return all(field.strip().strip('"').lower() in _HEADER_WORDS for field in fields)


def resolve_labels(
    path: Path | Sequence[Path], found: Sequence[tuple[int, str]], classes: Sequence[str] = ()
) -> tuple[tuple[str, ...], list[tuple[int, ...]]]:
    """Turn the labels of a file, each with its line, into class names and one id tuple a record.

    Where there are several files, `path` has that of each label.
    Labels that are all whole numbers are ids, of which -1 means that there is none. Otherwise they
    are names, and their ids are places in `classes`, or, where none are given, in the sorted list
    of those found. An empty label gives an empty tuple.
    """
    paths = [path] * len(found) if isinstance(path, Path) else path
    placed = [(file, line, name) for file, (line, name) in zip(paths, found, strict=True)]
    names = {name for _, name in found if name}
    if names and all(map(_is_whole, names)):
        ids = {name: _as_id(name) for name in names}
        for file, line, name in placed:
            if name and not -1 <= ids[name] < (len(classes) or MOST_CLASSES):
                raise wrong(file, line, _outside(name, len(classes)))
        classes = classes or tuple(map(str, range(1 + max(ids.values()))))
        return tuple(classes), [(ids[n],) if n and ids[n] >= 0 else () for _, n in found]
    numbers = sorted(filter(_is_whole, names))
    if not classes and 2 * len(numbers) > len(names):
        file, line, name = next(place for place in placed if place[2] and place[2] not in numbers)
        raise wrong(
            file,
            line,
            f"label {name!r} is a name where most are numbers, such as {numbers[0]}; give all as "
            "names or all as numbers, and no header in a list that has none",
        )
    classes = classes or sorted(names)
    ids = {name: place for place, name in enumerate(classes)}
    for file, line, name in placed:
        if name and name not in ids:
            hint = nearest(name, classes)
            raise wrong(file, line, f"label {name!r} is in no list of classes{hint}")
    return tuple(classes), [(ids[name],) if name else () for _, name in found]


def _is_whole(name: str) -> bool:
    return name.removeprefix("-").isdecimal()


def _as_id(name: str) -> int:
    """Read a label of digits; one of thousands of digits, which `int` refuses, is too large."""
    return int(name) if len(name) < 20 else MOST_CLASSES


def _outside(name: str, count: int) -> str:
    if name.startswith("-"):
        return f"label {name} is below 0; leave it empty (or write -1) where there is none"
    if count:
        return f"label {name} has no name, the list of classes has {count}"
    return (
        f"label {name} would be one of more than {MOST_CLASSES} classes; labels that are numbers "
        "are ids from 0 on, give names instead"
    )


def near_names(name: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """List the one known name that is nearest, if any is near."""
    return difflib.get_close_matches(name, sorted(known), n=1, cutoff=cutoff)


def nearest(name: str, known: Iterable[str]) -> str:
    """Phrase the nearest known name, or nothing."""
    near = near_names(name, known)
    return f"; did you mean {near[0]!r}?" if near else ""


def _nearest_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f", nor the folder {path.parent}"
    return nearest(path.name, (entry.name for entry in path.parent.iterdir()))
