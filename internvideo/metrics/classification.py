"""Accuracies of scores over classes or answers, merged views, and scores of sentences on a video.

Source: `compute_zs_classify` and `compute_multiple_choice` of multi-modalities-downstream, `merge`
of VideoMAE and `TestMeter` of UniFormerV2 in the InternVideo release.
Shapes: scores (b, y); embeddings (b, e) need not be normalised; v views of b videos.
Differs from the released code: a score that is NaN never counts as right.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from internvideo.metrics.retrieval import ranks


def top_k_accuracy(
    scores: Float[Tensor, "b y"], labels: Int64[Tensor, " b"], *, k: int = 1
) -> float:
    """Give the share of rows whose label is among the `k` highest; NaN without rows."""
    # A score that is NaN ranks behind all classes, which must not be right where k exceeds them.
    return float((ranks(scores, labels) < min(k, scores.shape[1])).double().mean())


def mean_class_accuracy(scores: Float[Tensor, "b y"], labels: Int64[Tensor, " b"]) -> float:
    """Average the accuracies of the classes that occur, each class counting the same."""
    right = (ranks(scores, labels) == 0).double()
    accuracies = [right[labels == label].mean() for label in labels.unique()]
    return float(torch.stack(accuracies).mean()) if accuracies else float("nan")


def mean_average_precision(
    scores: Float[Tensor, "b y"],
    positive: Bool[Tensor, "b y"],
    *,
    num_positive: Float[Tensor, " y"] | None = None,
) -> float:
    """Average the `average_precisions` of the classes that occur; NaN where none does.

    Charades' measure, but for classes that never occur.
    """
    found = average_precisions(scores, positive, num_positive=num_positive)
    return float(found.nanmean())


def average_precisions(
    scores: Float[Tensor, "b y"],
    positive: Bool[Tensor, "b y"],
    *,
    num_positive: Float[Tensor, " y"] | None = None,
) -> Float[Tensor, " y"]:
    """Average, for each class, the precision at the rank of each positive video.

    Videos of equal score share the lower rank.

    Args:
        scores: Of each video for each class; one that is NaN is behind all others.
        positive: Whether a video shows a class.
        num_positive: Positive videos of each class where some have no row, not being decodable;
            such a video is never found.

    Returns:
        From 0 to 1; NaN for a class that does not occur.
    """
    totals = positive.sum(0) if num_positive is None else num_positive
    precisions = []
    for column, shown, total in zip(scores.T, positive.T, totals.tolist(), strict=True):
        if not total:
            precisions.append(torch.nan)
            continue
        column = column.double().nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
        found = column[shown]
        # How many of all, and of the positive ones, score at least as high as each positive one.
        above, right = (
            len(some) - torch.searchsorted(some.sort().values, found) for some in (column, found)
        )
        counts = found > -torch.inf
        precisions.append(float((right[counts] / above[counts]).sum()) / total)
    return torch.tensor(precisions, dtype=torch.float64)


def confusion_matrix(
    scores: Float[Tensor, "b y"], labels: Int64[Tensor, " b"]
) -> Int64[Tensor, "y y"]:
    """Count videos by class (rows) and answer (columns); scores that are NaN give no answer."""
    num_classes, answered = scores.shape[1], scores.isfinite().all(1)
    cells = labels[answered] * num_classes + scores[answered].argmax(1)
    return torch.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def merge_views(
    scores: Float[Tensor, "v y"],
    video: Int64[Tensor, " v"],
    num_videos: int,
    *,
    by: Literal["mean", "sum", "max"] = "mean",
) -> Float[Tensor, "b y"]:
    """Merge the scores of each video's views, of which it may have any number.

    A video without views has NaN as its mean. The maximum starts from zero, as released.
    """
    merged = scores.new_zeros(num_videos, scores.shape[1])
    if by == "max":
        return merged.scatter_reduce(0, video[:, None].expand_as(scores), scores, "amax")
    merged = merged.index_add(0, video, scores)
    if by == "sum":
        return merged
    return merged / torch.bincount(video, minlength=num_videos)[:, None]


def prompt_probabilities(
    video: Float[Tensor, "b e"], prompts: Float[Tensor, "p y e"], logit_scale: Float[Tensor, ""]
) -> Float[Tensor, "b y"]:
    """Average, over p prompts of each class, the softmax over classes within each prompt.

    Probabilities are averaged, neither logits nor embeddings. `logit_scale` is a logarithm.
    """
    cosine = einsum(F.normalize(video, dim=-1), F.normalize(prompts, dim=-1), "b e, p y e -> p b y")
    return (logit_scale.exp() * cosine).softmax(-1).mean(0)


def choice_scores(
    video: Float[Tensor, "b e"], options: Float[Tensor, "b y e"], logit_scale: Float[Tensor, ""]
) -> Float[Tensor, "b y"]:
    """Compare each video with its own y sentences; the answer is the highest score."""
    cosine = einsum(F.normalize(video, dim=-1), F.normalize(options, dim=-1), "b e, b y e -> b y")
    return logit_scale.exp() * cosine
