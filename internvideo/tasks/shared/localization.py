"""Temporal detection of feature sequences: network, decoding, suppression, seconds.

Source: `inference` and `postprocessing` of `meta_archs.py` in InternVideo's
Temporal-Action-Localization release.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from internvideo.data.feature_sequences import FeatureGrid, FeatureSequence
from internvideo.data.sequence_batches import batches_by_length
from internvideo.heads import AdaptedDetector
from internvideo.models.actionformer import (
    ActionFormer,
    DecodingConfig,
    SegmentPredictions,
    decode_segments,
    point_grid,
)
from internvideo.tasks.shared.suppression import SuppressionConfig, suppress

_SAME_IOU = 0.5  # of two segments that neighbouring parts of a long video found


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectionConfig:
    """What happens to the network's predictions."""

    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    suppression: SuppressionConfig = field(default_factory=SuppressionConfig)


@torch.no_grad()
def detect(
    model: ActionFormer | AdaptedDetector,
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


def detect_stream(
    model: ActionFormer | AdaptedDetector,
    rows: Iterable[Float[Tensor, "_ d"]],
    grid: FeatureGrid,
    config: DetectionConfig,
    *,
    video: str,
    duration_s: float,
    length: int,
) -> SegmentPredictions:
    """Detect segments in features that arrive in pieces, in memory of `length` steps.

    Up to that length the answer is that of `detect`. A longer sequence is seen in parts of `length`
    steps that overlap by half; each segment is taken from the part in whose middle its centre lies.
    So segments of up to half a part are seen whole.

    Args:
        model: The detector.
        rows: Features in order, some steps at a time.
        grid: Times of all steps.
        config: What happens to the network's predictions.
        video: Its name.
        duration_s: Its length.
        length: Steps of a part; a multiple of twice the network's largest stride.
    """
    hop, found = length // 2, []
    kept, start, low_s = torch.zeros(0), 0, -math.inf
    for piece in rows:
        kept = torch.cat([kept, piece]) if len(kept) else piece
        while len(kept) > length:
            high_s = float(grid.to_seconds(torch.tensor(start + 3 * hop / 2)))
            part = _part(video, kept[:length], grid, start, duration_s)
            found.append(_centred(detect(model, [part], config)[0], low_s, high_s))
            kept, start, low_s = kept[hop:], start + hop, high_s
    part = _part(video, kept, grid, start, duration_s)
    found.append(_centred(detect(model, [part], config)[0], low_s, math.inf))
    return _united(found, iou_threshold=_SAME_IOU)


def _part(
    video: str, rows: Float[Tensor, "f d"], grid: FeatureGrid, start: int, duration_s: float
) -> FeatureSequence:
    shifted = replace(grid, offset_s=grid.offset_s + start * grid.step_s)
    return FeatureSequence.of(video, rows, shifted, duration_s=duration_s)


def _centred(found: SegmentPredictions, low_s: float, high_s: float) -> SegmentPredictions:
    """Segments whose centre lies from `low_s` to before `high_s`."""
    centre = found.segments.mean(1)
    return found.where((centre >= low_s) & (centre < high_s))


def _united(parts: Sequence[SegmentPredictions], *, iou_threshold: float) -> SegmentPredictions:
    """All parts together; of two of a class that two neighbours found, the better one stays."""
    if len(parts) == 1:
        return parts[0]
    keep = [torch.ones(len(part), dtype=torch.bool) for part in parts]
    for place, (one, other) in enumerate(pairwise(parts)):
        left = torch.maximum(one.segments[:, None, 0], other.segments[None, :, 0])
        right = torch.minimum(one.segments[:, None, 1], other.segments[None, :, 1])
        shared = (right - left).clamp(min=0)
        lengths = [part.segments[:, 1] - part.segments[:, 0] for part in (one, other)]
        iou = shared / (lengths[0][:, None] + lengths[1][None] - shared).clamp(min=1e-6)
        same = (iou > iou_threshold) & (one.labels[:, None] == other.labels[None])
        is_better = one.scores[:, None] >= other.scores[None]
        keep[place] &= ~(same & ~is_better).any(1)
        keep[place + 1] &= ~(same & is_better).any(0)
    parts = [part.where(kept) for part, kept in zip(parts, keep, strict=True)]
    scores = torch.cat([part.scores for part in parts])
    order = scores.sort(descending=True, stable=True).indices
    return SegmentPredictions(
        segments=torch.cat([part.segments for part in parts])[order],
        scores=scores[order],
        labels=torch.cat([part.labels for part in parts])[order],
    )


def segments_in_seconds(
    segments: Float[Tensor, "s 2"], grid: FeatureGrid, duration_s: float
) -> Float[Tensor, "s 2"]:
    """Times of segments given in steps, clipped to the video."""
    return grid.to_seconds(segments.cpu()).clamp(min=0, max=duration_s)
