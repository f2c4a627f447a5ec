"""Lists with one video a line and columns parted by spaces, as VideoMAE and UniFormerV2 read them.

Lines are split from the right, so that paths may contain spaces.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from internvideo.data.annotations import files
from internvideo.errors import AnnotationError
from internvideo.values import Annotations, Record

_log = logging.getLogger(__name__)

FRAME_TEMPLATE = "img_{:05}.jpg"


@files.reader
def read_list(
    path: str | Path, *, root: str | Path | None = None, classes: tuple[str, ...] | str = ()
) -> Annotations:
    """Read `path label` (VideoMAE) or `path,label` (UniFormerV2) lines.

    A header is skipped, a label of -1 is none. `classes` are the names in the order of their ids,
    or the file of them.
    """
    path = Path(path)
    rows = []
    comma = is_comma_separated(path)
    for line, text in files.lines(path):
        video, _, label = text.rpartition(",") if comma else text.rpartition(" ")
        if not rows and files.is_header((video, label)):
            _log.info("%s: skipped its header, %r", path, text)
            continue
        if not video:
            raise files.wrong(
                path,
                line,
                f"expected a path, {'a comma' if comma else 'a space'} and a label, found {text!r}",
            )
        rows.append((line, video.strip().strip('"'), label.strip()))
    names, labels = files.resolve_labels(
        path, [(line, label) for line, _, label in rows], files.named_classes(path, classes)
    )
    home = Path(root or path.parent)
    records = tuple(
        Record(video=files.local_video(path, line, home, video), labels=label)
        for (line, video, _), label in zip(rows, labels, strict=True)
    )
    return Annotations(records=records, classes=names)


@files.reader
def read_kinetics710(path: str | Path, *, root: str | Path | None = None) -> Annotations:
    """Read the folder that `internvideo data kinetics710` makes: its lists and its label map."""
    path = Path(path)
    classes = files.class_names(path / "label_map_k710.txt")
    lists = {
        split: read_list(path / f"{split}.csv", root=root, classes=classes)
        for split in ("train", "val")
    }
    records = (replace(r, split=split) for split, part in lists.items() for r in part.records)
    return Annotations(records=tuple(records), classes=classes)


@files.reader
def read_frame_list(
    path: str | Path,
    *,
    root: str | Path | None = None,
    template: str = FRAME_TEMPLATE,
    first_frame: int = 1,
    classes: tuple[str, ...] | str = (),
) -> Annotations:
    """Read `folder num_frames label` lines (Something-Something as frames).

    Version 1 of it has the template `{:05}.jpg`.
    """
    path = Path(path)
    rows = []
    for line, text in files.lines(path):
        folder, frames, label = from_right(path, line, text, ("folder", "num_frames", "label"))
        count = files.whole_number(path, line, "num_frames", frames)
        if count < 1:
            raise files.wrong(path, line, f"num_frames is {count}, expected at least 1")
        rows.append((line, folder, count, label))
    names, labels = files.resolve_labels(
        path, [(row[0], row[3]) for row in rows], files.named_classes(path, classes)
    )
    home = Path(root or path.parent)
    records = tuple(
        Record(
            video=files.local_video(path, line, home, folder),
            num_frames=count,
            first_frame=first_frame,
            frame_template=template,
            labels=label,
        )
        for (line, folder, count, _), label in zip(rows, labels, strict=True)
    )
    return Annotations(records=records, classes=names)


@files.reader
def read_frame_ranges(
    path: str | Path,
    *,
    root: str | Path | None = None,
    template: str = FRAME_TEMPLATE,
    classes: tuple[str, ...] | str = (),
) -> Annotations:
    """Read `folder first last label` lines: the numbers of the first and last frame of each."""
    path = Path(path)
    rows = []
    for line, text in files.lines(path):
        folder, *ends, label = from_right(path, line, text, ("folder", "first", "last", "label"))
        first, last = (files.whole_number(path, line, "a frame", end) for end in ends)
        if not 0 <= first <= last:
            raise files.wrong(path, line, f"no frame lies from {first} to {last}")
        rows.append((line, folder, first, last, label))
    names, labels = files.resolve_labels(
        path, [(row[0], row[-1]) for row in rows], files.named_classes(path, classes)
    )
    home = Path(root or path.parent)
    records = tuple(
        Record(
            video=files.local_video(path, line, home, folder),
            num_frames=last - first + 1,
            first_frame=first,
            frame_template=template,
            labels=label,
        )
        for (line, folder, first, last, _), label in zip(rows, labels, strict=True)
    )
    return Annotations(records=records, classes=names)


@files.reader
def read_pretraining_list(
    path: str | Path, *, root: str | Path | None = None, template: str = FRAME_TEMPLATE
) -> Annotations:
    """Read `path start total [label]` lines, the list of the official pretraining.

    A negative total means a video file; otherwise the path is a folder of `total` frames, the
    first of which has the number `start`. The label is ignored, as pretraining does. It counts as
    there when every line has three whole numbers at its end.
    """
    path = Path(path)
    home = Path(root or path.parent)
    rows = list(files.lines(path))
    columns = ("path", "start", "total", "label")
    labelled = all(_ends_in_numbers(text, 3) for _, text in rows)
    records = []
    for line, text in rows:
        video, start, total, *_ = from_right(path, line, text, columns if labelled else columns[:3])
        place = files.local_video(path, line, home, video)
        first = files.whole_number(path, line, "start", start)
        count = files.whole_number(path, line, "total", total)
        if count < 0:
            records.append(Record(video=place))
        elif count == 0 or first < 0:
            raise files.wrong(
                path,
                line,
                f"start {first} and total {count} name no frames; total is negative "
                "for a video file and at least 1 for a folder of frames",
            )
        else:
            records.append(
                Record(
                    video=place,
                    first_frame=first,
                    num_frames=count,
                    frame_template=template,
                )
            )
    return Annotations(records=tuple(records))


def from_right(
    path: Path, line: int, text: str, columns: tuple[str, ...], separator: str | None = None
) -> list[str]:
    """Split a line into its columns from the right, at blanks without a separator."""
    fields = [field.strip() for field in text.rsplit(separator, len(columns) - 1)]
    if len(fields) != len(columns):
        raise files.wrong(path, line, f"expected {' '.join(columns)!r}, found {text!r}")
    return fields


def _ends_in_numbers(text: str, count: int) -> bool:
    fields = text.rsplit(maxsplit=count)
    return len(fields) == count + 1 and all(f.lstrip("-").isdecimal() for f in fields[1:])


def is_comma_separated(path: Path) -> bool:
    """Whether the first label follows a comma; a path may hold commas and spaces as well."""
    _, first = next(files.lines(path), (0, ""))
    if not first:
        raise AnnotationError(f"{path}: holds no line")
    behind = first.rpartition(",")[2]
    return "," in first and len(behind.split()) == 1
