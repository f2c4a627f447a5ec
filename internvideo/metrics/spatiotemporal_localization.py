"""Frame mAP at a spatial IoU, as AVA and AVA-Kinetics are scored.

Source: AVA's official evaluation and its copy in `alphaction/.../evaluation/ava` of the InternVideo
release; VOC's average precision with the area at every recall step.
Shapes: rows of boxes (s, 4) as `xyxy` in fractions of the frame; one row has one class.
A detection counts only for the ground truth of its class and frame that it overlaps most, at the
threshold or above, and only if no higher-scored one took it; there is no second choice.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from internvideo.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BoxRows:
    """Boxes of many frames, one row for each class of a box.

    `frames` are keys such as ("vid0", "0902"). Ground truth has no `scores`.
    """

    frames: Sequence[Hashable]
    xyxy: NDArray[np.float64]
    classes: NDArray[np.int64]
    scores: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        count = len(self.frames)
        shapes = [np.shape(self.xyxy), np.shape(self.classes)]
        shapes += [] if self.scores is None else [np.shape(self.scores)]
        if shapes[0] != (count, 4) or any(shape != (count,) for shape in shapes[1:]):
            raise ConfigError(f"{count} frames, but rows of shapes {shapes}; give one row each")
        values = [self.xyxy, *([] if self.scores is None else [self.scores])]
        for i, name in enumerate(("boxes", "scores")[: len(values)]):
            odd = ~np.isfinite(values[i]).all(axis=tuple(range(1, values[i].ndim)))
            if odd.any():
                raise ConfigError(
                    f"{name} of frame {self.frames[int(odd.argmax())]} are not finite"
                )

    def keep(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> BoxRows:
        """Keep some rows, by number or flag, in that order."""
        numbers = np.arange(len(self.frames))[rows]
        return BoxRows(
            frames=[self.frames[i] for i in numbers.tolist()],
            xyxy=self.xyxy[rows],
            classes=self.classes[rows],
            scores=None if self.scores is None else self.scores[rows],
        )


def frame_average_precision(
    truth: BoxRows,
    detections: BoxRows,
    classes: Iterable[int],
    *,
    iou: float = 0.5,
    excluded: Iterable[Hashable] = (),
    by_score: bool = True,
) -> dict[int, float]:
    """Average precision of every class; NaN without ground truth, 0 without detections.

    Args:
        truth: Rows of other classes than `classes` are left out, here and of the detections.
        detections: Rows with scores; those on frames without ground truth are false positives.
        classes: What is scored (60 of AVA's 80 classes).
        iou: Least overlap of a match.
        excluded: Frames that count on neither side.
        by_score: Whether the best-scored detection of a frame is matched first, as officially; one
            copy of the evaluation in use matches in the order of the file.

    Raises:
        ConfigError: Detections have no scores.
    """
    if detections.scores is None:
        raise ConfigError("detections have no scores; give one for each row")
    classes, excluded = tuple(dict.fromkeys(classes)), set(excluded)
    truth, detections = (_counted(rows, classes, excluded) for rows in (truth, detections))
    assert detections.scores is not None
    groups: dict[tuple[Hashable, int], int] = {}
    of_truth, of_detection = (_group(rows, groups) for rows in (truth, detections))
    # Matching order: inside of a frame and class by score, where asked.
    order = np.lexsort(
        (_falling(detections.scores) if by_score else np.arange(len(of_detection)), of_detection)
    )
    matched = np.zeros(len(of_detection), bool)
    best = _best_truth(truth.xyxy, of_truth, detections.xyxy, of_detection, len(groups), iou)
    found = order[best[order] >= 0]
    _, first = np.unique(best[found], return_index=True)
    matched[found[first]] = True
    # Frames count in the order in which detections name them first, as ties of scores show.
    place = np.empty_like(order)
    place[_by_first_frame(detections.frames, order)] = np.arange(len(order))
    return {
        label: _average_precision(
            detections.scores[chosen], matched[chosen], int((truth.classes == label).sum())
        )
        for label in classes
        for chosen in [_sorted_by(np.flatnonzero(detections.classes == label), place)]
    }


def mean_over_classes(average_precision: dict[int, float]) -> float:
    """Mean over the classes that have ground truth; NaN where none has."""
    values = [value for value in average_precision.values() if not np.isnan(value)]
    return float(np.mean(values)) if values else float("nan")


def best_rows_of_frames(detections: BoxRows, count: int = 50) -> BoxRows:
    """Keep the `count` best rows of each frame over all classes, as ActivityNet's AVA server."""
    assert detections.scores is not None
    keys: dict[Hashable, int] = {}
    frame = np.array([keys.setdefault(key, len(keys)) for key in detections.frames], dtype=np.int64)
    order = np.lexsort((_falling(detections.scores), frame))
    start = np.searchsorted(frame[order], np.arange(len(keys)))
    return detections.keep(order[np.arange(len(order)) - start[frame[order]] < count])


def _counted(rows: BoxRows, classes: tuple[int, ...], excluded: set[Hashable]) -> BoxRows:
    kept = np.isin(rows.classes, classes)
    kept &= np.array([frame not in excluded for frame in rows.frames], bool)
    return rows.keep(kept)


def _group(rows: BoxRows, groups: dict[tuple[Hashable, int], int]) -> NDArray[np.int64]:
    """Number the pairs of frame and class."""
    keys = zip(rows.frames, rows.classes.tolist(), strict=True)
    return np.array([groups.setdefault(key, len(groups)) for key in keys], dtype=np.int64)


def _best_truth(
    truth: NDArray[np.float64],
    of_truth: NDArray[np.int64],
    boxes: NDArray[np.float64],
    of_box: NDArray[np.int64],
    num_groups: int,
    least: float,
) -> NDArray[np.int64]:
    """Row of the ground truth of the same group that each box overlaps most; -1 below `least`."""
    by_group = np.argsort(of_truth, kind="stable")
    counts = np.bincount(of_truth, minlength=num_groups)
    starts = np.cumsum(counts) - counts
    # All pairs of a box and a ground truth of its group, box by box.
    num_pairs = counts[of_box]
    box = np.repeat(np.arange(len(boxes)), num_pairs)
    within = np.arange(len(box)) - np.repeat(np.cumsum(num_pairs) - num_pairs, num_pairs)
    row = by_group[starts[of_box[box]] + within]
    overlap = paired_iou(boxes[box], truth[row])
    best = np.full(len(boxes), -1)
    # The last that is written wins: the largest overlap and, of equal ones, the first row.
    order = np.lexsort((-within, overlap))
    kept = order[overlap[order] >= least]
    best[box[kept]] = row[kept]
    return best


def paired_iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Overlap of rows of two box lists (s, 4) over their union; 0 for boxes of no area."""
    size = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    shared = size.clip(0).prod(1)
    union = (first[:, 2:] - first[:, :2]).prod(1) + (second[:, 2:] - second[:, :2]).prod(1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _falling(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rank of each score, the highest first; of equal ones the later, as a reversed sort gives."""
    ranks = np.empty(len(scores), np.int64)
    ranks[np.argsort(scores, kind="stable")[::-1]] = np.arange(len(scores))
    return ranks


def _by_first_frame(frames: Sequence[Hashable], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows frame by frame, in the order of frames' first rows, inside of one as in `order`."""
    keys: dict[Hashable, int] = {}
    frame = np.array([keys.setdefault(key, len(keys)) for key in frames], dtype=np.int64)
    return order[np.argsort(frame[order], kind="stable")]


def _sorted_by(rows: NDArray[np.int64], place: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows[np.argsort(place[rows])]


def _average_precision(
    scores: NDArray[np.float64], matched: NDArray[np.bool_], num_truth: int
) -> float:
    """Area under the precision envelope over recall (VOC 2010 and later)."""
    if not num_truth:
        return float("nan")
    hits = matched[np.argsort(scores, kind="stable")[::-1]]
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[hits].sum() / num_truth)
