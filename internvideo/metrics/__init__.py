"""Metrics: pure functions of scores and answers."""

from internvideo.metrics.captioning import bleu, cider_d, words
from internvideo.metrics.classification import (
    choice_scores,
    mean_class_accuracy,
    prompt_probabilities,
    top_k_accuracy,
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
    "best_of_each_video",
    "bleu",
    "choice_scores",
    "cider_d",
    "dual_softmax",
    "mean_class_accuracy",
    "prompt_probabilities",
    "ranks",
    "recall_and_ranks",
    "retrieval_metrics",
    "tied_ranks",
    "top_k_accuracy",
    "words",
]
