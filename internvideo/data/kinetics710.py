"""Kinetics-710: the three versions of Kinetics merged, without their validation and test videos.

Source: InternVideo, supervised post-pretraining, and UniFormerV2 (arXiv:2211.09552): the training
sets of Kinetics-400, 600 and 700 are merged, videos are identified by their YouTube id, and those
in a validation or test set of any of the three are left out.
Differs: which of two labels of a repeated video holds is not published; here that of the earliest
version does, and the report counts how often they differ.
"""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from internvideo.data.annotations import files
from internvideo.data.annotations.recognition import (
    KINETICS_LAYOUTS,
    kinetics_rows,
    place_videos,
)
from internvideo.data.class_maps import (
    RENAMED,
    ClassMaps,
    named_rows,
    places_of,
    unite_classes,
)
from internvideo.errors import AnnotationError, ConfigError
from internvideo.values import Annotations, Record
from internvideo.writing import written_beside

LABEL_MAP = "label_map_k710.txt"

_SPLITS = ("train", "val", "test")
_KEPT = ("train", "val")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class KineticsVersion:
    """One data set: its official csv files (train, val, test), its classes and its videos.

    `videos` is their folder (that of the lists without it), `layout` a path in it as for the
    reader of Kinetics. `classes` are the names in the order of their ids; those found in the
    lists, sorted, without them, which is the order of the official label maps.
    """

    name: str
    lists: Path
    videos: Path | None = None
    layout: str | None = None
    classes: tuple[str, ...] = ()


def find_vintage(
    name: str,
    lists: Path,
    videos: Path | None = None,
    *,
    label_maps: Path | None = None,
    layout: str | None = None,
) -> KineticsVersion:
    """Take its classes from the official label map, in `label_maps` or beside the lists, if any."""
    label_map = f"label_map_{name}.txt"
    if label_maps is not None:
        source = label_maps / label_map
    else:
        beside = (lists / label_map, lists / "classes.txt")
        source = next((path for path in beside if path.exists()), None)
    classes = files.class_names(source) if source else ()
    return KineticsVersion(name=name, lists=lists, videos=videos, layout=layout, classes=classes)


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedClip:
    """A line of an official list. `row` is its class among all, None where it has no label."""

    vintage: str
    split: str
    youtube_id: str
    row: int | None
    video: Path = Path()
    is_missing: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class MergedClips:
    """What is left of the lists; `dropped` counts the others by vintage, split and reason.

    `relabelled` counts the repeated clips of a vintage whose class is another than of those kept.
    """

    clips: tuple[ListedClip, ...]
    dropped: dict[tuple[str, str, str], int]
    relabelled: dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kinetics710:
    """The union: records to train and validate on, class maps, and every number of the merging."""

    annotations: Annotations
    maps: ClassMaps
    report: dict[str, Any]


def merge_clips(clips: Sequence[ListedClip]) -> MergedClips:
    """Keep one clip of each video: to train on only where no vintage evaluates on it.

    Of repeated videos the first stays, so that earlier lists win. Clips of the test sets are not
    kept; neither are those without a label, or whose file is missing.
    """
    evaluated: dict[str, ListedClip] = {}
    for clip in clips:
        if clip.split != "train":
            evaluated.setdefault(clip.youtube_id, clip)
    kept: dict[tuple[str, str], ListedClip] = {}
    dropped: Counter[tuple[str, str, str]] = Counter()
    relabelled: Counter[str] = Counter()
    for clip in clips:
        if clip.split not in _KEPT:
            continue
        seen = kept.get((clip.split, clip.youtube_id))
        held = evaluated.get(clip.youtube_id) if clip.split == "train" else None
        if held is not None:
            reason = f"in {held.split} of {held.vintage}"
        elif clip.row is None:
            reason = "without a label"
        elif clip.is_missing:
            reason = "without its file"
        elif seen is not None:
            reason = f"repeats {seen.vintage}"
            relabelled[clip.vintage] += clip.row != seen.row
        else:
            kept[clip.split, clip.youtube_id] = clip
            continue
        dropped[clip.vintage, clip.split, reason] += 1
    return MergedClips(
        clips=tuple(kept.values()), dropped=dict(dropped), relabelled=dict(relabelled)
    )


def build_kinetics710(
    vintages: Sequence[KineticsVersion],
    *,
    maps: ClassMaps | None = None,
    renamed: Mapping[str, str] = RENAMED,
    only_existing: bool = False,
) -> Kinetics710:
    """Merge the lists of all vintages.

    Args:
        vintages: Earliest first; of repeated videos the first list that has one decides.
        maps: A published row order, as `read_class_maps` gives it; without it the rows are the
            classes of the first vintage, then the new ones of the second, and so on.
        renamed: Older names of classes and the newer ones.
        only_existing: Leave out clips whose file is not there. They still keep others from being
            trained on, where they are listed for evaluation.

    Raises:
        AnnotationError: If a list cannot be read, lacks a split or names a class that is in no
            list of classes, or the classes are not in the order of `maps`.
    """
    rows = {vintage.name: _read_rows(vintage.lists) for vintage in vintages}
    for name, found in rows.items():
        _log.info("%s: %d clips listed", name, len(found))
    classes = {v.name: v.classes or _classes_found(rows[v.name]) for v in vintages}
    maps = named_rows(maps, classes, renamed) if maps else unite_classes(classes, renamed)
    listed = [
        clip for v in vintages for clip in _listed(v, rows[v.name], classes[v.name], maps, renamed)
    ]
    if only_existing:
        listed = [replace(clip, is_missing=not clip.video.exists()) for clip in listed]
    merged = merge_clips(listed)
    for split in _KEPT:
        if not any(clip.split == split for clip in merged.clips):
            raise AnnotationError(f"not one video is left for {split}; check the lists and files")
    records = tuple(
        Record(video=clip.video, labels=(clip.row,), split=clip.split)
        for split in _KEPT
        for clip in merged.clips
        if clip.split == split and clip.row is not None
    )
    return Kinetics710(
        annotations=Annotations(records=records, classes=maps.names),
        maps=maps,
        report=_report(classes, maps, renamed, listed, merged),
    )


