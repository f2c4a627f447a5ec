"""Top-5 mAP of short-term anticipation: which object is touched next, how, and when.

Source: `ego4d/evaluation/sta_metrics.py` of Ego4D's forecasting benchmark.
Shapes: boxes (s, 4) `xyxy`, whose sides count as `x2 - x1 + 1` pixels; nouns, verbs, times (s,).
A frame has few objects annotated and many that may be touched, so of each frame the k - 1 surest
wrong predictions for every annotated object are left out before precision is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from internvideo.errors import ConfigError

ANTICIPATION_SCORES = ("noun", "noun_verb", "noun_contact", "noun_verb_contact")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NextObjects:
    """Objects of one frame: what is touched next, how, and in how many seconds.

    Ground truth has no `scores`. Boxes are in pixels.
    """

    xyxy: NDArray[np.float64]
    nouns: NDArray[np.int64]
    verbs: NDArray[np.int64]
    contact_s: NDArray[np.float64]
    scores: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        count = len(self.nouns)
        rows = (self.verbs, self.contact_s, *([] if self.scores is None else [self.scores]))
        if np.shape(self.xyxy) != (count, 4) or any(np.shape(row) != (count,) for row in rows):
            raise ConfigError(f"{count} nouns, but other numbers of boxes, verbs, times or scores")


def anticipation_map(
    truth: Sequence[NextObjects],
    found: Sequence[NextObjects],
    *,
    top: int = 5,
    iou: float = 0.5,
    within_s: float = 0.25,
) -> dict[str, float]:
    """Mean average precision over the nouns that are annotated, by `ANTICIPATION_SCORES`.

    A prediction is right where it has the noun, and the verb and the time as far as the score's
    name says, of an object that it overlaps by more than `iou` and that no surer one took.

    Args:
        truth: Of every frame; those without an object do not count.
        found: Of the same frames.
        top: The k of the top-k criterion; 1 is the usual mAP.
        iou: Least overlap, not included.
        within_s: Most that a time may be off.

    Raises:
        ConfigError: If there are other frames, or predictions have no scores.
    """
    if len(truth) != len(found):
        raise ConfigError(f"{len(truth)} frames with objects, {len(found)} with predictions")
    hits, scores, nouns, wanted = [], [], [], []
    for true, said in zip(truth, found, strict=True):
        if said.scores is None:
            raise ConfigError("predictions have no scores; give one for each")
        if not len(true.nouns):
            continue
        wanted.append(true.nouns)
        order = said.scores.argsort()[::-1]
        right = _matches(true, said, order, iou=iou, within_s=within_s)
        wrong = ~right
        forgiven = wrong & (wrong.cumsum(0) <= (top - 1) * len(true.nouns))
        hits.append(np.where(forgiven, np.nan, right.astype(float)))
        scores.append(said.scores[order])
        nouns.append(said.nouns[order])
    if not wanted:
        return dict.fromkeys(ANTICIPATION_SCORES, float("nan"))
    all_hits, all_scores, all_nouns = map(np.concatenate, (hits, scores, nouns))
    labels, counts = np.unique(np.concatenate(wanted), return_counts=True)
    return {
        name: float(
            np.mean(
                [
                    _average_precision(
                        all_hits[all_nouns == label, place],
                        all_scores[all_nouns == label],
                        int(count),
                    )
                    for label, count in zip(labels, counts, strict=True)
                ]
            )
        )
        for place, name in enumerate(ANTICIPATION_SCORES)
    }


def _matches(
    true: NextObjects,
    said: NextObjects,
    order: NDArray[np.int64],
    *,
    iou: float,
    within_s: float,
) -> NDArray[np.bool_]:
    """Which predictions are right, (predictions in `order`, scores)."""
    overlaps = _overlaps(said.xyxy[order], true.xyxy)
    noun = (said.nouns[order][:, None] == true.nouns) & (overlaps > iou)
    verb = said.verbs[order][:, None] == true.verbs
    time = np.abs(said.contact_s[order][:, None] - true.contact_s) <= within_s
    right = np.zeros((len(order), len(ANTICIPATION_SCORES)), dtype=bool)
    for place, possible in enumerate((noun, noun & verb, noun & time, noun & verb & time)):
        free = np.ones(len(true.nouns), dtype=bool)
        for row in range(len(order)):
            allowed = np.where(possible[row] & free, overlaps[row], -1.0)
            best = int(allowed.argmax())
            if allowed[best] >= 0:
                right[row, place], free[best] = True, False
    return right


def _overlaps(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of every pair, (boxes, others)."""
    boxes, others = boxes[:, None], others[None]

    def area(xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
        return (xyxy[..., 2:] - xyxy[..., :2] + 1).clip(0).prod(-1)

    both = np.concatenate(
        [np.maximum(boxes[..., :2], others[..., :2]), np.minimum(boxes[..., 2:], others[..., 2:])],
        axis=-1,
    )
    shared = area(both)
    return shared / (area(boxes) + area(others) - shared + 1e-11)


def _average_precision(
    hits: NDArray[np.float64], scores: NDArray[np.float64], num_true: int
) -> float:
    """Area under the falling envelope of precision, of predictions that are not forgiven."""
    counted = ~np.isnan(hits)
    hits = hits[counted][scores[counted].argsort()[::-1]]
    if not len(hits):
        return 0.0
    right = hits.cumsum()
    precision = right / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((envelope * hits).sum() / num_true)
