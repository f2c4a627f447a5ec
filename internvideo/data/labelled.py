"""One's own labelled videos, looked at before anything is trained on them, and cut into splits.

What cannot be gone on with is an error; what can be is left out or kept, and reported as a warning.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from internvideo.data.annotations.folders import SPLITS
from internvideo.data.annotations.manifest import write_manifest
from internvideo.data.datasets import VideoData
from internvideo.data.stateless_rng import Purpose, draw
from internvideo.errors import AnnotationError, ConfigError
from internvideo.values import Annotations, Record
from internvideo.video import scan_files

_MOST_LEFT_OUT = 0.5  # share of videos without which there is no going on
_UNEVEN = 10  # times as many videos in one class as in another


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledVideos:
    """Videos of one class each, all with a split; `train` and `val` are never empty.

    `left_out` are paths with reasons. `usual_frames` is the median of the videos decoded.
    """

    annotations: Annotations
    warnings: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    num_decoded: int
    usual_frames: int | None

    def num_videos(self, split: str) -> int:
        return len(self.annotations.of_split(split).records)

    def class_counts(self, split: str) -> dict[str, int]:
        """Videos of every class, also of those that have none."""
        counts = Counter(record.label for record in self.annotations.of_split(split).records)
        return {name: counts[i] for i, name in enumerate(self.annotations.classes)}


def read_labelled(
    source: Path, *, root: str | None = None, columns: Mapping[str, str] | None = None
) -> Annotations:
    """Read a manifest, or a folder with one folder for each class.

    Raises:
        AnnotationError, ConfigError: It cannot be read, or a video has no class.
    """
    is_folder = source.is_dir()
    if is_folder and (root or columns):
        raise ConfigError(f"{source} is a folder; root and columns are for a csv, leave them out")
    read = VideoData(
        source=str(source),
        format="folder" if is_folder else "manifest",
        root=root,
        columns=dict(columns or {}),
    ).read()
    bare = [record for record in read.records if record.label is None]
    if len(bare) == len(read.records):
        raise AnnotationError(
            f"{source}: no video has a label; add a column 'label' with class names, or say which "
            "column holds them (--columns label NAME)"
        )
    if bare:
        raise AnnotationError(
            f"{source}: {len(bare)} of {len(read.records)} videos have no label, such as "
            f"{bare[0].video}; fill them in or remove these rows"
        )
    return read


def check_labelled(
    annotations: Annotations,
    *,
    held_back_share: float = 0.2,
    decoded: int | None = None,
    num_workers: int = 1,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> LabelledVideos:
    """Leave out what cannot be used, name what looks wrong, and hold back a part.

    Args:
        annotations: Of videos with one label each.
        held_back_share: Of every class, where the annotations name no validation.
        decoded: At most how many videos are decoded from end to end; None for all.
        num_workers: Processes that decode.
        seed: Of what is held back.
        on_progress: Called with how many videos are decoded, and of how many.

    Raises:
        ConfigError: Too little is left to train and to validate on.
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
    warnings += _repeats(records, content, annotations.classes)
    if not any(r.split == "val" for r in records):
        records = _held_back(records, content, held_back_share, seed)
    frames = [h.num_frames for h in health if h.num_frames]
    checked = LabelledVideos(
        annotations=replace(annotations, records=records),
        warnings=(*warnings, *_class_warnings(records, annotations.classes)),
        left_out=tuple(left_out.items()),
        num_decoded=len(health),
        usual_frames=round(statistics.median(frames)) if frames else None,
    )
    _refuse_too_little(checked)
    return checked


def save_labelled(videos: LabelledVideos, path: Path) -> LabelledVideos:
    """Write the videos as a manifest with splits; what comes back is what it will be read as.

    A class without any video is gone then.
    """
    write_manifest(videos.annotations, path)
    return replace(videos, annotations=read_labelled(path))


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


