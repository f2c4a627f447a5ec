"""Frame mAP: laws, bad input, and equality with the obvious loops over frames and classes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from internvideo.errors import ConfigError
from internvideo.metrics import (
    BoxRows,
    best_rows_of_frames,
    frame_average_precision,
    mean_over_classes,
    paired_iou,
)


def _random_rows(seed: int, count: int, *, scored: bool) -> BoxRows:
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 0.6, (count, 2))
    return BoxRows(
        frames=[("v", int(i)) for i in random.integers(0, 12, count)],
        xyxy=np.concatenate([corner, corner + random.uniform(0.2, 0.4, (count, 2))], axis=1),
        classes=random.integers(1, 5, count),
        # Few values, so that scores tie.
        scores=random.integers(1, 30, count) / 30 if scored else None,
    )


def _obvious(truth: BoxRows, detections: BoxRows, label: int, iou: float) -> float:
    frames = list(dict.fromkeys(detections.frames))
    hits: list[tuple[float, bool]] = []
    for frame in frames:
        boxes = [
            b
            for f, b, c in zip(truth.frames, truth.xyxy, truth.classes, strict=True)
            if f == frame and c == label
        ]
        rows = [
            (s, b)
            for f, b, c, s in zip(
                detections.frames,
                detections.xyxy,
                detections.classes,
                detections.scores,
                strict=True,
            )
            if f == frame and c == label
        ]
        rows = [rows[i] for i in np.argsort([s for s, _ in rows], kind="stable")[::-1]]
        taken = set()
        for score, box in rows:
            overlaps = [float(paired_iou(box[None], other[None])[0]) for other in boxes]
            best = int(np.argmax(overlaps)) if overlaps else -1
            is_hit = best >= 0 and overlaps[best] >= iou and best not in taken
            taken |= {best} if is_hit else set()
            hits.append((score, is_hit))
    num_truth = int((truth.classes == label).sum())
    if not num_truth:
        return math.nan
    order = np.argsort([s for s, _ in hits], kind="stable")[::-1]
    right = np.array([hits[i][1] for i in order])
    recall = np.cumsum(right) / num_truth
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    area, before = 0.0, 0.0
    for i in range(len(right)):
        area += (recall[i] - before) * precision[i:].max()
        before = recall[i]
    return area


@pytest.mark.parametrize("seed", range(6))
def test_it_equals_the_obvious_loops(seed):
    truth = _random_rows(seed, 60, scored=False)
    detections = _random_rows(seed + 100, 300, scored=True)

    found = frame_average_precision(truth, detections, [1, 2, 3, 9], iou=0.3)

    # Ties are broken by frames, in the order in which rows of scored classes name them.
    scored = detections.keep(np.isin(detections.classes, [1, 2, 3, 9]))
    for label in (1, 2, 3):
        assert found[label] == pytest.approx(_obvious(truth, scored, label, 0.3))
    assert math.isnan(found[9])


def test_perfect_boxes_score_one_and_none_score_zero():
    truth = _random_rows(0, 20, scored=False)
    perfect = BoxRows(
        frames=truth.frames, xyxy=truth.xyxy, classes=truth.classes, scores=np.ones(20)
    )

    assert mean_over_classes(frame_average_precision(truth, perfect, range(1, 5))) == 1
    nothing = perfect.keep(np.zeros(20, bool))
    assert set(frame_average_precision(truth, nothing, [1, 2]).values()) == {0.0}


def test_excluded_frames_count_on_neither_side():
    truth, detections = _random_rows(1, 40, scored=False), _random_rows(2, 90, scored=True)
    excluded = {("v", 3), ("v", 7)}
    parts = [r.keep(np.array([f not in excluded for f in r.frames])) for r in (truth, detections)]

    assert frame_average_precision(truth, detections, [1, 2], excluded=excluded) == (
        frame_average_precision(*parts, [1, 2])
    )


def test_of_a_frame_only_the_best_rows_are_kept():
    rows = _random_rows(3, 200, scored=True)

    kept = best_rows_of_frames(rows, 5)

    for frame in set(rows.frames):
        scores = sorted(s for f, s in zip(rows.frames, rows.scores, strict=True) if f == frame)
        own = sorted(s for f, s in zip(kept.frames, kept.scores, strict=True) if f == frame)
        assert own == scores[-5:]


def test_boxes_that_cannot_be_scored_are_refused_with_their_frame():
    with pytest.raises(ConfigError, match=r"boxes of frame \('v', 2\) are not finite"):
        BoxRows(frames=[("v", 2)], xyxy=np.array([[0, 0, np.nan, 1]]), classes=np.array([1]))
    with pytest.raises(ConfigError, match="1 frames, but rows of shapes"):
        BoxRows(frames=["a"], xyxy=np.zeros((2, 4)), classes=np.array([1]))
    truth = _random_rows(0, 3, scored=False)
    with pytest.raises(ConfigError, match="have no scores"):
        frame_average_precision(truth, truth, [1])
