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
    mean_average_precision,
    paired_iou,
)

__all__ = [
    "highlight_metrics",
    "moment_retrieval_metrics",
    "saliency_of_clips",
    "temporal_iou",
    "UNKNOWN_ANSWER",
    "BoxRows",
    "best_rows_of_frames",
    "frame_average_precision",
    "mean_average_precision",
    "paired_iou",
    "Episode",
    "answer_labels",
    "dynamic_time_warping",
    "fast_dtw",
    "navigation_metrics",
    "normalised_dtw",
    "open_ended_accuracy",
    "resample",
    "acceptance_threshold",
    "auroc",
    "best_of_each_video",
    "bleu",
    "choice_scores",
    "cider_d",
    "confusion_matrix",
    "dual_softmax",
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
