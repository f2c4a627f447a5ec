"""Moment retrieval and highlight detection, as QVHighlights scores them.

Source: Lei et al. 2021, "QVHighlights" (arXiv:2107.09609), section 3.3 and its `standalone_eval`.
Shapes: windows (s, 2) as [start_s, end_s]; scored windows (s, 3) with the score last; saliency of
clips of `clip_s` seconds (c, 3), one column an annotator, 0 to 4.
All scores are shares, not percentages; those of the released script are rounded besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from internvideo.errors import ConfigError

Windows = NDArray[np.float64]

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
# Lengths of ground truth, in seconds: above the first, up to the second.
LENGTHS = {"short": (0.0, 10.0), "middle": (10.0, 30.0), "long": (30.0, 150.0), "full": None}
SALIENCY_LEVELS = {"Fair": 2, "Good": 3, "VeryGood": 4}


def moment_retrieval_metrics(
    truth: Mapping[int | str, Windows],
    predictions: Mapping[int | str, Windows],
    *,
    thresholds: Sequence[float] = IOU_THRESHOLDS,
    max_predictions: int = 10,
) -> dict[str, float]:
    """Score ranked windows of every query.

    Args:
        truth: Windows of each query, one or more.
        predictions: Windows with scores of each query, the best first; further queries are not
            looked at.
        thresholds: Of temporal IoU.
        max_predictions: How many of a query's windows count for mAP.

    Returns:
        For `short`, `middle`, `long` (by the length of the ground truth) and `full`:
        `full/mAP` and `full/mAP@0.5`, `full/R1@0.5`, ...; NaN for lengths that no query has.

    Raises:
        ConfigError: A query has no prediction, or windows of another shape.
    """
    for query, windows in truth.items():
        if query not in predictions:
            raise ConfigError(f"query {query}: has no prediction; give windows for every query")
        _check(query, windows, 2)
        _check(query, predictions[query], 3)
    scores = {}
    for name, lengths in LENGTHS.items():
        chosen = {query: _of_length(windows, lengths) for query, windows in truth.items()}
        chosen = {query: windows for query, windows in chosen.items() if len(windows)}
        top = [
            temporal_iou(predictions[query][:1, :2], windows).max()
            if len(predictions[query])
            else 0.0
            for query, windows in chosen.items()
        ]
        precisions = np.array(
            [
                _average_precisions(windows, predictions[query][:max_predictions], thresholds)
                for query, windows in chosen.items()
            ]
        ).reshape(-1, len(thresholds))
        means = precisions.mean(0) if len(precisions) else np.full(len(thresholds), np.nan)
        scores[f"{name}/mAP"] = float(means.mean())
        for threshold, mean in zip(thresholds, means.tolist(), strict=True):
            scores[f"{name}/mAP@{threshold:g}"] = mean
        for threshold in thresholds:
            hits = np.array(top) >= threshold
            scores[f"{name}/R1@{threshold:g}"] = float(hits.mean()) if len(hits) else float("nan")
    return scores


def query_recalls(
    truth: Mapping[int | str, Windows],
    predictions: Mapping[int | str, Windows],
    *,
    thresholds: Sequence[float] = (0.3, 0.5),
    depths: Sequence[int] = (1, 5),
) -> dict[str, float]:
    """Share of queries of which one of the best windows overlaps enough, as Ego4D's NLQ scores.

    Source: Grauman et al. 2022, "Ego4D" (arXiv:2110.07058), natural language queries.

    Args:
        truth, predictions: As for `moment_retrieval_metrics`; a query without windows is missed.
        thresholds: Of temporal IoU.
        depths: How many of a query's windows are looked at.

    Returns:
        `R1@0.3`, `R5@0.5` and so on, and `mean_r1`, the mean of R1 over the thresholds.
    """
    scores = {}
    for depth in depths:
        best = np.array(
            [
                temporal_iou(predictions[query][:depth, :2], windows).max(initial=0.0)
                for query, windows in truth.items()
            ]
        )
        scores |= {f"R{depth}@{limit:g}": float((best >= limit).mean()) for limit in thresholds}
    return {**scores, "mean_r1": float(np.mean([scores[f"R1@{t:g}"] for t in thresholds]))}


def highlight_metrics(
    truth: Mapping[int | str, NDArray[np.float64]],
    predictions: Mapping[int | str, Sequence[float]],
) -> dict[str, float]:
    """Score saliency: `Fair/mAP`, `Fair/HIT@1` and so on for clips rated so high or higher.

    Args:
        truth: Ratings (c, 3) of each query's clips, 0 where a clip is not relevant.
        predictions: A score for each clip; missing ones count as 0, further ones do not count.

    Raises:
        ConfigError: A query has no prediction.
    """
    scores = {}
    for name, least in SALIENCY_LEVELS.items():
        precisions, hits = [], []
        for query, ratings in truth.items():
            if query not in predictions:
                raise ConfigError(f"query {query}: has no prediction of saliency")
            given = np.asarray(predictions[query], dtype=np.float64)
            best = int(given.argmax()) if len(given) else -1
            salient = ratings >= least
            hits.append(bool(0 <= best < len(salient) and salient[best].any()))
            clipped = np.zeros(len(salient))
            clipped[: len(given)] = given[: len(salient)]
            precisions += [_ranking_precision(column, clipped) for column in salient.T]
        scores[f"{name}/mAP"] = float(np.mean(precisions))
        scores[f"{name}/HIT@1"] = float(np.mean(hits))
    return scores


def saliency_of_clips(
    duration_s: float,
    clip_ids: Sequence[int],
    ratings: ArrayLike,
    *,
    clip_s: float = 2.0,
) -> NDArray[np.float64]:
    """Ratings (c, 3) of all clips of a video, from those of the relevant clips."""
    whole = np.zeros((int(duration_s / clip_s), 3))
    whole[list(clip_ids)] = np.asarray(ratings, dtype=np.float64)
    return whole


def temporal_iou(first: Windows, second: Windows) -> NDArray[np.float64]:
    """Overlap over union (a, b) of all pairs of windows (a, 2) and (b, 2); 0 of no length."""
    starts = np.maximum(first[:, None, 0], second[None, :, 0])
    ends = np.minimum(first[:, None, 1], second[None, :, 1])
    shared = (ends - starts).clip(0)
    union = (first[:, 1] - first[:, 0])[:, None] + (second[:, 1] - second[:, 0])[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _check(query: int | str, windows: Windows, num_columns: int) -> None:
    if windows.ndim != 2 or windows.shape[1] != num_columns or not np.isfinite(windows).all():
        raise ConfigError(
            f"query {query}: windows of shape {windows.shape}; expected (s, {num_columns}), finite"
        )


def _of_length(windows: Windows, lengths: tuple[float, float] | None) -> Windows:
    if lengths is None:
        return windows
    extent = windows[:, 1] - windows[:, 0]
    return windows[(lengths[0] < extent) & (extent <= lengths[1])]


def _average_precisions(
    truth: Windows, scored: Windows, thresholds: Sequence[float]
) -> list[float]:
    """Average precision of one query; a window takes the best ground truth that is still free."""
    scored = scored[np.argsort(-scored[:, 2], kind="stable")]
    overlaps = temporal_iou(scored[:, :2], truth)
    found = []
    for threshold in thresholds:
        free = np.ones(len(truth), bool)
        hits = np.zeros(len(scored), bool)
        for i, overlap in enumerate(overlaps):
            candidates = np.flatnonzero(free & (overlap >= threshold))
            if len(candidates):
                free[candidates[overlap[candidates].argmax()]] = False
                hits[i] = True
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        found.append(float(envelope[hits].sum() / len(truth)))
    return found


def _ranking_precision(salient: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Mean of the precision envelope at every threshold that finds more; equal scores are one."""
    if salient.all() or not salient.any():
        return float(salient.all())
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    found = np.cumsum(salient[order])[ends]
    precision = np.maximum.accumulate((found / (ends + 1))[::-1])[::-1]
    return float(precision[np.diff(found, prepend=0) > 0].mean())
