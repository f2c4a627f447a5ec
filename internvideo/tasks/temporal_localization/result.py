"""What temporal localization measured, and its page: mAP by overlap and class, timelines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from internvideo.metrics.temporal_localization import (
    DetectionScores,
    SegmentTable,
    detection_map,
    recall_at,
)
from internvideo.models.actionformer import SegmentPredictions
from internvideo.report import Page
from internvideo.tasks.shared.task import Result
from internvideo.tasks.temporal_localization.segments import FoundSegment
from internvideo.tasks.temporal_localization.timelines import add_timeline, truth_of
from internvideo.values import Record

_MOST_TIMELINES = 8
_RECALL_THRESHOLDS, _RECALL_TOP = (0.3, 0.5), (1, 5)


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
    return detection_map(*_tables(found, records, place), thresholds)


def named_recall(
    found: Sequence[SegmentPredictions | None], records: Sequence[Record], place: dict[int, int]
) -> dict[str, float]:
    """Recall of the best predictions as Ego4D moment queries measure it, by its name."""
    recall = recall_at(*_tables(found, records, place), _RECALL_THRESHOLDS, _RECALL_TOP)
    return {
        f"recall/{top}x/{threshold:g}": float(recall[row, column])
        for row, threshold in enumerate(_RECALL_THRESHOLDS)
        for column, top in enumerate(_RECALL_TOP)
    }


def _tables(
    found: Sequence[SegmentPredictions | None], records: Sequence[Record], place: dict[int, int]
) -> tuple[SegmentTable, SegmentTable]:
    """Annotated and detected segments of all videos."""
    truth = [
        (video, one.start_s, one.end_s, place[one.label])
        for video, record in enumerate(records)
        for one in record.segments
        if one.label is not None
    ]
    kept = [(video, one) for video, one in enumerate(found) if one is not None]
    columns = np.array(truth, dtype=np.float64).reshape(-1, 4).T
    segments = np.concatenate([one.segments.numpy() for _, one in kept] or [np.zeros((0, 2))])
    return (
        SegmentTable.of(columns[0], columns[1], columns[2], columns[3]),
        SegmentTable.of(
            np.repeat([video for video, _ in kept], [len(one) for _, one in kept]),
            segments[:, 0],
            segments[:, 1],
            np.concatenate([one.labels.numpy() for _, one in kept] or [np.zeros(0)]),
            np.concatenate([one.scores.numpy() for _, one in kept] or [np.zeros(0)]),
        ),
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
    listed: str = ""

    @property
    def counted(self) -> str:
        """On which and how many videos the scores are."""
        of = f" of {self.listed}" if self.listed else ""
        missed = "; missing ones count as missed" if self.failed else ""
        return f"mAP on {self.num_evaluated} of {self.num_total} videos{of}{missed}"

    def lines(self) -> list[str]:
        return [*Result.lines(self), self.counted]

    def to_json(self) -> dict[str, Any]:
        return {
            **Result.to_json(self),
            "listed": self.listed,
            "thresholds": list(self.thresholds),
            "average_precision": dict(
                zip(self.classes, self.average_precision.tolist(), strict=True)
            ),
        }

    def add_to(self, page: Page) -> None:
        """Add mAP by overlap, classes, and timelines of the first videos."""
        Result.add_to(self, page)
        page.text(f"{self.counted}.")
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
            truth = truth_of(record, self.names)
            ends = [one.end_s for one in (*truth, *found)]
            duration_s = record.duration_s or max(ends, default=1.0)
            add_timeline(page, record.video, found, duration_s=duration_s, truth=truth)
