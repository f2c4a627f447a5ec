"""Temporal detection: average precision over temporal IoU, and recall of the best predictions.

Source: `eval_detection.py` of ActivityNet; `metrics.py` of the Temporal-Action-Localization release
of InternVideo; recall at k x after `compute_topkx_recall_detection` of ActionFormer, the metric of
Ego4D moment queries. One routine serves all three, which differ in their handling of annotations.
Differs: no loop over predictions. Matching in falling order of score, each prediction to the free
segment that it overlaps most, is the only stable matching when all segments rank predictions by
score, so it is found by rounds of proposals over all videos, classes and thresholds together.
An overlap of two segments of no length is 0; the released code has NaN, and counts it as a match.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from internvideo.errors import ConfigError

# Percent of overlap, as the field reports it.
THUMOS_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
ACTIVITYNET_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
EGO4D_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)

Column = Sequence[Any] | NDArray[Any]  # of a table


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SegmentTable:
    """Segments of many videos, one a row; `score` is 1 where none is given.

    `video` and `label` are any integers that mean the same in the tables compared.
    """

    video: Int64[np.ndarray, " s"]
    start_s: Float64[np.ndarray, " s"]
    end_s: Float64[np.ndarray, " s"]
    label: Int64[np.ndarray, " s"]
    score: Float64[np.ndarray, " s"]

    @classmethod
    def of(
        cls,
        video: Column,
        start_s: Column,
        end_s: Column,
        label: Column,
        score: Column | None = None,
    ) -> SegmentTable:
        """Make a table of columns of any kind.

        Raises:
            ConfigError: If a time or score is not finite.
        """
        columns = [np.asarray(column, dtype=np.float64) for column in (start_s, end_s)]
        given = np.ones(len(columns[0])) if score is None else np.asarray(score, dtype=np.float64)
        for name, column in zip(("start_s", "end_s", "score"), (*columns, given), strict=True):
            if not np.isfinite(column).all():
                row = int(np.flatnonzero(~np.isfinite(column))[0])
                raise ConfigError(f"row {row}: {name} is {column[row]}, expected a finite number")
        return cls(
            video=np.asarray(video, dtype=np.int64),
            start_s=columns[0],
            end_s=columns[1],
            label=np.asarray(label, dtype=np.int64),
            score=given,
        )

    def __len__(self) -> int:
        return len(self.video)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> SegmentTable:
        """Keep some rows, in the order given."""
        return SegmentTable(
            video=self.video[rows],
            start_s=self.start_s[rows],
            end_s=self.end_s[rows],
            label=self.label[rows],
            score=self.score[rows],
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DetectionScores:
    """Average precision at each threshold for each class of the ground truth.

    Every mean names on how many videos it stands: `num_videos` have annotations, and
    `num_predicted` of them have a prediction.
    """

    thresholds: tuple[float, ...]
    classes: tuple[int, ...]
    average_precision: Float64[np.ndarray, "thresholds y"]
    num_videos: int
    num_predicted: int

    @property
    def map_at(self) -> dict[float, float]:
        """Mean over classes at each threshold."""
        means = self.average_precision.mean(axis=1).tolist()
        return dict(zip(self.thresholds, means, strict=True))

    @property
    def average_map(self) -> float:
        """Mean over thresholds of the mean over classes."""
        return float(self.average_precision.mean(axis=1).mean())


def detection_map(
    ground_truth: SegmentTable, predictions: SegmentTable, thresholds: Sequence[float]
) -> DetectionScores:
    """Evaluate as ActivityNet does; classes are those of the ground truth.

    A class without predictions counts with 0; predictions of other classes are ignored; a
    prediction in a video without annotations is a false positive. Predictions of equal score are
    taken in reverse order.

    Raises:
        ConfigError: If the ground truth is empty.
    """
    if not len(ground_truth):
        raise ConfigError("there is no annotated segment to evaluate on; check the split")
    classes, truth_class = np.unique(ground_truth.label, return_inverse=True)
    known = np.isin(predictions.label, classes)
    videos = np.unique(ground_truth.video)
    num_predicted = int(np.isin(videos, predictions.video).sum())
    predictions = predictions.take(known)
    predicted_class = np.searchsorted(classes, predictions.label)
    order = _by_class_and_score(predicted_class, predictions.score)
    predictions, predicted_class = predictions.take(order), predicted_class[order]

    hits = np.zeros((len(thresholds), len(predictions)), dtype=bool)
    if len(predictions):
        hits = _matched(ground_truth, truth_class, predictions, predicted_class, thresholds)
    precision = np.zeros((len(thresholds), len(classes)))
    ends = np.searchsorted(predicted_class, np.arange(len(classes) + 1))
    num_truths = np.bincount(truth_class, minlength=len(classes))
    for place, (first, last) in enumerate(itertools.pairwise(ends)):
        precision[:, place] = _area(hits[:, first:last], int(num_truths[place]))
    return DetectionScores(
        thresholds=tuple(thresholds),
        classes=tuple(classes.tolist()),
        average_precision=precision,
        num_videos=len(videos),
        num_predicted=num_predicted,
    )


def recall_at(
    ground_truth: SegmentTable,
    predictions: SegmentTable,
    thresholds: Sequence[float],
    top: Sequence[int] = (1, 5),
) -> Float64[np.ndarray, "thresholds top"]:
    """Share of segments that one of the best predictions overlaps: R@kx of Ego4D moment queries.

    For each class in each video the best k times n predictions count, n the number of its
    segments there. The share is taken within a class, then the mean over classes.
    """
    classes, truth_class = np.unique(ground_truth.label, return_inverse=True)
    predictions = predictions.take(np.isin(predictions.label, classes))
    predicted_class = np.searchsorted(classes, predictions.label)
    order = _by_class_and_score(predicted_class, predictions.score)
    predictions, predicted_class = predictions.take(order), predicted_class[order]
    recall = np.zeros((len(thresholds), len(top), len(classes)))
    if not len(predictions):
        return recall.mean(axis=2)
    found = _pairs(ground_truth, truth_class, predictions, predicted_class, min(thresholds))
    num_truths = np.bincount(found.group_of_truth)[found.group[found.predicted]]
    place = _places(found.group)[found.predicted]
    per_class = np.bincount(truth_class, minlength=len(classes))
    for column, k in enumerate(top):
        counts = place < k * num_truths
        for row, threshold in enumerate(thresholds):
            overlapped = np.unique(found.truth[counts & (found.iou >= threshold)])
            recall[row, column] = np.bincount(truth_class[overlapped], minlength=len(classes))
    return (recall / per_class).mean(axis=2)


def without_duplicates(table: SegmentTable, *, tolerance_s: float = 1e-3) -> SegmentTable:
    """Drop what repeats an earlier segment of the same video and class, to a millisecond."""
    rows = np.arange(len(table))
    order = np.lexsort((rows, table.label, table.video))
    same = (np.diff(table.video[order]) == 0) & (np.diff(table.label[order]) == 0)
    starts = np.flatnonzero(np.concatenate([[True], ~same])) if len(table) else rows
    kept = np.ones(len(table), dtype=bool)
    for group in np.split(order, starts[1:]):
        for position, row in enumerate(group[1:], 1):
            earlier = group[:position][kept[group[:position]]]
            close = np.abs(table.start_s[earlier] - table.start_s[row]) <= tolerance_s
            close &= np.abs(table.end_s[earlier] - table.end_s[row]) <= tolerance_s
            kept[row] = not close.any()
    return table.take(kept)


def as_released_labels(
    ground_truth: SegmentTable, predictions: SegmentTable
) -> tuple[SegmentTable, SegmentTable]:
    """Renumber the classes of both tables as the release of InternVideo does before it evaluates.

    Classes of the ground truth become 0, 1, ... in their order. A predicted class that the ground
    truth lacks keeps its number, and so may count as another class: a defect of the release, to
    be used only to reproduce its figures.
    """
    classes = np.unique(ground_truth.label)

    def renumbered(table: SegmentTable) -> SegmentTable:
        place = np.searchsorted(classes, table.label).clip(max=len(classes) - 1)
        known = classes[place] == table.label
        return SegmentTable(
            video=table.video,
            start_s=table.start_s,
            end_s=table.end_s,
            label=np.where(known, place, table.label),
            score=table.score,
        )

    return renumbered(ground_truth), renumbered(predictions)


def _by_class_and_score(label: NDArray[np.int64], score: NDArray[np.float64]) -> NDArray[np.intp]:
    """Order by class, then falling score; equal scores in reverse order."""
    order = score.argsort(kind="stable")[::-1]
    return order[_narrow(label[order]).argsort(kind="stable")]


def _narrow(numbers: NDArray[np.int64]) -> NDArray[np.integer]:
    """Numbers from 0 in 16 bits where they fit: NumPy then sorts them without comparing."""
    fits = numbers.max(initial=0) < 2**16
    return numbers.astype(np.uint16) if fits else numbers


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Segments and predictions of the same video and class, each such pair of which is a group.

    `truth` and `predicted` are rows of the two tables, in order of prediction; `iou` is that of the
    two. `group_of_truth` has the group of every segment, `group` that of every prediction, -1 where
    its video has no segment of its class.
    """

    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    iou: NDArray[np.float64]
    group_of_truth: NDArray[np.int64]
    group: NDArray[np.int64]


