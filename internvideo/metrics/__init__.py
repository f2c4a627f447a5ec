"""Metrics: pure functions of scores and answers."""

from internvideo.metrics.captioning import bleu, cider_d, words
from internvideo.metrics.classification import (
    choice_scores,
    confusion_matrix,
    mean_average_precision,
    mean_class_accuracy,
    merge_views,
    prompt_probabilities,
    top_k_accuracy,
)
from internvideo.metrics.open_set import (
    acceptance_threshold,
    auroc,
    negative_energy,
    open_set_metrics,
)
from internvideo.metrics.retrieval import (
    best_of_each_video,
    dual_softmax,
    ranks,
    recall_and_ranks,
    retrieval_metrics,
    tied_ranks,
)

__all__ = [
    "acceptance_threshold",
    "auroc",
    "best_of_each_video",
    "bleu",
    "choice_scores",
    "cider_d",
    "confusion_matrix",
    "dual_softmax",
    "mean_average_precision",
    "mean_class_accuracy",
    "merge_views",
    "negative_energy",
    "open_set_metrics",
    "prompt_probabilities",
    "ranks",
    "recall_and_ranks",
    "retrieval_metrics",
    "tied_ranks",
    "top_k_accuracy",
    "words",
]
