"""Scores of a video's windows become moments: neighbours merged, start and end refined.

At each time the score is the mean of the windows that hold it. A moment is the time around a peak
in which the score is above the middle between the peak and the background of the query; a boundary
lies where the score crosses that, between the middles of two pieces, or at a cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

# Of the way from the background to the peak.
_LEVEL = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A moment inside one video; `peak` is the place of its best window among those given."""

    start_s: float
    end_s: float
    score: float
    peak: int


def find_spans(
    start_s: Float[np.ndarray, " n"],
    end_s: Float[np.ndarray, " n"],
    shot: Int64[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    *,
    background: float,
    most: int = 3,
) -> list[Span]:
    """Moments of a video, best first, which share no time.

    Args:
        start_s: Of the windows, rising.
        end_s: Of the windows.
        shot: Number of the shot of each; no moment grows beyond a cut unless scores stay high.
        scores: Of the windows.
        background: Score of a window that has nothing to do with the query.
        most: How many moments at most.
    """
    edges = np.unique(np.concatenate([start_s, end_s]))
    begins, ends = np.searchsorted(edges, start_s), np.searchsorted(edges, end_s)
    curve = _mean_scores(begins, ends, scores, len(edges) - 1)
    cuts = set(np.round(start_s[np.flatnonzero(np.diff(shot, prepend=shot[:1]))], 6).tolist())
    free = np.ones(len(curve), bool)
    spans: list[Span] = []
    for peak in np.argsort(-scores, kind="stable"):
        inside = slice(int(begins[peak]), int(ends[peak]))
        if len(spans) == most:
            break
        if not free[inside].all():
            continue
        level = background + _LEVEL * (max(curve[inside].max(), background) - background)
        top = inside.start + int(np.argmax(curve[inside]))
        first = last = top
        while first > 0 and free[first - 1] and curve[first - 1] >= level:
            first -= 1
        while last + 1 < len(curve) and free[last + 1] and curve[last + 1] >= level:
            last += 1
        begin, end = float(edges[first]), float(edges[last + 1])
        if first < last:
            begin = _crossing(edges, curve, free, first, -1, level, cuts)
            end = _crossing(edges, curve, free, last, +1, level, cuts)
        span = Span(start_s=begin, end_s=end, score=float(scores[peak]), peak=int(peak))
        free[first : last + 1] = False
        spans.append(span)
    return spans


def _mean_scores(
    begins: Int64[np.ndarray, " n"],
    ends: Int64[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    num_pieces: int,
) -> Float[np.ndarray, " p"]:
    """Mean of the windows that hold each piece of time, -inf where none does.

    Windows hold the pieces from `begins` to `ends`, so sums over them are running ones of what
    begins and ends at each.
    """
    counts, sums = np.zeros(num_pieces + 1), np.zeros(num_pieces + 1)
    for places, sign in ((begins, 1.0), (ends, -1.0)):
        np.add.at(counts, places, sign)
        np.add.at(sums, places, sign * scores)
    counts, sums = counts.cumsum()[:-1], sums.cumsum()[:-1]
    return np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf)


def _crossing(
    edges: np.ndarray,
    curve: np.ndarray,
    free: np.ndarray,
    piece: int,
    step: int,
    level: float,
    cuts: set[float],
) -> float:
    """Where the score leaves the level beyond a piece of time that is not the only one."""
    edge = float(edges[piece] if step < 0 else edges[piece + 1])
    beyond = piece + step
    is_last = not 0 <= beyond < len(curve) or not free[beyond] or not np.isfinite(curve[beyond])
    if is_last or round(edge, 6) in cuts or curve[piece] <= level:
        return edge
    here = (edges[piece] + edges[piece + 1]) / 2
    there = (edges[beyond] + edges[beyond + 1]) / 2
    share = (curve[piece] - level) / (curve[piece] - curve[beyond])
    return float(here + min(1.0, share) * (there - here))