def _repeats(
    records: Sequence[Record], content: Mapping[Path, str], classes: Sequence[str]
) -> list[str]:
    """Tell of videos that lie in two splits, or are called by two names."""
    of_content: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        of_content[content[record.video]].append(record)
    warnings = []
    across = [same for same in of_content.values() if len({r.split for r in same}) > 1]
    if across:
        one = across[0][0]
        other = next(r for r in across[0] if r.split != one.split)
        warnings.append(
            f"videos in two splits, by path or content: {len(across)}, such as {one.video} in "
            f"{one.split} and {other.video} in {other.split}: what is trained on is no test"
        )
    for same in of_content.values():
        spans = {(r.start_s, r.end_s, r.label): r for r in same}
        if len(spans) > len({span[:2] for span in spans}):
            names = sorted({classes[r.label] for r in same if r.label is not None})
            warnings.append(
                f"{same[0].video} (by path or content) is called {' and '.join(map(repr, names))}; "
                "a video has one class"
            )
    return warnings if len(warnings) < 5 else [*warnings[:4], f"{len(warnings) - 4} more like this"]


def _held_back(
    records: Sequence[Record], content: Mapping[Path, str], share: float, seed: int
) -> tuple[Record, ...]:
    """Move a share of every class to `val`, copies together; at least one stays, and one goes."""
    home = os.path.commonpath([record.video.absolute() for record in records])
    # Of every class the different contents, each by the first path that has it.
    of_class: dict[int | None, dict[str, str]] = defaultdict(dict)
    for record in sorted(records, key=lambda record: record.video):
        if record.split == "train":
            path = os.path.relpath(record.video.absolute(), home)
            of_class[record.label].setdefault(content[record.video], path.replace(os.sep, "/"))
    held: set[str] = set()
    for paths in of_class.values():
        free = [key for key in paths if key not in held]
        free.sort(key=lambda key: int(draw(Purpose.HELD_BACK, seed, *paths[key].encode())))
        count = min(max(1, round(share * len(paths))), len(free) - 1)
        held.update(free[: max(0, count)])
    return tuple(
        replace(r, split="val") if r.split == "train" and content[r.video] in held else r
        for r in records
    )


def _class_warnings(records: Sequence[Record], classes: Sequence[str]) -> list[str]:
    warnings = []
    counts = {
        split: Counter(r.label for r in records if r.split == split) for split in ("train", "val")
    }
    train, val = counts["train"], counts["val"]

    def tell(labels: list[int], what: str) -> None:
        if len(labels) == 1:
            warnings.append(f"class {classes[labels[0]]!r} has {what}")
        elif labels:
            some = f"{len(labels)} classes, such as {classes[labels[0]]!r},"
            warnings.append(f"{some} have {what}")

    places = range(len(classes))
    tell([i for i in places if not train[i] + val[i]], "no video")
    tell(
        [i for i in places if train[i] == 1 and not val[i]],
        "a single video: it is trained on, and nothing tells how well it is learned",
    )
    tell(
        [i for i in places if val[i] and not train[i]],
        "videos to validate on and none to train on: they can only be wrong",
    )
    tell(
        [i for i in places if train[i] > 1 and not val[i]],
        "no video to validate on: nothing tells how well it is learned",
    )
    if train and max(train.values()) >= _UNEVEN * min(train.values()):
        warnings.append(
            f"classes have {min(train.values())} to {max(train.values())} videos; "
            "--set stage.balanced_classes=true makes them count alike"
        )
    spelt: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        plain = unicodedata.normalize("NFKC", name).casefold()
        spelt["".join(c for c in plain if c.isalnum()) or name].append(name)
    for names in spelt.values():
        if len(names) > 1:
            told = " and ".join(map(repr, names))
            warnings.append(f"{told} are two classes; spell them alike if they are one")
    return warnings


def _refuse_too_little(checked: LabelledVideos) -> None:
    trained = [name for name, count in checked.class_counts("train").items() if count]
    if len(trained) < 2:
        only = f" ({trained[0]!r})" if trained else ""
        raise ConfigError(
            f"there are videos to train on of {len(trained)} classes{only}; recognition needs two "
            "or more"
        )
    if not checked.num_videos("val"):
        raise ConfigError(
            "every class has a single video, so none can be held back to validate on; add videos"
        )
    empty = len(checked.annotations.classes) - len(trained)
    if empty > len(trained) and all(name.isdecimal() for name in checked.annotations.classes):
        raise ConfigError(
            f"labels that are all whole numbers are rows from 0 on, of which {empty} have no "
            "video; give class names instead, such as 'class 7'"
        )
