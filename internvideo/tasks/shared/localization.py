"""Temporal detection of feature sequences: network, decoding, suppression, seconds.

Source: `inference` and `postprocessing` of `meta_archs.py` in InternVideo's
Temporal-Action-Localization release.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from internvideo.data.feature_sequences import FeatureGrid, FeatureSequence
from internvideo.data.sequence_batches import batches_by_length
from internvideo.models.actionformer import (
    ActionFormer,
    DecodingConfig,
    SegmentPredictions,
    decode_segments,
    point_grid,
)
from internvideo.tasks.shared.suppression import SuppressionConfig, suppress


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectionConfig:
    """What happens to the network's predictions."""

    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    suppression: SuppressionConfig = field(default_factory=SuppressionConfig)


@torch.no_grad()
def detect(
    model: ActionFormer,
    sequences: Sequence[FeatureSequence],
    config: DetectionConfig,
    *,
    batch_size: int = 1,
) -> list[SegmentPredictions]:
    """Detect segments, in seconds and in falling order of score, in each sequence.

    A detection depends on its own sequence alone: on neither the batch nor its padding.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    found: list[SegmentPredictions | None] = [None] * len(sequences)
    for places, batch in batches_by_length(
        sequences, model.config.padded_length, batch_size=batch_size
    ):
        predictions = model(batch.features.to(device), batch.padded.to(device))
        points = point_grid(model.config, batch.features.shape[1], device)
        for index, place in enumerate(places):
            decoded = decode_segments(predictions, points, config.decoding, index=index)
            kept = suppress(decoded.segments, decoded.scores, decoded.labels, config.suppression)
            sequence = sequences[place]
            found[place] = SegmentPredictions(
                segments=segments_in_seconds(kept[0], sequence.grid, sequence.duration_s),
                scores=kept[1].cpu(),
                labels=kept[2].cpu(),
            )
    model.train(was_training)
    return [one for one in found if one is not None]


def segments_in_seconds(
    segments: Float[Tensor, "s 2"], grid: FeatureGrid, duration_s: float
) -> Float[Tensor, "s 2"]:
    """Times of segments given in steps, clipped to the video."""
    return grid.to_seconds(segments.cpu()).clamp(min=0, max=duration_s)
