"""Recognition in untrimmed videos: ActivityNet, HACS Segments.

Sources: the lists of UniFormerV2 (`path total_time start end label`), the json files of ActivityNet
and of HACS, and the reduction of ActivityNet in use for localization (`anet_anno_action.json`).
The protocol is UniFormerV2's: trained on instances cut to their times, validated and tested on the
whole video, once.
Differs: a video with instances of several classes has the class that fills most of it, which is
told; no source says what the official lists did.
"""

from __future__ import annotations

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from internvideo.data.annotations import files
from internvideo.data.annotations.folders import SPLITS
from internvideo.data.annotations.gathering import (
    find_videos,
    rows_with,
    split_of,
    tables,
    with_fields,
)
from internvideo.data.annotations.lists import from_right, is_comma_separated
from internvideo.errors import AnnotationError, unknown_name
from internvideo.values import Annotations, Record, Segment

_COLUMNS = ("path", "total_time", "start", "end", "label")
SUBSETS = SPLITS

_log = logging.getLogger(__name__)


@files.reader
def read_segment_list(
    path: str | Path,
    *,
    root: str | Path | None = None,
    split: str = "",
    classes: tuple[str, ...] | str = (),
) -> Annotations:
    """Read `path total_time start end label` lines, split by spaces or commas, or a folder of csv.

    Args:
        path: A list, or a folder of lists that have train, val or test in their names.
        root: Folder of the videos; that of the lists without it.
        split: What a list is for, where its name does not say.
        classes: Class names in the order of their ids, or the file of them.
    """
    path = Path(path)
    if split and split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    lists = tables(path, "*.csv")
    rows = [(table, *row) for table in lists for row in _segment_rows(table)]
    names, labels = files.resolve_labels(
        [table for table, *_ in rows],
        [(line, label) for _, line, *_, label in rows],
        files.named_classes(path, classes),
    )
    home = Path(root) if root is not None else path if path.is_dir() else path.parent
    found: dict[tuple[Path, str], list[Segment]] = defaultdict(list)
    for (table, line, video, start, end, _), label in zip(rows, labels, strict=True):
        part = SPLITS.get(split) or split_of(table)
        if part is None:
            raise AnnotationError(
                f"{table}: its name does not say train, val or test, which decides whether videos "
                "are cut to their times; rename it or pass the option split"
            )
        start_s, end_s = files.seconds(table, line, start, end)
        if start_s is None or end_s is None or not label:
            raise files.wrong(table, line, "start, end or label is empty")
        segment = Segment(start_s=start_s, end_s=end_s, label=label[0])
        found[home / video, part].append(segment)
    records = _records(path, [(video, part, segments) for (video, part), segments in found.items()])
    return Annotations(records=records, classes=names)


@files.reader
def read_activitynet(
    path: str | Path,
    *,
    root: str | Path | None = None,
    cut: str = "train",
    classes: tuple[str, ...] | str = (),
) -> Annotations:
    """Read the json of ActivityNet or HACS Segments, or `anet_anno_action.json`.

    The last has its subsets in `video_info_new.csv` beside it. Videos are named by their id, with
    or without `v_` before it, in `root` or in folders of it named by class or subset.

    Args:
        path: The json file.
        root: Folder of the videos; that of the file without it.
        cut: The split of which each instance is a record; "none" makes a record, with all its
            segments, of every video.
        classes: Class names in the order of their ids, or the file of them; without it those
            found, sorted.
    """
    path = Path(path)
    if cut not in ("none", *SPLITS):
        raise unknown_name("split to cut", cut, ("none", *SPLITS))
    database = read_database(path)
    names = files.named_classes(path, classes)
    names = names or tuple(sorted({one.label for video in database for one in video.instances}))
    number = {name: place for place, name in enumerate(names)}
    videos = []
    for video in database:
        segments = []
        for one in video.instances:
            if one.label not in number:
                hint = files.nearest(one.label, names)
                raise AnnotationError(
                    f"{path}, video {video.id}: {one.label!r} is in no list of classes{hint}"
                )
            segments.append(Segment(start_s=one.start_s, end_s=one.end_s, label=number[one.label]))
        videos.append((SUBSETS[video.subset], segments))
    places = find_videos(Path(root or path.parent), [video.names() for video in database])
    items = [(place, *video) for place, video in zip(places, videos, strict=True)]
    return Annotations(records=_records(path, items, cut=SPLITS.get(cut)), classes=names)


@dataclass(frozen=True, slots=True)
class Instance:
    """A span of a video of one class; `label_id` where the file numbers its classes."""

    start_s: float
    end_s: float
    label: str
    label_id: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class UntrimmedVideo:
    """An entry of a database; `subset` is in lower case."""

    id: str
    subset: str
    instances: tuple[Instance, ...]
    duration_s: float | None = None
    rate_fps: float | None = None

    def names(self) -> tuple[str, ...]:
        """Say where it may lie: with or without `v_`, in folders of its class or subset."""
        bare = self.id.removeprefix("v_")
        label = self.instances[0].label if self.instances else ""
        folders = ("", self.subset, SUBSETS[self.subset], label, label.replace(" ", "_"))
        named = [f"{folder}/{name}" for folder in folders for name in (f"v_{bare}", bare)]
        return tuple(dict.fromkeys(name.removeprefix("/") for name in named))


