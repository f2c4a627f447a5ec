"""Something-Something and Jester: what happens, in words that leave the things open.

Sources: the json files of Something-Something v2; the csv files of Something-Something v1 and of
Jester, parted by semicolons, whose videos are folders of frames.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from internvideo.data.annotations import files
from internvideo.data.annotations.folders import SPLITS
from internvideo.data.annotations.recognition import place_videos
from internvideo.errors import AnnotationError
from internvideo.values import Annotations, Record

SOMETHING_LAYOUTS = ("{id}.webm", "{id}.mp4")
FRAME_TEMPLATE = "{:05}.jpg"


@files.reader
def read_something(
    path: str | Path, *, root: str | Path | None = None, layout: str | None = None
) -> Annotations:
    """Read a folder with `*labels.json` and any of `*train.json`, `*validation.json`, `*test.json`.

    The class is the template without its brackets; the filled-in sentence is kept as caption.
    """
    path = Path(path)
    names = sorted(path.glob("*labels.json"))
    if not names:
        raise AnnotationError(f"{path}: holds no file that ends in labels.json")
    ids = files.read_json(names[0])
    if not isinstance(ids, dict) or not _are_numbered(ids):
        raise AnnotationError(f"{names[0]}: expected class names with the numbers from 0 on")
    classes = tuple(sorted(ids, key=lambda name: int(ids[name])))
    entries, records = [], []
    for table in sorted(path.glob("*.json")):
        split = _split_at_end(table)
        listed = files.read_json(table) if split else []
        if not isinstance(listed, list):
            raise AnnotationError(f"{table}: expected a list of objects, found {listed!r:.80}")
        for place, entry in enumerate(listed):
            where = f"{table}, entry {place}"
            if not isinstance(entry, dict) or "id" not in entry:
                raise AnnotationError(f"{where}: expected an object with 'id', found {entry!r:.80}")
            template = str(entry.get("template", "")).replace("[", "").replace("]", "")
            if template and template not in ids:
                hint = files.nearest(template, classes)
                raise AnnotationError(f"{where}: {template!r} is not in {names[0].name}{hint}")
            entries.append(entry)
            records.append(
                {
                    "labels": (int(ids[template]),) if template else (),
                    "captions": (str(entry["label"]),) if entry.get("label") else (),
                    "split": split,
                }
            )
    if not records:
        raise AnnotationError(f"{path}: no entries in train.json, validation.json or test.json")
    videos = place_videos(root or path, layout, SOMETHING_LAYOUTS, entries)
    return Annotations(
        records=tuple(Record(video=v, **r) for v, r in zip(videos, records, strict=True)),
        classes=classes,
    )


def _are_numbered(ids: Mapping[str, Any]) -> bool:
    """Whether the values are the numbers from 0 on, as texts or not, each once."""
    wanted = {str(number) for number in range(len(ids))}
    return {str(number) for number in ids.values()} == wanted


@files.reader
def read_something_v1(
    path: str | Path,
    *,
    root: str | Path | None = None,
    template: str = FRAME_TEMPLATE,
    first_frame: int = 1,
) -> Annotations:
    """Read a folder with `*labels.csv` and any of `*train.csv`, `*validation.csv`, `*test.csv`.

    Lines are `id;class` (only `id` in the test list); `id` is a folder of frames below `root`,
    which are counted when it is opened. Jester is published in the same form.
    """
    path = Path(path)
    home = Path(root or path)
    names = sorted(path.glob("*labels.csv"))
    if not names:
        raise AnnotationError(f"{path}: holds no file that ends in labels.csv")
    classes = files.class_names(names[0])
    number = {name: place for place, name in enumerate(classes)}
    records = []
    for table in sorted(path.glob("*.csv")):
        split = _split_at_end(table)
        for line, text in files.lines(table) if split else ():
            video, _, label = (part.strip() for part in text.partition(";"))
            if label not in number and (label or split != "test"):
                hint = files.nearest(label, classes)
                raise files.wrong(table, line, f"class {label!r} is not in {names[0].name}{hint}")
            records.append(
                Record(
                    video=files.local_video(table, line, home, video),
                    first_frame=first_frame,
                    frame_template=template,
                    labels=(number[label],) if label else (),
                    split=split,
                )
            )
    if not records:
        raise AnnotationError(f"{path}: no entries in train.csv, validation.csv or test.csv")
    return Annotations(records=tuple(records), classes=classes)


def _split_at_end(table: Path) -> str | None:
    return SPLITS.get(re.split(r"[-_.]", table.stem)[-1])
