"""One's own videos with segments, looked at before a detector is trained on them.

What is the same for all annotations is checked by `own_videos`; here come the segments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from internvideo.data.annotations.localization import write_segment_csv
from internvideo.data.datasets import VideoData
from internvideo.data.own_videos import OwnVideos, check_videos
from internvideo.errors import AnnotationError, ConfigError
from internvideo.values import Annotations, Record, Segment
from internvideo.video import open_video

# Annotations are rounded, and containers disagree about their last frame.
_FORGIVEN_S = 0.5
_FEW_SEGMENTS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentedVideos(OwnVideos):
    """Videos with their segments and lengths; `train` and `val` have segments."""

    def segments(self, split: str) -> list[Segment]:
        records = self.annotations.of_split(split).records
        return [segment for record in records for segment in record.segments]

    @property
    def longest_s(self) -> float:
        return max(record.duration_s or 0.0 for record in self.annotations.records)


def read_segmented(
    source: Path, *, root: str | None = None, columns: Mapping[str, str] | None = None
) -> Annotations:
    """Read a csv `path,start_s,end_s,label`, or a json as ActivityNet's.

    Raises:
        AnnotationError, ConfigError: It cannot be read; the message names file and place.
    """
    if source.is_dir():
        raise ConfigError(
            f"{source} is a folder; give the file of its segments, a csv with the columns path, "
            "start_s, end_s and label, or a json as ActivityNet's"
        )
    if columns:
        raise ConfigError("segments have no --columns; call them path, start_s, end_s and label")
    is_json = source.suffix.lower() == ".json"
    read = VideoData(
        source=str(source), format="localization" if is_json else "segment-csv", root=root
    ).read()
    if not any(record.segments for record in read.records):
        raise AnnotationError(f"{source}: no video has a segment")
    return read


def check_segmented(
    annotations: Annotations,
    *,
    held_back_share: float = 0.2,
    decoded: int | None = None,
    num_workers: int = 1,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> SegmentedVideos:
    """Leave out what cannot be used, compare segments with their videos, and hold back a part.

    Args:
        annotations: Of videos with segments.
        held_back_share: Of the videos, where the annotations name no validation.
        decoded: At most how many videos are decoded from end to end; None for all.
        num_workers: Processes that decode.
        seed: Of what is held back.
        on_progress: Called with how many videos are decoded, and of how many.

    Raises:
        AnnotationError: A segment ends after its video.
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
    classes = annotations.classes
    records = tuple(_within(record, classes) for record in found.annotations.records)
    checked = SegmentedVideos(
        annotations=replace(annotations, records=records),
        warnings=(*found.warnings, *_warnings(records, classes)),
        left_out=found.left_out,
        num_decoded=found.num_decoded,
        usual_frames=found.usual_frames,
        content=found.content,
    )
    for split, what in (("train", "train"), ("val", "validate")):
        if not checked.segments(split):
            raise ConfigError(
                f"no video to {what} on has a segment; add videos, or name other splits"
            )
    return checked


def save_segmented(videos: SegmentedVideos, path: Path) -> SegmentedVideos:
    """Write the segments as a csv with splits and lengths; what comes back is what it reads as.

    A class without any segment is gone then.
    """
    write_segment_csv(videos.annotations, path)
    return replace(videos, annotations=read_segmented(path))


def _within(record: Record, classes: Sequence[str]) -> Record:
    """The record with the length of its file, whose segments end with it."""
    with open_video(record.video) as opened:
        duration_s = opened.info.duration_s
    for one in record.segments:
        if one.end_s > duration_s + _FORGIVEN_S or one.start_s >= duration_s:
            label = "" if one.label is None else f" ({classes[one.label]!r})"
            raise AnnotationError(
                f"{record.video}: the segment from {one.start_s:g} to {one.end_s:g} s{label} ends "
                f"after the video, which has {duration_s:.2f} s; mend its times or remove it"
            )
    segments = tuple(replace(s, end_s=min(s.end_s, duration_s)) for s in record.segments)
    return replace(record, duration_s=duration_s, segments=segments)


def _warnings(records: Sequence[Record], classes: Sequence[str]) -> list[str]:
    warnings = []
    empty = [record for record in records if not record.segments]
    if empty:
        warnings.append(
            f"videos without a segment: {len(empty)}, such as {empty[0].video}; all of them is "
            "background"
        )
    counts = {
        split: Counter(
            segment.label
            for record in records
            if record.split == split
            for segment in record.segments
        )
        for split in ("train", "val")
    }
    for what, odd in (
        ("no segment to train on", [i for i in range(len(classes)) if not counts["train"][i]]),
        (
            f"fewer than {_FEW_SEGMENTS} segments to train on",
            [i for i in range(len(classes)) if 0 < counts["train"][i] < _FEW_SEGMENTS],
        ),
        ("no segment to validate on", [i for i in range(len(classes)) if not counts["val"][i]]),
    ):
        if odd:
            named = ", ".join(repr(classes[i]) for i in odd[:3]) + ", ..." * (len(odd) > 3)
            warnings.append(f"classes with {what}: {len(odd)} ({named})")
    return warnings
