"""One-dimensional non-maximum suppression, segment voting, fusion with video-level scores.

Source: `nms.py`, `nms_cpu.cpp`, `postprocessing.py` of the Temporal-Action-Localization release of
InternVideo; soft-NMS after Bodla et al. 2017 (arXiv:1704.04503).
Shapes: segments (s, 2) as (start, end), scores (s), labels (s); the best come first.
Differs: each step works on all remaining segments at once. The order of equal scores, which the
released loop decides by swapping entries, is reproduced.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from numpy.typing import NDArray
from torch import Tensor

from internvideo.errors import ConfigError

# Added to every length before overlaps are computed.
_LENGTH_EPS = np.float32(1e-6)

Suppressed = tuple[Float[Tensor, "k 2"], Float[Tensor, " k"], Int64[Tensor, " k"]]


@dataclass(frozen=True, kw_only=True, slots=True)
class SuppressionConfig:
    """How overlapping segments are thinned out.

    `hard` drops what overlaps a better segment by `iou_threshold`; `linear` multiplies its score by
    1 - IoU instead, `gaussian` multiplies every score by exp(-IoU² / sigma). What falls below
    `min_score` is dropped. `per_class` suppresses within a class only; without it segments of all
    classes compete, and those kept are refined by voting with an IoU of `voting_threshold` (0: no
    voting), weighted by score, or with `vote_by_overlap` by score times IoU. `vote_per_class` also
    refines those kept within a class, by the segments of their class; the released code does not.
    """

    method: Literal["hard", "linear", "gaussian", "none"] = "gaussian"
    per_class: bool = True
    iou_threshold: float = 0.1
    sigma: float = 0.5
    min_score: float = 0.001
    max_segments: int = 200
    voting_threshold: float = 0.0
    vote_by_overlap: bool = False
    vote_per_class: bool = False

    def __post_init__(self) -> None:
        if self.max_segments < 1:
            raise ConfigError(f"max_segments is {self.max_segments}, expected 1 or more")
        if self.method == "gaussian" and self.sigma <= 0:
            raise ConfigError(f"sigma is {self.sigma}, expected a positive number")


# Settings by name. "opentad" is that of ActionFormer on THUMOS14 there, which is reported to raise
# 66.8 to 68.4; its voting has no effect where classes are suppressed apart. "voting" adds it.
_LATER = SuppressionConfig(sigma=0.7, max_segments=2000, voting_threshold=0.7)
SUPPRESSIONS: dict[str, SuppressionConfig] = {
    "opentad": _LATER,
    "voting": replace(_LATER, vote_per_class=True),
}


def suppress(
    segments: Float[Tensor, "s 2"],
    scores: Float[Tensor, " s"],
    labels: Int64[Tensor, " s"],
    config: SuppressionConfig,
) -> Suppressed:
    """Keep the best segments of one video, at most `max_segments`, with their decayed scores."""
    if config.method == "none" or not len(segments):
        return segments, scores, labels
    segments, scores, labels = segments.cpu().float(), scores.cpu().float(), labels.cpu()
    if config.per_class:
        places = [(labels == label).nonzero()[:, 0] for label in labels.unique()]
    else:
        places = [torch.arange(len(labels))]
    with_votes = config.voting_threshold > 0 and (config.vote_per_class or not config.per_class)
    kept, decayed, refined = [], [], []
    for place in places:
        chosen, new_scores = _suppress_one(segments[place], scores[place], config)
        kept.append(place[chosen])
        decayed.append(new_scores)
        refined.append(segments[place[chosen]])
        if with_votes:
            refined[-1] = vote(
                *(refined[-1], segments[place], scores[place]),
                iou_threshold=config.voting_threshold,
                by_overlap=config.vote_by_overlap,
            )
    index, new_scores, new_segments = torch.cat(kept), torch.cat(decayed), torch.cat(refined)
    order = new_scores.sort(descending=True).indices[: config.max_segments]
    return new_segments[order], new_scores[order], labels[index[order]]


def vote(
    kept: Float[Tensor, "k 2"],
    segments: Float[Tensor, "s 2"],
    scores: Float[Tensor, " s"],
    *,
    iou_threshold: float,
    by_overlap: bool = False,
) -> Float[Tensor, "k 2"]:
    """Replace each kept segment by the mean of those that overlap it, weighted by their scores.

    Args:
        kept: Segments after suppression.
        segments: All segments before it.
        scores: Of `segments`, before any decay.
        iou_threshold: Least overlap of a voter.
        by_overlap: Weight by score times IoU, as ActionFormer's own repository does; the release
            of InternVideo weights by the score alone.
    """
    intersection = torch.minimum(kept[:, None, 1], segments[:, 1]) - torch.maximum(
        kept[:, None, 0], segments[:, 0]
    )
    intersection = intersection.clamp(min=0)
    lengths = kept[:, None, 1] - kept[:, None, 0] + (segments[:, 1] - segments[:, 0])
    iou = intersection / (lengths - intersection)
    weights = (iou >= iou_threshold).to(scores.dtype) * scores
    if by_overlap:
        weights = weights * iou.nan_to_num()
    total = weights.sum(1, keepdim=True)
    voted = (weights / total) @ segments
    # A segment of no length overlaps nothing, not even itself.
    return torch.where(total > 0, voted, kept)


def fuse_video_scores(
    scores: Float64[np.ndarray, " s"],
    class_scores: Float64[np.ndarray, " y"],
    *,
    num_classes: int = 2,
    max_segments: int = 200,
) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " k"], Float64[np.ndarray, " k"]]:
    """Give class-agnostic segments the best classes of their whole video.

    Every segment is repeated for each class with score sqrt(segment score x class score); class
    scores outside [0, 1] go through a softmax first.

    Args:
        scores: Of the segments.
        class_scores: Of the video, one for each class.
        num_classes: How many of the best classes.
        max_segments: How many of the best segments.

    Returns:
        For each new segment, class by class: the index of the old one, its label, its score.
    """
    if class_scores.max() > 1 or class_scores.min() < 0:
        exponentials = np.exp(class_scores - class_scores.max())
        class_scores = exponentials / exponentials.sum()
    best_classes = np.argsort(class_scores)[::-1][:num_classes]
    best = np.argsort(scores)[::-1][:max_segments]
    fused = np.sqrt(class_scores[best_classes][:, None] * scores[best][None])
    index = np.tile(best, len(best_classes))
    return index, np.repeat(best_classes, len(best)), fused.ravel()


def _suppress_one(
    segments: Float[Tensor, "s 2"], scores: Float[Tensor, " s"], config: SuppressionConfig
) -> tuple[Int64[Tensor, " k"], Float[Tensor, " k"]]:
    """Index and score of the segments kept, in the order in which they were picked."""
    if config.method == "hard":
        index = _hard(segments, scores, config)
        return index, scores[index]
    return _soft(segments.numpy(), scores.numpy(), config)


def _hard(
    segments: Float[Tensor, "s 2"], scores: Float[Tensor, " s"], config: SuppressionConfig
) -> Int64[Tensor, " k"]:
    eligible = torch.arange(len(scores))
    if config.min_score > 0:
        eligible = (scores > config.min_score).nonzero()[:, 0]
    order = eligible[scores[eligible].sort(descending=True).indices]
    start, end = np.ascontiguousarray(segments[order].numpy().T)
    length = end - start + _LENGTH_EPS
    left = np.arange(len(order))
    kept: list[int] = []
    while len(left) and len(kept) < config.max_segments:
        first, left = left[0], left[1:]
        kept.append(int(first))
        iou = _overlap(
            start[first], end[first], length[first], start[left], end[left], length[left]
        )
        left = left[~(iou >= np.float32(config.iou_threshold))]
    return order[kept]


def _soft(
    segments: NDArray[np.float32], scores: NDArray[np.float32], config: SuppressionConfig
) -> tuple[Int64[Tensor, " k"], Float[Tensor, " k"]]:
    """Pick the best again and again, and decay the scores of what it overlaps.

    Rows: start, end, length, score and index of what is left, from column `first` on.
    """
    start, end = segments.T
    rows = np.stack([start, end, end - start + _LENGTH_EPS, scores])
    index = np.arange(len(scores))
    sigma, threshold = np.float32(config.sigma), np.float32(config.iou_threshold)
    min_score = np.float32(config.min_score)
    kept, decayed = [], []
    while rows.shape[1] and len(kept) < config.max_segments:
        best = int(rows[3].argmax())
        kept.append(index[best])
        decayed.append(rows[3, best])
        picked = rows[:, best].copy()
        # The first entry moves to where the picked one was.
        rows[:, best], index[best] = rows[:, 0], index[0]
        rows, index = rows[:, 1:], index[1:]
        iou = _overlap(*picked[:3], *rows[:3])
        if config.method == "gaussian":
            rows[3] *= np.exp(-(iou * iou) / sigma)
        else:
            rows[3] *= np.where(iou >= threshold, 1 - iou, np.float32(1))
        rows, index = _without(rows[3] < min_score, rows, index)
    return torch.from_numpy(np.array(kept, dtype=np.int64)), torch.from_numpy(
        np.array(decayed, dtype=np.float32)
    )


def _without(
    dropped: NDArray[np.bool_], rows: NDArray[np.float32], index: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Drop columns; each hole is filled from the end, as the released loop does."""
    num_left = len(dropped) - int(dropped.sum())
    if num_left == len(dropped):
        return rows, index
    holes = np.flatnonzero(dropped[:num_left])
    movers = num_left + np.flatnonzero(~dropped[num_left:])[::-1]
    rows[:, holes], index[holes] = rows[:, movers], index[movers]
    return rows[:, :num_left], index[:num_left]


def _overlap(
    start: np.float32,
    end: np.float32,
    length: np.float32,
    starts: NDArray[np.float32],
    ends: NDArray[np.float32],
    lengths: NDArray[np.float32],
) -> NDArray[np.float32]:
    intersection = np.maximum(np.minimum(end, ends) - np.maximum(start, starts), np.float32(0))
    return intersection / (length + lengths - intersection)
