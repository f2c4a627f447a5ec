"""Our own manifest, a csv with a header, and folders of videos.

A manifest has the column `path` and any of `label`, `caption`, `question`, `answer`, `kind` (of the
question), `start_s`, `end_s`, `split`; paths are relative to the file. A label is a class name, or,
when all are whole numbers, its id; with a `label_separator` a cell holds any number of them. A row
is one question, where it has any. Other columns are ignored, unless their name looks like a slip of
one of these.
"""

from __future__ import annotations

import csv
import io
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from internvideo.data.annotations import files
from internvideo.data.annotations.folders import doubt, splits_and_classes
from internvideo.data.annotations.questions import question_kind
from internvideo.errors import AnnotationError, unknown_name
from internvideo.values import Annotations, Record
from internvideo.video import VIDEO_SUFFIXES, find_videos
from internvideo.writing import replace_text

_log = logging.getLogger(__name__)

COLUMNS = ("path", "label", "caption", "question", "answer", "kind", "start_s", "end_s", "split")


@files.reader
def read_manifest(
    path: str | Path,
    *,
    root: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    classes: tuple[str, ...] | str = (),
    label_separator: str = "",
) -> Annotations:
    """Read a manifest, or any csv with a header once `columns` says what its columns are.

    Args:
        path: The csv file.
        root: Folder that paths are relative to; the file's own without it.
        columns: Our name to the file's, such as `{"path": "file", "label": "class"}`.
        classes: Class names in the order of their ids, or the file of them; without it those
            found, sorted.
        label_separator: What stands between the labels of a video that has several, such as "|";
            without it a cell is one label; cells that plainly hold several are refused, unless
            `classes` names them.
    """
    path = Path(path)
    root = path.parent if root is None else Path(root)
    rows = files.csv_rows(path)
    line, header = next(rows)
    place = _places(path, line, header, columns or {})
    cells = []
    for line, row in rows:
        if len(row) != len(header):
            raise files.wrong(path, line, f"has {len(row)} fields, the header has {len(header)}")
        cell = {name: row[index] for name, index in place.items()}
        for needed in ("path", "question"):
            if needed in cell and not cell[needed]:
                raise files.wrong(path, line, f"{header[place[needed]]} is empty")
        cells.append((line, cell))
    if not cells:
        raise AnnotationError(f"{path}: has a header and no record")
    if not label_separator and not classes:
        _refuse_several(path, [(line, cell.get("label", "")) for line, cell in cells])
    several = [_labels(cell.get("label", ""), label_separator) for _, cell in cells]
    names, ids = files.resolve_labels(
        path,
        [(line, name) for (line, _), some in zip(cells, several, strict=True) for name in some],
        files.named_classes(path, classes),
    )
    following = iter(ids)
    records = []
    for (line, cell), some in zip(cells, several, strict=True):
        labels = tuple(label for _ in some for label in next(following))
        start_s, end_s = files.seconds(path, line, cell.get("start_s", ""), cell.get("end_s", ""))
        records.append(
            Record(
                video=files.local_video(path, line, root, cell["path"]),
                start_s=start_s,
                end_s=end_s,
                labels=tuple(dict.fromkeys(labels)),
                captions=(cell["caption"],) if cell.get("caption") else (),
                **_question(cell),
                split=cell.get("split") or None,
                line=line,
            )
        )
    return Annotations(records=tuple(records), classes=names)


@files.reader
def read_folder(path: str | Path, *, root: str | Path | None = None) -> Annotations:
    """Read a folder with one folder of videos a class, or these under `train`, `val`, `test`.

    The videos are where the folder is, so `root` changes nothing.
    """
    annotations = _of_folder(Path(path), classes_matter=True)
    without = [str(record.video) for record in annotations.records if not record.labels]
    if without:
        raise AnnotationError(
            f"{without[0]}: lies in no class folder; move it to {path}/CLASS/, or list the "
            f"videos in a manifest (a csv with the columns {', '.join(COLUMNS)})"
        )
    return annotations


@files.reader
def read_videos(path: str | Path, *, root: str | Path | None = None) -> Annotations:
    """Read all videos below a folder, whatever it is made of; class folders become labels.

    The videos are where the folder is, so `root` changes nothing.
    """
    return manifest_from_folder(path)


def manifest_from_folder(folder: str | Path) -> Annotations:
    """Find all videos under a folder; the folder they lie in is their class.

    Where some lie in no class folder, none gets a label. Folders named as a split, at the top or
    within each class, are splits (see `folders.py`).

    Raises:
        AnnotationError: If there is no video, or it cannot be told which folders are splits.
    """
    return _of_folder(Path(folder), classes_matter=False)


