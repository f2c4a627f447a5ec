"""Temporal localization: whole videos with the segments in them.

Sources: the json of THUMOS14, ActivityNet 1.3, HACS Segments and FineAction, as published or as
ActionFormer keeps them (`*_af.json`: a database with duration, rate and numbered classes); the json
of Ego4D moment queries; a csv of one's own.
Segments stay as annotated, also beyond the end of their video, since the official evaluations count
them; how many these are, and what is left out, is logged in one line each with the first place.
"""

from __future__ import annotations

import csv
import io
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from internvideo.data.annotations import files
from internvideo.data.annotations.folders import SPLITS
from internvideo.data.annotations.gathering import find_videos, rows_with, with_fields
from internvideo.data.annotations.untrimmed import (
    SUBSETS,
    Instance,
    UntrimmedVideo,
    read_database,
)
from internvideo.errors import AnnotationError, unknown_name
from internvideo.values import Annotations, Record, Segment
from internvideo.writing import replace_text

# Instances of one class whose boundaries differ by no more are the same one (ActionFormer).
_SAME_S = 1e-3

_log = logging.getLogger(__name__)


@files.reader
def read_localization(
    path: str | Path,
    *,
    root: str | Path | None = None,
    classes: tuple[str, ...] | str = (),
    train: str = "training",
    duplicates: bool = False,
) -> Annotations:
    """Read a database of THUMOS14, ActivityNet, HACS or FineAction, one record a video.

    Args:
        path: The json file.
        root: Folder of the videos; that of the file without it.
        classes: Class names in the order of their ids, or the file of them. Without it the numbers
            in the file decide, and where it has none the sorted names.
        train: The subset that is trained on: "validation" for THUMOS14, whose training videos are
            trimmed.
        duplicates: Keep instances that repeat another one of their class to a millisecond, as
            ActivityNet's own evaluation does.

    Raises:
        AnnotationError: If something in the file cannot be read; the message names the video.
    """
    path = Path(path)
    if train not in SUBSETS:
        raise unknown_name("subset to train on", train, SUBSETS)
    database = read_database(path, with_empty=True)
    splits = {subset: split for subset, split in SUBSETS.items() if split != SUBSETS[train]}
    splits |= {s: "train" for s, split in SUBSETS.items() if split == SUBSETS[train]}
    if SUBSETS[train] != "train":  # trimmed videos, which have no segments
        database = [video for video in database if SUBSETS[video.subset] != "train"]
    return _annotations(
        *(path, Path(root or path.parent), database),
        splits=splits,
        classes=files.named_classes(path, classes),
        duplicates=duplicates,
    )


@files.reader
def read_ego4d_moments(
    path: str | Path,
    *,
    root: str | Path | None = None,
    classes: tuple[str, ...] | str = (),
    primary_only: bool = True,
) -> Annotations:
    """Read `moments_{train,val,test_unannotated}.json` of Ego4D, one record a clip.

    Times are those within the clip, which is also what the videos in `root` are named by.

    Args:
        path: One of the files.
        root: Folder of the clips; that of the file without it.
        classes: Class names in the order of their ids, or the file of them; without it the labels
            of the training and the validation file that lie together, sorted.
        primary_only: Leave out labels that are not marked primary, as the benchmark does.
    """
    path = Path(path)
    database = _ego4d_clips(path, primary_only)
    names = files.named_classes(path, classes)
    if not names:
        others = [c for part in files.other_part(path) for c in _ego4d_clips(part, primary_only)]
        names = _class_names(path, [*database, *others])
    return _annotations(path, Path(root or path.parent), database, splits=SUBSETS, classes=names)


def _ego4d_clips(path: Path, primary_only: bool) -> list[UntrimmedVideo]:
    """Clips of a file of moment queries, those of all its videos."""
    document = files.read_json(path)
    videos = document.get("videos") if isinstance(document, dict) else None
    if not isinstance(videos, list) or not videos:
        raise AnnotationError(f'{path}: expected an object with "videos"')
    database = []
    for place, video in enumerate(videos):
        video = with_fields(f"{path}, video {place}", video, "split", "clips")
        split = str(video["split"]).lower()
        if split not in SUBSETS:
            raise AnnotationError(
                f"{path}, video {place}: split is {split!r}, expected one of {', '.join(SUBSETS)}"
            )
        for number, clip in enumerate(video["clips"]):
            clip = with_fields(f"{path}, video {place}, clip {number}", clip, "clip_uid")
            database.append(_ego4d_clip(path, clip, split, primary_only))
    return database