def write_kinetics710(built: Kinetics710, out: str | Path) -> None:
    """Write a folder: `train.csv`, `val.csv`, the label map, a class map each, `report.json`.

    The lists have a path and the number of a row on each line, split by a comma, as UniFormerV2
    reads them. The folder appears when it is whole.

    Raises:
        ConfigError: If the folder has something in it or cannot be written.
    """
    out = Path(out)
    check_is_free(out)
    names = built.maps.names
    texts = {LABEL_MAP: "".join(f"{name}\n" for name in names)}
    texts |= {f"map_{v}.json": json.dumps(rows) + "\n" for v, rows in built.maps.rows.items()}
    texts |= {f"{split}.csv": _list_text(built.annotations, split, out) for split in _KEPT}
    texts["report.json"] = json.dumps(built.report, indent=1, ensure_ascii=False) + "\n"
    try:
        with written_beside(out) as beside:
            for name, text in texts.items():
                (beside / name).write_text(text, encoding="utf-8", newline="\n")
            if out.exists():
                out.rmdir()
            beside.rename(out)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error.strerror or error})") from None


def check_is_free(out: Path) -> None:
    """Refuse a place that already has something in it."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there and not an empty folder; choose another or delete it")


_Rows = list[tuple[Path, int, dict[str, str | int]]]


def _read_rows(lists: Path) -> _Rows:
    if not lists.is_dir():
        raise AnnotationError(f"{lists}: there is no such folder; expected train.csv, val.csv, ...")
    tables = sorted(lists.glob("*.csv"))
    rows = [(table, line, row) for table in tables for line, row in kinetics_rows(table)]
    for table, line, row in rows:
        if row["split"] not in _SPLITS:
            raise files.wrong(table, line, f"split is {row['split']!r}, expected train, val, test")
    splits = {row["split"] for _, _, row in rows}
    for split in _KEPT:
        if split not in splits:
            found = ", ".join(table.name for table in tables) or "no csv file"
            raise AnnotationError(f"{lists}: no clips of split {split!r} (found {found})")
    if "test" not in splits:
        _log.warning("%s: no test list; its videos may be trained on", lists)
    return rows


def _classes_found(rows: _Rows) -> tuple[str, ...]:
    return tuple(sorted({str(row["label"]) for _, _, row in rows} - {""}))


def _listed(
    vintage: KineticsVersion,
    rows: _Rows,
    classes: Sequence[str],
    maps: ClassMaps,
    renamed: Mapping[str, str],
) -> list[ListedClip]:
    places = places_of(vintage.name, classes, renamed)
    videos = place_videos(
        vintage.videos or vintage.lists,
        vintage.layout,
        KINETICS_LAYOUTS,
        [row for _, _, row in rows],
    )
    clips = []
    for (table, line, row), video in zip(rows, videos, strict=True):
        label = str(row["label"])
        place = places.get(renamed.get(label, label))
        if label and place is None:
            hint = files.nearest(label, classes)
            raise files.wrong(table, line, f"label {label!r} is no class of {vintage.name}{hint}")
        clips.append(
            ListedClip(
                vintage=vintage.name,
                split=str(row["split"]),
                youtube_id=str(row["youtube_id"]),
                row=None if place is None else maps.rows[vintage.name][place],
                video=video,
            )
        )
    return clips


def _report(
    classes: Mapping[str, Sequence[str]],
    maps: ClassMaps,
    renamed: Mapping[str, str],
    listed: Sequence[ListedClip],
    merged: MergedClips,
) -> dict[str, Any]:
    read = Counter((clip.vintage, clip.split) for clip in listed)
    kept = Counter((clip.vintage, clip.split) for clip in merged.clips)
    dropped: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for (vintage, split, reason), count in sorted(merged.dropped.items()):
        dropped[vintage, split][reason] = count
    vintages = {
        vintage: {
            "classes": len(names),
            "renamed": {name: renamed[name] for name in names if name in renamed},
            **{
                split: {
                    "read": read[vintage, split],
                    "dropped": dropped[vintage, split],
                    "kept": kept[vintage, split],
                }
                for split in _KEPT
            },
            "test": {"read": read[vintage, "test"]},
            "repeated_with_another_class": merged.relabelled.get(vintage, 0),
        }
        for vintage, names in classes.items()
    }
    counts = {split: sum(kept[v, split] for v in classes) for split in _KEPT}
    trained = {clip.row for clip in merged.clips if clip.split == "train"}
    untrained = [name for row, name in enumerate(maps.names) if row not in trained]
    return {
        "classes": len(maps.names),
        **counts,
        "classes_without_training_video": untrained,
        "vintages": vintages,
    }


def _list_text(annotations: Annotations, split: str, out: Path) -> str:
    home = out.resolve()
    lines = []
    for record in annotations.of_split(split).records:
        video = record.video.absolute()
        path = video.relative_to(home).as_posix() if video.is_relative_to(home) else str(video)
        lines.append(f"{path},{record.label}\n")
    return "".join(lines)