def _of_folder(folder: Path, *, classes_matter: bool) -> Annotations:
    if not folder.is_dir():
        raise AnnotationError(f"{folder}: there is no such folder")
    videos = find_videos(folder)
    if not videos:
        known = " ".join(sorted(VIDEO_SUFFIXES))
        raise AnnotationError(f"{folder}: holds no video file (looked for {known})")
    parents = [video.relative_to(folder).parts[:-1] for video in videos]
    places = splits_and_classes(folder, parents)
    if (unsure := doubt(folder, parents)) is not None:
        if classes_matter:
            raise AnnotationError(unsure)
        _log.warning("%s", unsure)
    classes: tuple[str, ...] = ()
    if all(label for _, label in places):
        classes = tuple(sorted({label for _, label in places}))
    ids = {name: place for place, name in enumerate(classes)}
    records = tuple(
        Record(video=video, split=split, labels=(ids[label],) if classes else ())
        for video, (split, label) in zip(videos, places, strict=True)
    )
    return Annotations(records=records, classes=classes)


def write_manifest(annotations: Annotations, path: str | Path) -> None:
    """Write records as a manifest; the old file stays whole until the new one is.

    Paths inside the manifest's folder are written relative to it, others absolute.
    """
    path = Path(path)
    home = path.parent.resolve()
    rows = []
    for record in annotations.records:
        if len(record.captions) > 1 or len(record.labels) > 1 or record.frame_template:
            raise AnnotationError(
                f"{record.video}: a manifest holds video files with one label and one caption each"
            )
        video = record.video.absolute()
        inside = video.is_relative_to(home)
        label = annotations.classes[record.labels[0]] if record.labels else None
        rows.append(
            {
                "path": video.relative_to(home).as_posix() if inside else str(video),
                "label": label,
                "caption": record.captions[0] if record.captions else None,
                "question": record.question,
                "answer": record.answer,
                "kind": record.question_kind,
                "start_s": record.start_s,
                "end_s": record.end_s,
                "split": record.split,
            }
        )
    used = ["path", *(c for c in COLUMNS[1:] if any(row[c] is not None for row in rows))]
    text = io.StringIO()
    writer = csv.DictWriter(text, used, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_text(path, text.getvalue())


def _question(cell: Mapping[str, str]) -> dict[str, str | None]:
    """Fields of a record that has a question; its kind, where none is given, is the asking word."""
    question = cell.get("question")
    if not question:
        return {}
    return {
        "question": question,
        "question_kind": cell.get("kind") or question_kind(question),
        "answer": cell.get("answer") or None,
    }


def _refuse_several(path: Path, labels: Sequence[tuple[int, str]]) -> None:
    """Refuse `run|jump` where `run` or `jump` is a label too, or a part of another one."""
    names = {name for _, name in labels}
    times = Counter(part for name in names for part in dict.fromkeys(_labels(name, "|")))
    for line, name in labels:
        if "|" in name and any(times[part] > 1 for part in _labels(name, "|")):
            raise files.wrong(
                path,
                line,
                f"label {name!r} holds several labels; finetune takes one a video, train several, "
                'with stage.multi_label=true and data.options={label_separator="|"}',
            )


def _labels(cell: str, separator: str) -> list[str]:
    """Labels in a cell of the column `label`."""
    parts = [part.strip() for part in cell.split(separator)] if separator else [cell]
    return [part for part in parts if part]


def _places(path: Path, line: int, header: list[str], columns: Mapping[str, str]) -> dict[str, int]:
    """Find the index of each of our columns that the header has."""
    for ours in columns:
        if ours not in COLUMNS:
            raise unknown_name("manifest column", ours, COLUMNS)
    theirs = {name: columns.get(name, name) for name in COLUMNS}
    place = {ours: header.index(name) for ours, name in theirs.items() if name in header}
    for ours in ("path", *columns):
        if ours not in place:
            found = ", ".join(header)
            raise files.wrong(
                path,
                line,
                f"no column {theirs[ours]!r} for {ours}, found: {found}"
                f"{files.nearest(theirs[ours], header)}",
            )
    used = {header[index] for index in place.values()}
    for name in header:
        slip = None if name in used | set(COLUMNS) else _slip_of(name, set(COLUMNS) - set(place))
        if slip:
            raise files.wrong(
                path,
                line,
                f"column {name!r} looks like {slip!r}; rename it, or pass "
                f"columns={{{slip!r}: {name!r}}}",
            )
    return place


def _slip_of(name: str, missing: set[str]) -> str | None:
    near = files.near_names(name.lower(), missing, cutoff=0.8)
    return near[0] if near else None