def _pairs(
    ground_truth: SegmentTable,
    truth_class: NDArray[np.int64],
    predictions: SegmentTable,
    predicted_class: NDArray[np.int64],
    least: float,
) -> _Pairs:
    """Find all pairs with an IoU of at least `least`."""
    num_classes = truth_class.max() + 1
    keys, of_truth, counts = np.unique(
        ground_truth.video * num_classes + truth_class, return_inverse=True, return_counts=True
    )
    wanted = predictions.video * num_classes + predicted_class
    group = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    group[keys[group] != wanted] = -1

    rows = np.flatnonzero(group >= 0)
    count = counts[group[rows]]
    predicted = np.repeat(rows, count)
    within = np.arange(len(predicted)) - np.repeat(np.cumsum(count) - count, count)
    order = np.argsort(of_truth, kind="stable")
    truth = order[np.repeat((np.cumsum(counts) - counts)[group[rows]], count) + within]

    start, end = predictions.start_s[predicted], predictions.end_s[predicted]
    other_start, other_end = ground_truth.start_s[truth], ground_truth.end_s[truth]
    intersection = np.minimum(end, other_end) - np.maximum(start, other_start)
    intersection = intersection.clip(min=0)
    union = (other_end - other_start) + (end - start) - intersection
    iou = np.divide(intersection, union, out=np.zeros_like(union), where=union != 0)
    close = iou >= least
    return _Pairs(truth[close], predicted[close], iou[close], of_truth, group)


