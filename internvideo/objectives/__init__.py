"""Losses: pure functions of tensors, in float32."""

from internvideo.objectives.captioning import (
    captioning_loss,
    count_targets,
    counted_places,
)
from internvideo.objectives.classification import (
    balanced_class_weights,
    classification_loss,
    multi_label_loss,
)
from internvideo.objectives.contrastive import (
    MAX_LOGIT_SCALE,
    clamp_logit_scale,
    contrastive_loss,
    contrastive_loss_of_scores,
    matched_contrastive_loss,
    queue_contrastive_loss,
    queue_logits,
)
from internvideo.objectives.dual_softmax import (
    dual_softmax_loss,
)
from internvideo.objectives.evidential import (
    Evidence,
    EvidentialLoss,
    evidential_loss,
    evidential_probabilities,
    evidential_terms,
    evidential_uncertainty,
)
from internvideo.objectives.hard_negatives import (
    hard_negative_loss,
)
from internvideo.objectives.navigation import waypoint_loss
from internvideo.objectives.reconstruction import (
    mean_baseline_error,
    per_sample_error,
    pixel_targets,
    reconstruction_loss,
    standardise,
    unnormalise,
)
from internvideo.objectives.temporal_localization import (
    LocalizationLoss,
    LocalizationLosses,
    PointTargets,
    assign_targets,
    distance_iou_loss,
    sigmoid_focal_loss,
    update_normaliser,
)

__all__ = [
    "Evidence",
    "EvidentialLoss",
    "LocalizationLoss",
    "LocalizationLosses",
    "MAX_LOGIT_SCALE",
    "PointTargets",
    "assign_targets",
    "balanced_class_weights",
    "captioning_loss",
    "clamp_logit_scale",
    "classification_loss",
    "contrastive_loss",
    "contrastive_loss_of_scores",
    "count_targets",
    "counted_places",
    "distance_iou_loss",
    "dual_softmax_loss",
    "evidential_loss",
    "evidential_probabilities",
    "evidential_terms",
    "evidential_uncertainty",
    "hard_negative_loss",
    "matched_contrastive_loss",
    "mean_baseline_error",
    "multi_label_loss",
    "per_sample_error",
    "pixel_targets",
    "queue_contrastive_loss",
    "queue_logits",
    "reconstruction_loss",
    "sigmoid_focal_loss",
    "standardise",
    "unnormalise",
    "update_normaliser",
    "waypoint_loss",
]
