"""Metrics: pure functions of scores and answers."""

from internvideo.metrics.captioning import bleu, cider_d, words
from internvideo.metrics.classification import (
    choice_scores,
    confusion_matrix,
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
from internvideo.metrics.temporal_localization import (
    ACTIVITYNET_THRESHOLDS,
    EGO4D_THRESHOLDS,
    THUMOS_THRESHOLDS,
    DetectionScores,
    SegmentTable,
    as_released_labels,
    detection_map,
    recall_at,
    without_duplicates,
)

__all__ = [
    "ACTIVITYNET_THRESHOLDS",
    "EGO4D_THRESHOLDS",
    "THUMOS_THRESHOLDS",
    "DetectionScores",
    "SegmentTable",
    "acceptance_threshold",
    "as_released_labels",
    "auroc",
    "best_of_each_video",
    "bleu",
    "choice_scores",
    "cider_d",
    "confusion_matrix",
    "detection_map",
    "dual_softmax",
    "mean_class_accuracy",
    "merge_views",
    "negative_energy",
    "open_set_metrics",
    "prompt_probabilities",
    "ranks",
    "recall_and_ranks",
    "recall_at",
    "retrieval_metrics",
    "tied_ranks",
    "top_k_accuracy",
    "without_duplicates",
    "words",
]
