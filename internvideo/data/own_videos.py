"""One's own annotated videos, whatever is annotated: found, decoded, and cut into splits.

What cannot be gone on with is an error; what can be is left out or kept, and reported as a warning.
What only some annotations have (labels, segments, boxes) is checked by the module of these.
"""

from __future__ import annotations

import hashlib
import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from internvideo.data.annotations.folders import SPLITS
from internvideo.data.stateless_rng import Purpose, draw
from internvideo.errors import ConfigError
from internvideo.values import Annotations, Record
from internvideo.video import scan_files

_OVERSHOOT_S = 0.5  # of a span beyond the end of its video, which annotators are allowed
_MOST_LEFT_OUT = 0.5  # share of videos without which there is no going on


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnVideos:
    """Annotated videos that can be trained on, all with a split.

    `left_out` are paths with reasons. `usual_frames` is the median of the videos decoded.
    `content` gives videos of the same bytes the same key.
    """

    annotations: Annotations
    warnings: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    num_decoded: int
    usual_frames: int | None
    content: Mapping[Path, str] = field(default_factory=dict)

    def num_items(self, split: str) -> int:
        """Annotated items of a split, of which a video may have several."""
        return len(self.annotations.of_split(split).records)


def check_videos(
    annotations: Annotations,
    *,
    held_back_share: float = 0.2,
    decoded: int | None = None,
    num_workers: int = 1,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> OwnVideos:
    """Leave out videos that are missing or unreadable, and hold back a part.

    Args:
        annotations: Of any kind.
        held_back_share: Of the videos of every label (of all, where there are no labels), where the
            annotations name no validation. Records of one group stay together.
        decoded: At most how many videos are decoded from end to end; None for all.
        num_workers: Processes that decode.
        seed: Of what is held back.
        on_progress: Called with how many videos are decoded, and of how many.

    Raises:
        ConfigError: Splits are incomplete, or most videos cannot be used.
    """
    warnings: list[str] = []
    records = _with_splits(annotations.records, warnings)
    left_out = _missing(records)
    records = tuple(r for r in records if str(r.video) not in left_out)
    files = _evenly(sorted({r.video for r in records}), decoded)
    health = scan_files(files, num_workers=num_workers, on_progress=on_progress)
    unreadable = {str(h.path): h.reason or "" for h in health if h.status == "unreadable"}
    left_out |= unreadable
    records = tuple(r for r in records if str(r.video) not in unreadable)
    _refuse_spans_beyond_end(annotations.records, {h.path: h.duration_s for h in health})
    total = len({r.video for r in annotations.records})
    if left_out:
        path, reason = next(iter(left_out.items()))
        said = f"{len(left_out)} of {total} videos cannot be used, such as {path}: {reason}"
        if len(left_out) > _MOST_LEFT_OUT * total:
            raise ConfigError(f"{said}; mend or remove them")
        warnings.append(f"{said}; they are left out")
    damaged = [h for h in health if h.status == "damaged"]
    if damaged:
        warnings.append(
            f"damaged videos: {len(damaged)}, such as {damaged[0].path}: {damaged[0].reason}; "
            "what can be decoded is used"
        )
    content = _content(records)
    warnings += _in_two_splits(records, content)
    together = _together(records, content)
    if any(r.split == "val" for r in records):
        warnings += _groups_in_two_splits(records)
    else:
        records = _held_back(records, together, held_back_share, seed)
    frames = [h.num_frames for h in health if h.num_frames]
    return OwnVideos(
        annotations=replace(annotations, records=records),
        warnings=tuple(warnings),
        left_out=tuple(left_out.items()),
        num_decoded=len(health),
        usual_frames=round(statistics.median(frames)) if frames else None,
        content=content,
    )


def _refuse_spans_beyond_end(records: Sequence[Record], lengths: Mapping[Path, float]) -> None:
    """Refuse times of the untrimmed source beside trimmed clips: they would name other frames."""
    odd = []
    for number, record in enumerate(records, 1):
        length_s = lengths.get(record.video, 0.0)
        last_s = max(record.start_s or 0.0, record.end_s or 0.0)
        if length_s and last_s > length_s + max(_OVERSHOOT_S, 0.05 * length_s):
            odd.append((number, record, length_s))
    if odd:
        number, record, length_s = odd[0]
        place = f"record {number}" if record.line is None else f"line {record.line}"
        raise ConfigError(
            f"{len(odd)} spans lie beyond the end of their video, first that of {place}, "
            f"{record.video}: from {record.start_s or 0:g} to {record.end_s or length_s:g} s of "
            f"{length_s:.2f} s; for trimmed clips leave out start_s and end_s"
        )


def _with_splits(records: Sequence[Record], warnings: list[str]) -> tuple[Record, ...]:
    """Spell the splits as we do, and leave out those that we do not know."""
    if not any(record.split for record in records):
        return tuple(replace(record, split="train") for record in records)
    bare = [record for record in records if not record.split]
    if bare:
        raise ConfigError(
            f"{len(bare)} of {len(records)} videos are in no split, such as {bare[0].video}; fill "
            "in the column split, or remove it to have a part held back"
        )
    named = [replace(r, split=SPLITS.get(r.split.lower(), r.split)) for r in records if r.split]
    known = sorted(set(SPLITS.values()))
    other = Counter(r.split for r in named if r.split not in known)
    if not any(r.split == "train" for r in named):
        found = ", ".join(sorted({r.split or "" for r in named}))
        raise ConfigError(
            f"no video is in split 'train' (found: {found}); "
            "rename the split to train on, or remove the column split to have a part held back"
        )
    for name, count in other.items():
        warnings.append(f"split {name!r} is not used (videos: {count}); known: {', '.join(known)}")
    return tuple(r for r in named if r.split in known)


def _missing(records: Iterable[Record]) -> dict[str, str]:
    videos = dict.fromkeys(record.video for record in records)
    return {str(video): "there is no such file" for video in videos if not video.is_file()}


def _evenly(files: Sequence[Path], most: int | None) -> list[Path]:
    """Take so many of the files, evenly over all of them."""
    if most is None or len(files) <= most:
        return list(files)
    return [files[i * len(files) // most] for i in range(most)]


def _content(records: Iterable[Record]) -> dict[Path, str]:
    """Give videos of the same bytes the same key; only files of one size are read."""
    videos = {record.video for record in records}
    of_size: dict[int, set[Path]] = defaultdict(set)
    for video in videos:
        of_size[video.stat().st_size].add(video.resolve())
    keys = {}
    for video in videos:
        place = video.resolve()
        if len(of_size[video.stat().st_size]) > 1:
            with place.open("rb") as file:
                keys[video] = hashlib.file_digest(file, "sha256").hexdigest()
        else:
            keys[video] = str(place)
    return keys


def _in_two_splits(records: Sequence[Record], content: Mapping[Path, str]) -> list[str]:
    of_content: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        of_content[content[record.video]].append(record)
    across = [same for same in of_content.values() if len({r.split for r in same}) > 1]
    if not across:
        return []
    one = across[0][0]
    other = next(r for r in across[0] if r.split != one.split)
    return [
        f"videos in two splits, by path or content: {len(across)}, such as {one.video} in "
        f"{one.split} and {other.video} in {other.split}: what is trained on is no test"
    ]


def _together(records: Sequence[Record], content: Mapping[Path, str]) -> dict[Path, str]:
    """Give what belongs in one split the same key: copies, and all of one group."""
    of_content: dict[str, str] = {}
    for record in records:
        if record.group is not None:
            of_content.setdefault(content[record.video], f"group {record.group}")
    return {video: of_content.get(key, key) for video, key in content.items()}


def _groups_in_two_splits(records: Sequence[Record]) -> list[str]:
    of_group: dict[str, set[str | None]] = defaultdict(set)
    for record in records:
        if record.group is not None:
            of_group[record.group].add(record.split)
    across = [group for group, found in of_group.items() if len(found) > 1]
    if not across:
        return []
    return [
        f"groups in two splits: {len(across)} of {len(of_group)}, such as {across[0]!r} in "
        f"{' and '.join(sorted(map(str, of_group[across[0]])))}: what looks alike is no test"
    ]


def _held_back(
    records: Sequence[Record], content: Mapping[Path, str], share: float, seed: int
) -> tuple[Record, ...]:
    """Move a share of every label to `val`, keys of `content` undivided; at least one stays, and
    one goes."""
    home = os.path.commonpath([record.video.absolute() for record in records])
    # Of every label the different contents, each by the first path that has it.
    of_label: dict[tuple[int, ...], dict[str, str]] = defaultdict(dict)
    for record in sorted(records, key=lambda record: record.video):
        if record.split == "train":
            path = os.path.relpath(record.video.absolute(), home)
            of_label[record.labels].setdefault(content[record.video], path.replace(os.sep, "/"))
    held: set[str] = set()
    for paths in of_label.values():
        free = [key for key in paths if key not in held]
        free.sort(key=lambda key: int(draw(Purpose.HELD_BACK, seed, *paths[key].encode())))
        gone = len(paths) - len(free)  # with another label
        count = min(max(1, round(share * len(paths))) - gone, len(free) - 1)
        held.update(free[: max(0, count)])
    return tuple(
        replace(r, split="val") if r.split == "train" and content[r.video] in held else r
        for r in records
    )