@files.reader
def read_segment_csv(
    path: str | Path,
    *,
    root: str | Path | None = None,
    classes: tuple[str, ...] | str = (),
    split: str | None = None,
) -> Annotations:
    """Read a csv with the columns `path,start_s,end_s,label`, one segment a row.

    A row with only a path is a video without segments. A column `split` has train, val or test, a
    column `duration_s` the length of the video. Here every mistake is an error, since whoever made
    the file can mend it.

    Args:
        path: The csv.
        root: Folder that paths are relative to; that of the file without it.
        classes: Class names in the order of their ids, or the file of them; sorted without it.
        split: For files without the column.
    """
    path = Path(path)
    if split is not None and split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    found: dict[tuple[str, str], _OwnVideo] = {}
    for where, row in rows_with(path, "path", "start_s", "end_s", "label"):
        if not row["path"]:
            raise AnnotationError(f"{where}: names no video")
        part = row.get("split") or split or ""
        if part and part not in SPLITS:
            raise AnnotationError(f"{where}: split is {part!r}, expected train, val or test")
        video = found.setdefault((row["path"], SPLITS.get(part, "")), _OwnVideo([], None))
        if row.get("duration_s"):
            video.duration_s = _seconds(where, row, "duration_s")
        if not any(row[name] for name in ("start_s", "end_s", "label")):
            continue
        video.add(where, row)
    if not found:
        raise AnnotationError(f"{path}: holds no video")
    names = files.named_classes(path, classes)
    used = {one.label for video in found.values() for _, one in video.instances}
    names = names or tuple(sorted(used))
    records = []
    for (name, part), video in found.items():
        video.check_end()
        segments = tuple(_segment(where, one, names) for where, one in video.instances)
        records.append(
            Record(
                video=Path(root or path.parent) / name,
                segments=segments,
                duration_s=video.duration_s,
                split=part or None,
            )
        )
    return Annotations(records=tuple(records), classes=names)


def write_segment_csv(annotations: Annotations, path: str | Path) -> None:
    """Write what `read_segment_csv` reads; the old file stays whole until the new one is.

    Paths inside the csv's folder are relative to it, others absolute.
    """
    path = Path(path)
    home = path.parent.resolve()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "start_s", "end_s", "label", "split", "duration_s"))
    for record in annotations.records:
        video = record.video.absolute()
        name = video.relative_to(home).as_posix() if video.is_relative_to(home) else str(video)
        last = (record.split or "", "" if record.duration_s is None else record.duration_s)
        labelled = [s for s in record.segments if s.label is not None]
        writer.writerows(
            (name, one.start_s, one.end_s, annotations.classes[one.label or 0], *last)
            for one in labelled
        )
        if not labelled:
            writer.writerow((name, "", "", "", *last))
    replace_text(path, text.getvalue())


