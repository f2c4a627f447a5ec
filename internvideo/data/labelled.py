"""One's own labelled videos, looked at before anything is trained on them, and cut into splits.

What cannot be gone on with is an error; what can be is left out or kept, and reported as a warning.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from internvideo.data.annotations.manifest import write_manifest
from internvideo.data.datasets import VideoData
from internvideo.data.own_videos import OwnVideos, check_videos
from internvideo.errors import AnnotationError, ConfigError
from internvideo.values import Annotations, Record

_UNEVEN = 10  # times as many videos in one class as in another


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledVideos(OwnVideos):
    """Videos of one class each; `train` and `val` are never empty."""

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
    found = check_videos(
        annotations,
        held_back_share=held_back_share,
        decoded=decoded,
        num_workers=num_workers,
        seed=seed,
        on_progress=on_progress,
    )
    records, classes = found.annotations.records, annotations.classes
    warnings = (
        *found.warnings,
        *_called_twice(records, found.content, classes),
        *_class_warnings(records, classes),
    )
    checked = LabelledVideos(
        annotations=found.annotations,
        warnings=warnings,
        left_out=found.left_out,
        num_decoded=found.num_decoded,
        usual_frames=found.usual_frames,
        content=found.content,
    )
    _refuse_too_little(checked)
    return checked


def save_labelled(videos: LabelledVideos, path: Path) -> LabelledVideos:
    """Write the videos as a manifest with splits; what comes back is what it will be read as.

    A class without any video is gone then.
    """
    write_manifest(videos.annotations, path)
    return replace(videos, annotations=read_labelled(path))


def _called_twice(
    records: Sequence[Record], content: Mapping[Path, str], classes: Sequence[str]
) -> list[str]:
    """Tell of videos that are called by two names."""
    of_content: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        of_content[content[record.video]].append(record)
    warnings = []
    for same in of_content.values():
        spans = {(r.start_s, r.end_s, r.label): r for r in same}
        if len(spans) > len({span[:2] for span in spans}):
            names = sorted({classes[r.label] for r in same if r.label is not None})
            warnings.append(
                f"{same[0].video} (by path or content) is called {' and '.join(map(repr, names))}; "
                "a video has one class"
            )
    return warnings if len(warnings) < 5 else [*warnings[:4], f"{len(warnings) - 4} more like this"]


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
    if not checked.num_items("val"):
        raise ConfigError(
            "every class has a single video or group of them, so none can be held back to validate "
            "on; add videos"
        )
    empty = len(checked.annotations.classes) - len(trained)
    if empty > len(trained) and all(name.isdecimal() for name in checked.annotations.classes):
        raise ConfigError(
            f"labels that are all whole numbers are rows from 0 on, of which {empty} have no "
            "video; give class names instead, such as 'class 7'"
        )
