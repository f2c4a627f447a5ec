"""Temporal localization: which points answer for which segments, and their losses.

Source: Zhang et al. 2022, "ActionFormer" (arXiv:2202.07925), section 3.4; `label_points`, `losses`
of `meta_archs.py` and `losses.py` of the release; focal loss after Lin et al. 2017
(arXiv:1708.02002), distance-IoU after Zheng et al. 2020 (arXiv:1911.08287), its 1-D form.
Shapes: points (p, 4) as (time, least distance, greatest distance, stride) in steps of the input;
segments (s, 2) as (start, end) in the same steps; distances (..., 2) from a point to start and end,
in strides of its level.
Differs: the running normaliser is a value that goes in and comes out, and not hidden in a module;
the distance target of a point that answers for no segment is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from internvideo.errors import ConfigError

# Segments whose lengths differ by less count as equally short.
_SAME_LENGTH = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PointTargets:
    """What each point is to predict: classes (multi-hot) and distances to the boundaries."""

    classes: Float[Tensor, "p y"]
    distances: Float[Tensor, "p 2"]

    @property
    def positive(self) -> Bool[Tensor, " p"]:
        """Points that answer for a segment."""
        return self.classes.sum(-1) > 0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LocalizationLosses:
    """Parts of the loss, each a sum over points divided by the normaliser; `total` weights them.

    `normaliser` is the running number of positive points after this batch: the next call gets it.
    """

    classification: Float[Tensor, ""]
    distance: Float[Tensor, ""]
    total: Float[Tensor, ""]
    normaliser: Float[Tensor, ""]


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalizationLoss:
    """Weights and smoothing of the loss.

    `distance_weight` of None balances the two parts: the regression loss then counts as much as
    the classification loss. `label_smoothing` moves targets y to y (1 - e) + e / (num_classes + 1).
    """

    distance_weight: float | None = 1.0
    label_smoothing: float = 0.0
    momentum: float = 0.9
    alpha: float = 0.25
    gamma: float = 2.0

    def __post_init__(self) -> None:
        if self.distance_weight is not None and self.distance_weight <= 0:
            raise ConfigError(
                f"distance_weight is {self.distance_weight}, expected a positive number or None"
            )
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing is {self.label_smoothing}, expected 0 to below 1")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"momentum is {self.momentum}, expected 0 to below 1")

    def __call__(
        self,
        logits: Float[Tensor, "b p y"],
        distances: Float[Tensor, "b p 2"],
        padded: Bool[Tensor, "b p"],
        targets: Sequence[PointTargets],
        normaliser: Float[Tensor, ""],
        *,
        over_ranks: Callable[[Tensor], Tensor] | None = None,
        num_ranks: int = 1,
    ) -> LocalizationLosses:
        """Compute the loss of a batch.

        Args:
            logits: Of every class at every point.
            distances: Predicted, not negative.
            padded: Points past the end of a sequence, which count for nothing.
            targets: One for each sequence, from `assign_targets`.
            normaliser: Running number of positive points; start it at `init_loss_norm`.
            over_ranks: Adds a number up over `num_ranks` ranks that share a batch. The mean of
                their losses is then that of the whole batch.
        """
        classes = torch.stack([target.classes for target in targets])
        wanted = torch.stack([target.distances for target in targets])
        positive = (classes.sum(-1) > 0) & ~padded
        num_positive = positive.sum() if over_ranks is None else over_ranks(positive.sum())
        normaliser = update_normaliser(normaliser, num_positive, momentum=self.momentum)
        smooth = classes * (1 - self.label_smoothing)
        smooth = smooth + self.label_smoothing / (classes.shape[-1] + 1)
        # Masks and not selections: how many points there are would have to be waited for.
        focal = sigmoid_focal_loss(logits, smooth, alpha=self.alpha, gamma=self.gamma)
        classification = (focal * ~padded[..., None]).sum() * num_ranks / normaliser
        found, right = (
            torch.where(positive[..., None], pair, 1.0).flatten(0, 1)
            for pair in (distances, wanted)
        )
        error = distance_iou_loss(found, right) * positive.flatten()
        distance = error.sum() * num_ranks / normaliser
        weight: float | Tensor
        if self.distance_weight is None:
            weight = classification.detach() / distance.detach().clamp(min=0.01)
        else:
            weight = self.distance_weight
        return LocalizationLosses(
            classification=classification,
            distance=distance,
            total=classification + distance * weight,
            normaliser=normaliser.detach(),
        )


def assign_targets(
    points: Float[Tensor, "p 4"],
    segments: Float[Tensor, "s 2"],
    labels: Int64[Tensor, " s"],
    *,
    num_classes: int,
    centre_radius: float | None = 1.5,
) -> PointTargets:
    """Decide which segment each point answers for.

    A point answers for the shortest segment that it lies in, near the centre, and whose farther
    boundary is within the regression range of its level. Equally short segments (to a thousandth
    of a step) all give their class, the first one the distances.

    Args:
        points: Of all levels.
        segments: Start and end in steps.
        labels: Class of each segment.
        num_classes: Width of the classification target.
        centre_radius: How far from the centre a point may lie, in strides of its level; None
            accepts every point inside.
    """
    time, least, greatest, stride = points.unbind(1)
    if not len(segments):
        return PointTargets(
            classes=points.new_zeros(len(points), num_classes),
            distances=points.new_zeros(len(points), 2),
        )
    start, end = segments.unbind(1)
    to_boundaries = torch.stack([time[:, None] - start, end - time[:, None]], dim=-1)  # p s 2
    inside = to_boundaries
    if centre_radius is not None:
        centre, radius = 0.5 * (start + end), stride[:, None] * centre_radius
        from_start = time[:, None] - torch.maximum(centre - radius, start)
        to_end = torch.minimum(centre + radius, end) - time[:, None]
        inside = torch.stack([from_start, to_end], dim=-1)
    farther = to_boundaries.amax(-1)
    eligible = (inside.amin(-1) > 0) & (farther >= least[:, None]) & (farther <= greatest[:, None])
    lengths = (end - start).expand_as(farther).masked_fill(~eligible, float("inf"))
    shortest, chosen = lengths.min(dim=1)
    answered = eligible & (lengths <= shortest[:, None] + _SAME_LENGTH)
    classes = (answered.to(points.dtype) @ F.one_hot(labels, num_classes).to(points.dtype)).clamp(
        max=1.0
    )
    distances = to_boundaries[torch.arange(len(points), device=points.device), chosen]
    distances = distances / stride[:, None]
    return PointTargets(
        classes=classes,
        distances=distances.masked_fill(~eligible.any(1, keepdim=True), 0),
    )


def sigmoid_focal_loss(
    logits: Float[Tensor, "*axes"],
    targets: Float[Tensor, "*axes"],
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Float[Tensor, "*axes"]:
    """Binary cross-entropy of each logit, weighted down where the prediction is right already."""
    logits, targets = logits.float(), targets.float()
    probability = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    of_target = probability * targets + (1 - probability) * (1 - targets)
    balance = alpha * targets + (1 - alpha) * (1 - targets)
    return balance * entropy * (1 - of_target) ** gamma


def distance_iou_loss(
    predicted: Float[Tensor, "s 2"], target: Float[Tensor, "s 2"], *, eps: float = 1e-8
) -> Float[Tensor, " s"]:
    """1 - IoU + squared offset of the centres over the squared span of both segments.

    Segments are given by their distances from one point to start and end.
    """
    predicted, target = predicted.float(), target.float()
    intersection = torch.minimum(predicted, target).sum(-1)
    union = predicted.sum(-1) + target.sum(-1) - intersection
    span = torch.maximum(predicted, target).sum(-1)
    offset = 0.5 * (predicted[:, 1] - predicted[:, 0] - target[:, 1] + target[:, 0])
    return 1 - intersection / union.clamp(min=eps) + (offset / span.clamp(min=eps)) ** 2


def update_normaliser(
    normaliser: Float[Tensor, ""], num_positive: Int64[Tensor, ""], *, momentum: float = 0.9
) -> Float[Tensor, ""]:
    """Move the running number of positive points towards that of this batch, at least 1."""
    return momentum * normaliser + (1 - momentum) * num_positive.clamp(min=1)
