"""Losses: pure functions of tensors, in float32."""

from internvideo.objectives.captioning import captioning_loss, count_targets
from internvideo.objectives.classification import (
    balanced_class_weights,
    classification_loss,
    multi_label_loss,
)
from internvideo.objectives.contrastive import (
    MAX_LOGIT_SCALE,
    clamp_logit_scale,
    contrastive_loss,
    matched_contrastive_loss,
    queue_contrastive_loss,
    queue_logits,
    sigmoid_loss,
)
from internvideo.objectives.dual_softmax import dual_softmax_loss
from internvideo.objectives.evidential import (
    Evidence,
    EvidentialLoss,
    evidential_loss,
    evidential_probabilities,
    evidential_terms,
    evidential_uncertainty,
)
from internvideo.objectives.reconstruction import (
    clip_statistics,
    per_sample_error,
    pixel_targets,
    reconstruction_loss,
    standardise,
    trivial_error,
    unnormalise,
)
from internvideo.objectives.words import word_loss, word_rarity

__all__ = [
    "MAX_LOGIT_SCALE",
    "Evidence",
    "EvidentialLoss",
    "balanced_class_weights",
    "captioning_loss",
    "clamp_logit_scale",
    "classification_loss",
    "clip_statistics",
    "contrastive_loss",
    "count_targets",
    "dual_softmax_loss",
    "evidential_loss",
    "evidential_probabilities",
    "evidential_terms",
    "evidential_uncertainty",
    "matched_contrastive_loss",
    "multi_label_loss",
    "per_sample_error",
    "pixel_targets",
    "queue_contrastive_loss",
    "queue_logits",
    "reconstruction_loss",
    "sigmoid_loss",
    "standardise",
    "trivial_error",
    "unnormalise",
    "word_loss",
    "word_rarity",
]
