"""Accuracies of scores over classes or answers, and the scores of sentences about a video.

Source: `compute_zs_classify` and `compute_multiple_choice` of multi-modalities-downstream in the
InternVideo release. Shapes: scores (b, y); embeddings (b, e) need not be normalised.
Differs from the released code: a score that is NaN never counts as right.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.metrics.retrieval import ranks


def top_k_accuracy(
    scores: Float[Tensor, "b y"], labels: Int64[Tensor, " b"], *, k: int = 1
) -> float:
    """Give the share of rows whose label is among the `k` highest; NaN without rows."""
    return float((ranks(scores, labels) < k).double().mean())


def mean_class_accuracy(scores: Float[Tensor, "b y"], labels: Int64[Tensor, " b"]) -> float:
    """Average the accuracies of the classes that occur, each class counting the same."""
    right = (ranks(scores, labels) == 0).double()
    accuracies = [right[labels == label].mean() for label in labels.unique()]
    return float(torch.stack(accuracies).mean()) if accuracies else float("nan")


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
