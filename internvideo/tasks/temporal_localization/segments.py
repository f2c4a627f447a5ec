"""Detected segments of one or several videos, and the files they are written into.

Source of the json: the submission format of ActivityNet, which its evaluation reads.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from internvideo.models.actionformer import SegmentPredictions
from internvideo.tasks.shared.task import FailedVideo
from internvideo.writing import replace_text


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundSegment:
    """A detected segment, in seconds from the video's first frame."""

    start_s: float
    end_s: float
    label: str
    score: float

    def to_json(self) -> dict[str, Any]:
        return {
            "start_s": round(self.start_s, 3),
            "end_s": round(self.end_s, 3),
            "label": self.label,
            "score": self.score,
        }


@dataclass(frozen=True, kw_only=True)
class FoundSegments:
    """The answer for one video: its segments, the surest first."""

    video: Path
    segments: tuple[FoundSegment, ...]
    duration_s: float

    def lines(self) -> list[str]:
        if not self.segments:
            return ["no segment was found"]
        return [
            f"{one.start_s:8.1f} to {one.end_s:8.1f} s  {one.score:6.3f}  {one.label}"
            for one in self.segments
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "duration_s": self.duration_s,
            "segments": [one.to_json() for one in self.segments],
        }


@dataclass(frozen=True, kw_only=True)
class FoundInVideos:
    """The answer for a folder; `failed` could not be decoded."""

    videos: tuple[FoundSegments, ...]
    failed: tuple[FailedVideo, ...] = ()

    def lines(self) -> list[str]:
        found = [line for one in self.videos for line in (str(one.video), *one.lines())]
        return [*found, *(f"not seen  {one.path}: {one.reason}" for one in self.failed)]

    def to_json(self) -> dict[str, Any]:
        return {
            "videos": [{"video": str(one.video), **one.to_json()} for one in self.videos],
            "failed": [{"path": one.path, "reason": one.reason} for one in self.failed],
        }


def named_segments(
    found: SegmentPredictions, labels: Sequence[str], *, most: int, min_score: float = 0.0
) -> tuple[FoundSegment, ...]:
    """The best segments with the names of their classes."""
    rows = zip(found.segments.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
    return tuple(
        FoundSegment(start_s=start, end_s=end, label=labels[label], score=score)
        for (start, end), score, label in rows
        if score >= min_score
    )[:most]


_CSV_HEADER = "path,start_s,end_s,label,score"
_JSON_START = '{"version": "VERSION 1.3", "results": {'


def is_segments_csv(path: Path) -> bool:
    """Whether a file begins as `write_segments_csv` begins one."""
    return _begins(path, _CSV_HEADER)


def is_activitynet(path: Path) -> bool:
    """Whether a file begins as `write_activitynet` begins one."""
    return _begins(path, _JSON_START)


def _begins(path: Path, text: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(text)) == text.encode()


def write_segments_csv(path: Path, videos: Sequence[FoundSegments]) -> None:
    """Write the columns path, start_s, end_s, label and score, which `segment-csv` reads too."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_HEADER.split(","))
    for found in videos:
        for one in found.segments:
            times = (f"{one.start_s:.3f}", f"{one.end_s:.3f}")
            writer.writerow((found.video, *times, one.label, f"{one.score:.6g}"))
    _write(path, text.getvalue())


def write_activitynet(path: Path, videos: Sequence[FoundSegments]) -> None:
    """Write the json that ActivityNet's evaluation reads; ids are names without suffix and `v_`."""
    results = {
        found.video.stem.removeprefix("v_"): [
            {
                "label": one.label,
                "score": one.score,
                "segment": [round(one.start_s, 3), round(one.end_s, 3)],
            }
            for one in found.segments
        ]
        for found in videos
    }
    document = {"version": "VERSION 1.3", "results": results, "external_data": {}}
    _write(path, json.dumps(document, ensure_ascii=False) + "\n")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, text)
