"""Cross-entropy of classes: one label a clip, shares of several classes, or several labels.

Source: `SoftTargetCrossEntropy` and `LabelSmoothingCrossEntropy` of VideoMAE's fine-tuning.
Shapes: logits (b, y), in float32 whatever the network's precision; targets (b) or (b, y).
Differs: with class weights the loss is still a mean over clips and not over their weights, so that
the mean over ranks or micro-batches of equal size is that of the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.errors import ConfigError


def classification_loss(
    logits: Float[Tensor, "b y"],
    targets: Int64[Tensor, " b"] | Float[Tensor, "b y"],
    *,
    label_smoothing: float = 0.0,
    class_weights: Float[Tensor, " y"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over clips of -sum(target * log softmax(logits)).

    Args:
        logits: Scores of the classes.
        targets: Labels, or the share of each class in each clip; rows of shares sum to 1.
        label_smoothing: Share of every target that is spread over all classes. Targets of `mix`
            are smoothed already.
        class_weights: What a cost of each class counts, about 1; see `balanced_class_weights`.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.float()
        targets = targets.float() if targets.is_floating_point() else targets
        costs = F.cross_entropy(
            logits,
            targets,
            weight=None if class_weights is None else class_weights.float(),
            label_smoothing=label_smoothing,
            reduction="none",
        )
        return costs.mean()


def multi_label_loss(
    logits: Float[Tensor, "b y"], labels: Float[Tensor, "b y"]
) -> Float[Tensor, ""]:
    """Mean binary cross-entropy of every class in every clip; labels are zeros and ones."""
    with torch.autocast(logits.device.type, enabled=False):
        return F.binary_cross_entropy_with_logits(logits.float(), labels.float())


def balanced_class_weights(counts: Sequence[int]) -> Float[Tensor, " y"]:
    """Weights by which all classes that occur count the same; their mean over clips is 1.

    >>> balanced_class_weights([30, 10])
    tensor([0.6667, 2.0000])

    Args:
        counts: Training clips of each class; one without any has weight 0.
    """
    present = torch.tensor(counts, dtype=torch.float64)
    if not (present > 0).any():
        raise ConfigError(f"counts of {len(counts)} classes hold no clip; weights need at least 1")
    share = present.sum() / (present > 0).sum()
    return torch.where(present > 0, share / present.clamp(min=1), 0.0).float()
