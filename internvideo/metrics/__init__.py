"""Metrics: pure functions of scores and answers."""

from internvideo.metrics.captioning import (
    bleu,
    cider_d,
    words,
)
from internvideo.metrics.classification import (
    choice_scores,
    confusion_matrix,
    mean_average_precision,
    mean_class_accuracy,
    merge_views,
    prompt_probabilities,
    top_k_accuracy,
)
from internvideo.metrics.moment_retrieval import (
    highlight_metrics,
    moment_retrieval_metrics,
    saliency_of_clips,
    temporal_iou,
)
from internvideo.metrics.navigation import (
    Episode,
    dynamic_time_warping,
    fast_dtw,
    navigation_metrics,
    normalised_dtw,
    resample,
)
from internvideo.metrics.open_set import (
    acceptance_threshold,
    auroc,
    negative_energy,
    open_set_metrics,
)
from internvideo.metrics.question_answering import (
    UNKNOWN_ANSWER,
    answer_labels,
    chosen_accuracy,
    open_ended_accuracy,
)
from internvideo.metrics.retrieval import (
    best_of_each_video,
    dual_softmax,
    ranks,
    recall_and_ranks,
    retrieval_metrics,
    tied_ranks,
)
from internvideo.metrics.spatiotemporal_localization import (
    BoxRows,
    best_rows_of_frames,
    frame_average_precision,
    mean_over_classes,
    paired_iou,
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
    "BoxRows",
    "DetectionScores",
    "EGO4D_THRESHOLDS",
    "Episode",
    "SegmentTable",
    "THUMOS_THRESHOLDS",
    "UNKNOWN_ANSWER",
    "acceptance_threshold",
    "answer_labels",
    "as_released_labels",
    "auroc",
    "best_of_each_video",
    "best_rows_of_frames",
    "bleu",
    "choice_scores",
    "chosen_accuracy",
    "cider_d",
    "confusion_matrix",
    "detection_map",
    "dual_softmax",
    "dynamic_time_warping",
    "fast_dtw",
    "frame_average_precision",
    "highlight_metrics",
    "mean_average_precision",
    "mean_over_classes",
    "mean_class_accuracy",
    "merge_views",
    "moment_retrieval_metrics",
    "navigation_metrics",
    "negative_energy",
    "normalised_dtw",
    "open_ended_accuracy",
    "open_set_metrics",
    "paired_iou",
    "prompt_probabilities",
    "ranks",
    "recall_and_ranks",
    "recall_at",
    "resample",
    "retrieval_metrics",
    "saliency_of_clips",
    "temporal_iou",
    "tied_ranks",
    "top_k_accuracy",
    "without_duplicates",
    "words",
]