def read_database(path: Path, *, with_empty: bool = False) -> list[UntrimmedVideo]:
    """Read every video of the json of ActivityNet, HACS, FineAction, or of ActionFormer's copies.

    What had to be left out is counted and logged, with the first place of each reason.

    Args:
        path: The file; `anet_anno_action.json` has its subsets in `video_info_new.csv` beside it.
        with_empty: Keep videos without an instance; otherwise only those of a test subset.
    """
    found = files.read_json(path)
    entries = found.get("database", found) if isinstance(found, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise AnnotationError(f"{path}: expected an object with a video for each id")
    beside = path.parent / "video_info_new.csv"
    is_reduced = entries is found and beside.exists()
    rows = rows_with(beside, "video", "subset") if is_reduced else ()
    subsets = {row["video"]: row["subset"] for _, row in rows}
    videos = []
    left_out: Counter[str] = Counter()
    first: dict[str, str] = {}

    def leave_out(reason: str, count: int, where: str) -> None:
        if count:
            left_out[reason] += count
            first.setdefault(reason, where)

    for video, entry in entries.items():
        where = f"{path}, video {video}"
        entry = with_fields(where, entry, "annotations")
        subset = str(entry.get("subset", subsets.get(video, ""))).lower()
        if subset not in SUBSETS:
            leave_out("videos of no subset", 1, f"video {video}")
            continue
        instances = [_instance(where, one) for one in entry["annotations"]]
        timed = [one for one in instances if one.start_s < one.end_s < math.inf]
        leave_out("instances that hold no time", len(instances) - len(timed), f"video {video}")
        if timed or with_empty or SUBSETS[subset] == "test":
            duration_s = _number(where, entry, "duration", "duration_second")
            rate_fps = _number(where, entry, "fps")
            videos.append(
                UntrimmedVideo(
                    id=video,
                    subset=subset,
                    instances=tuple(timed),
                    duration_s=duration_s,
                    rate_fps=rate_fps,
                )
            )
        else:
            leave_out("videos without an instance", 1, f"video {video}")
    for reason, count in left_out.items():
        _log.warning("%s: left out %d %s, first %s", path, count, reason, first[reason])
    if not videos:
        raise AnnotationError(
            f"{path}: no video says its subset; put video_info_new.csv beside the file"
        )
    return videos


def _number(where: str, entry: dict[str, object], *names: str) -> float | None:
    """Read the first of these fields that is there; a length or rate is positive."""
    for name in names:
        value = entry.get(name)
        if value is not None:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not 0 < value < math.inf:
                raise AnnotationError(f"{where}: {name} is {value!r:.80}, expected above 0")
            return float(value)
    return None


def _instance(where: str, entry: object) -> Instance:
    fields = with_fields(where, entry, "segment", "label")
    segment, label_id = fields["segment"], fields.get("label_id")
    is_span = isinstance(segment, list) and len(segment) == 2
    if not is_span or not all(isinstance(side, int | float) for side in segment):
        raise AnnotationError(f"{where}: segment is {segment!s:.80}, expected [start, end]")
    if label_id is not None and (not isinstance(label_id, int) or label_id < 0):
        raise AnnotationError(f"{where}: label_id is {label_id!r:.80}, expected a number from 0")
    start_s, end_s = map(float, segment)
    return Instance(max(0.0, start_s), end_s, str(fields["label"]), label_id)


def _segment_rows(table: Path) -> Iterator[tuple[int, str, str, str, str]]:
    comma = is_comma_separated(table)
    for line, text in files.lines(table):
        video, total, start, end, label = from_right(
            table, line, text, _COLUMNS, separator="," if comma else None
        )
        files.number(table, line, "total_time", total)
        yield line, video.strip('"'), start, end, label


def _records(
    path: Path, videos: Sequence[tuple[Path, str, list[Segment]]], *, cut: str | None = "train"
) -> tuple[Record, ...]:
    """Make a record of every instance of the split to cut, and of every video of the others."""
    records = []
    num_mixed = 0
    for video, split, segments in videos:
        if split == cut:
            records += [
                Record(
                    video=video,
                    start_s=one.start_s,
                    end_s=one.end_s,
                    labels=(one.label,) if one.label is not None else (),
                    split=split,
                )
                for one in segments
            ]
            continue
        filled: dict[int, float] = defaultdict(float)
        for one in segments:
            if one.label is not None:
                filled[one.label] += one.end_s - one.start_s
        num_mixed += len(filled) > 1
        main = (max(filled, key=filled.__getitem__),) if filled else ()
        records.append(Record(video=video, segments=tuple(segments), labels=main, split=split))
    if num_mixed:
        _log.warning(
            "%s: %d whole videos show several classes and count as the longest one", path, num_mixed
        )
    return tuple(records)