def _places(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the predictions of each group in their order."""
    order = _narrow(group + 1).argsort(kind="stable")
    ordered = group[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    place = np.empty(len(group), dtype=np.int64)
    lengths = np.diff(np.append(starts, len(group)))
    place[order] = np.arange(len(group)) - np.repeat(starts, lengths)
    return place


def _matched(
    ground_truth: SegmentTable,
    truth_class: NDArray[np.int64],
    predictions: SegmentTable,
    predicted_class: NDArray[np.int64],
    thresholds: Sequence[float],
) -> NDArray[np.bool_]:
    """Which predictions are true positives at each threshold; rows in order of class and score."""
    found = _pairs(ground_truth, truth_class, predictions, predicted_class, min(thresholds))
    truth, predicted, iou = found.truth, found.predicted, found.iou
    # Who overlaps several prefers the largest overlap, of equal ones the later segment.
    repeats = predicted[1:] == predicted[:-1]
    several = np.flatnonzero(np.append(repeats, False) | np.append(False, repeats))
    order = several[np.lexsort((-truth[several], -iou[several], predicted[several]))]
    truth[several], iou[several] = truth[order], iou[order]
    hits = np.zeros((len(thresholds), len(predictions)), dtype=bool)
    for row, threshold in enumerate(thresholds):
        close = iou >= threshold
        matched = _propose(truth[close], predicted[close], len(ground_truth))
        hits[row, matched] = True
    return hits


def _propose(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], num_truths: int
) -> NDArray[np.int64]:
    """Match in rounds: each free prediction asks its next segment, which keeps the best asker.

    Pairs are in order of prediction, best first, and for each in order of its wishes.
    """
    if not len(predicted):
        return predicted
    ends = np.append(np.flatnonzero(np.diff(predicted)) + 1, len(predicted))
    free = np.unique(predicted, return_index=True)[1]  # next wish of each free prediction
    last_wish = np.zeros(predicted[-1] + 1, dtype=np.int64)
    last_wish[predicted[ends - 1]] = ends
    nobody = len(predicted)
    holder = np.full(num_truths, nobody)  # pair by which each segment is held
    while len(free):
        rivals = holder.copy()
        # Pairs of better predictions come first, so that the least pair wins.
        np.minimum.at(holder, truth[free], free)
        displaced = rivals[(rivals != holder) & (rivals != nobody)]
        rejected = np.concatenate([free[holder[truth[free]] != free], displaced])
        free = rejected + 1
        free = free[free < last_wish[predicted[rejected]]]
    return predicted[holder[holder != nobody]]


def _area(hits: NDArray[np.bool_], num_truths: int) -> NDArray[np.float64]:
    """Area under the precision envelope over recall, for each threshold."""
    if not hits.shape[1]:
        return np.zeros(len(hits))
    found = np.cumsum(hits, axis=1)
    precision = found / np.arange(1, hits.shape[1] + 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return (envelope * hits).sum(axis=1) / num_truths
