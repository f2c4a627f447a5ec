"""What temporal localization measured, and its page: mAP by overlap and class, timelines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from internvideo.metrics.temporal_localization import DetectionScores, SegmentTable, detection_map
from internvideo.models.actionformer import SegmentPredictions
from internvideo.report import Page, Span, timeline_chart
from internvideo.tasks.shared.task import Result
from internvideo.values import Record

_MOST_TIMELINES, _MOST_SPANS = 8, 60


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


def mean_average_precision_of(
    found: Sequence[SegmentPredictions | None],
    records: Sequence[Record],
    place: dict[int, int],
    thresholds: Sequence[float],
) -> DetectionScores:
    """mAP over all records; one that could not be read (None) has its segments missed.

    `place` has the network's output for each label of the annotations.

    Raises:
        ConfigError: If no record has an annotated segment.
    """
    truth = [
        (video, one.start_s, one.end_s, place[one.label])
        for video, record in enumerate(records)
        for one in record.segments
        if one.label is not None
    ]
    kept = [(video, one) for video, one in enumerate(found) if one is not None]
    columns = np.array(truth, dtype=np.float64).reshape(-1, 4).T
    segments = np.concatenate([one.segments.numpy() for _, one in kept] or [np.zeros((0, 2))])
    return detection_map(
        SegmentTable.of(columns[0], columns[1], columns[2], columns[3]),
        SegmentTable.of(
            np.repeat([video for video, _ in kept], [len(one) for _, one in kept]),
            segments[:, 0],
            segments[:, 1],
            np.concatenate([one.labels.numpy() for _, one in kept] or [np.zeros(0)]),
            np.concatenate([one.scores.numpy() for _, one in kept] or [np.zeros(0)]),
        ),
        thresholds,
    )


def named_scores(scores: DetectionScores, prefix: str = "") -> dict[str, float]:
    """mAP at each threshold and its mean, under the names of a result."""
    named = {f"{prefix}map/average": scores.average_map}
    return named | {f"{prefix}map/{t:g}": value for t, value in scores.map_at.items()}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TemporalLocalizationResult(Result):
    """What the scores were counted from.

    `average_precision` (y, thresholds) is that of each of `classes`, those that are annotated.
    """

    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    average_precision: Float64[np.ndarray, "y thresholds"]
    segments: tuple[tuple[FoundSegment, ...], ...]
    videos: tuple[Record, ...]
    names: tuple[str, ...]

    def lines(self) -> list[str]:
        count = f"mAP on {self.num_evaluated} of {self.num_total} videos"
        return [*Result.lines(self), count + "; missing ones count as missed" * bool(self.failed)]

    def to_json(self) -> dict[str, Any]:
        return {
            **Result.to_json(self),
            "thresholds": list(self.thresholds),
            "average_precision": dict(
                zip(self.classes, self.average_precision.tolist(), strict=True)
            ),
        }

    def add_to(self, page: Page) -> None:
        """Add mAP by overlap, classes, and timelines of the first videos."""
        Result.add_to(self, page)
        page.text(f"mAP on {self.num_evaluated} of {self.num_total} videos.")
        for failed in self.failed:
            page.warning(f"Counts as missed: {failed.path}: {failed.reason}")
        page.section("Average precision of each class, by temporal IoU")
        page.table(
            ["class", *(f"{t:g}" for t in self.thresholds), "mean"],
            [
                [name, *(round(v, 3) for v in row), round(float(np.mean(row)), 3)]
                for name, row in zip(self.classes, self.average_precision.tolist(), strict=True)
            ],
        )
        page.section("Timelines")
        page.text("Blue: what was found, the darker the surer. Green: what was annotated.")
        failed = {one.path for one in self.failed}
        shown = [
            (record, found)
            for record, found in zip(self.videos, self.segments, strict=True)
            if str(record.video) not in failed
        ]
        for record, found in shown[:_MOST_TIMELINES]:
            page.chart(self._timeline(record, found))

    def _timeline(self, record: Record, found: Sequence[FoundSegment]) -> Any:
        truth = [
            Span(start_s=one.start_s, end_s=one.end_s, label=self.names[one.label])
            for one in record.segments
            if one.label is not None
        ]
        spans = [
            Span(start_s=one.start_s, end_s=one.end_s, label=one.label, score=one.score)
            for one in found[:_MOST_SPANS]
        ]
        ends = [one.end_s for one in (*truth, *spans)]
        duration_s = record.duration_s or max(ends, default=1.0)
        return timeline_chart(spans, truth, duration_s=duration_s, title=record.video.name)