@files.reader
def read_video_scores(path: str | Path) -> dict[str, np.ndarray]:
    """Read class scores of whole videos: `{"results": {id: [score, ...]}}`, or without `results`.

    Returns:
        An array (y) for each id, as the file has it.

    Raises:
        AnnotationError: If a video has no scores, others than numbers, or as many as no other.
    """
    path = Path(path)
    document = files.read_json(path)
    entries = document.get("results", document) if isinstance(document, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise AnnotationError(f"{path}: expected an object with scores for each video")
    scores: dict[str, np.ndarray] = {}
    for video, values in entries.items():
        where = f"{path}, video {video}"
        try:
            row = np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise AnnotationError(f"{where}: scores are {values!r:.80}, expected numbers") from None
        row = row[0] if row.ndim == 2 and len(row) == 1 else row
        if row.ndim != 1 or not len(row) or not np.isfinite(row).all():
            raise AnnotationError(f"{where}: expected finite scores, found {values!r:.80}")
        if scores and len(row) != len(first := next(iter(scores.values()))):
            raise AnnotationError(f"{where}: has {len(row)} scores, the first video {len(first)}")
        scores[video] = row
    return scores


@dataclass(slots=True)
class _OwnVideo:
    """Segments of one video of a csv, each with the place of its row."""

    instances: list[tuple[str, Instance]]
    duration_s: float | None

    def add(self, where: str, row: Mapping[str, str]) -> None:
        if not row["label"]:
            raise AnnotationError(f"{where}: label is empty")
        start_s, end_s = _seconds(where, row, "start_s"), _seconds(where, row, "end_s")
        if not start_s < end_s:
            raise AnnotationError(
                f"{where}: the segment from {start_s} to {end_s} s holds no time; its end must lie "
                "after its start"
            )
        added = Instance(start_s, end_s, row["label"])
        for earlier, one in self.instances:
            if _is_same(one, added):
                line = earlier.rpartition(", ")[2]
                raise AnnotationError(f"{where}: repeats the segment of {line}")
        self.instances.append((where, added))

    def check_end(self) -> None:
        for where, one in self.instances:
            if self.duration_s is not None and one.end_s > self.duration_s:
                raise AnnotationError(
                    f"{where}: the segment ends at {one.end_s} s, the video at {self.duration_s} s"
                )


def _seconds(where: str, row: Mapping[str, str], name: str) -> float:
    try:
        value = float(row[name])
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise AnnotationError(f"{where}: {name} is {row[name]!r}, expected seconds from 0")
    return value


def _ego4d_clip(
    path: Path, clip: Mapping[str, object], split: str, primary_only: bool
) -> UntrimmedVideo:
    where = f"{path}, clip {clip['clip_uid']}"
    instances = []
    passes = clip.get("annotations") or []
    if not isinstance(passes, list):
        raise AnnotationError(f"{where}: annotations are {passes!r:.80}, expected a list")
    for annotator in passes:
        for entry in with_fields(where, annotator, "labels")["labels"]:
            entry = with_fields(where, entry, "label", "start_time", "end_time")
            if primary_only and not entry.get("primary", True):
                continue
            times = entry["start_time"], entry["end_time"]
            if not all(isinstance(t, int | float) and math.isfinite(t) for t in times):
                raise AnnotationError(f"{where}: times are {times!r:.80}, expected seconds")
            start_s, end_s = map(float, times)
            instances.append(Instance(max(0.0, start_s), end_s, str(entry["label"])))
    start, end = clip.get("video_start_sec"), clip.get("video_end_sec")
    is_timed = isinstance(start, int | float) and isinstance(end, int | float) and end > start
    return UntrimmedVideo(
        id=str(clip["clip_uid"]),
        subset=split,
        instances=tuple(instances),
        duration_s=float(end - start) if is_timed else None,
    )


def _annotations(
    path: Path,
    root: Path,
    database: Sequence[UntrimmedVideo],
    *,
    splits: Mapping[str, str],
    classes: tuple[str, ...],
    duplicates: bool = False,
) -> Annotations:
    """Make a record of every video, and tell what was odd."""
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    names = classes or _class_names(path, database)
    places = find_videos(root, [(video.id, *video.names()) for video in database])
    records = []
    for place, video in zip(places, database, strict=True):
        instances, odd = _checked(video, duplicates)
        for reason, count in odd.items():
            counts[reason] += count
            first.setdefault(reason, video.id)
        where = f"{path}, video {video.id}"
        records.append(
            Record(
                video=place,
                segments=tuple(_segment(where, one, names) for one in instances),
                duration_s=video.duration_s,
                rate_fps=video.rate_fps,
                split=splits[video.subset],
            )
        )
    for reason, count in counts.items():
        _log.warning("%s: %d %s, first in video %s", path, count, reason, first[reason])
    return Annotations(records=tuple(records), classes=names)


def _checked(video: UntrimmedVideo, duplicates: bool) -> tuple[list[Instance], dict[str, int]]:
    """Instances to keep, and how many are odd in which way."""
    odd: dict[str, int] = defaultdict(int)
    kept: list[Instance] = []
    for one in video.instances:
        if not one.start_s < one.end_s:
            odd["segments that hold no time left out"] += 1
        elif not duplicates and any(_is_same(one, earlier) for earlier in kept):
            odd["segments that repeat another left out"] += 1
        else:
            if video.duration_s is not None and one.end_s > video.duration_s + _SAME_S:
                odd["segments beyond the end of their video"] += 1
            kept.append(one)
    if not kept:
        odd["videos without a segment"] += 1
    return kept, odd


def _is_same(one: Instance, other: Instance) -> bool:
    return (
        one.label == other.label
        and abs(one.start_s - other.start_s) <= _SAME_S
        and abs(one.end_s - other.end_s) <= _SAME_S
    )


def _class_names(path: Path, database: Sequence[UntrimmedVideo]) -> tuple[str, ...]:
    """Names in the order of the file's own numbers, or sorted where it has none."""
    number: dict[str, int] = {}
    for video in database:
        for one in video.instances:
            if one.label_id is None:
                continue
            if not 0 <= one.label_id < files.MOST_CLASSES:
                raise AnnotationError(
                    f"{path}, video {video.id}: label_id is {one.label_id}, expected 0 to "
                    f"{files.MOST_CLASSES - 1}"
                )
            known = number.setdefault(one.label, one.label_id)
            if known != one.label_id:
                raise AnnotationError(
                    f"{path}, video {video.id}: {one.label!r} has the number {one.label_id}, and "
                    f"{known} before"
                )
    labels = {one.label for video in database for one in video.instances}
    if not number or labels - number.keys():
        return tuple(sorted(labels))
    name = {place: label for label, place in number.items()}
    if len(name) < len(number):
        raise AnnotationError(f"{path}: two classes have the same label_id")
    # A number that no instance has, as in a part of a data set, keeps its place.
    return tuple(name.get(place, f"class {place}") for place in range(max(name) + 1))


def _segment(where: str, one: Instance, classes: tuple[str, ...]) -> Segment:
    if one.label not in classes:
        hint = files.nearest(one.label, classes)
        raise AnnotationError(f"{where}: {one.label!r} is in no list of classes{hint}")
    return Segment(start_s=one.start_s, end_s=one.end_s, label=classes.index(one.label))
