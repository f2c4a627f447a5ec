"""Points of the pyramid, and the segments that predictions at them stand for.

Source: Zhang et al. 2022 (arXiv:2202.07925), section 3.3; `loc_generators.py` and
`inference_single_video` of the release. A point is (time, least distance, greatest distance,
stride) in steps of the input.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.models.actionformer.config import ActionFormerConfig
from internvideo.models.actionformer.network import PointPredictions


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodingConfig:
    """Which predictions become segments, before suppression: per level the best `top_k` scores
    above `min_score` whose length is above `min_length` in steps of the input."""

    min_score: float = 0.001
    top_k: int = 2000
    min_length: float = 0.05

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise ConfigError(f"top_k is {self.top_k}, expected 1 or more")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SegmentPredictions:
    """Scored segments of one video, [start, end] each."""

    segments: Float[Tensor, "s 2"]
    scores: Float[Tensor, " s"]
    labels: Int64[Tensor, " s"]

    def __len__(self) -> int:
        return len(self.scores)

    def where(self, kept: Bool[Tensor, " s"]) -> SegmentPredictions:
        """Only the segments that are to be kept, in order."""
        return SegmentPredictions(
            segments=self.segments[kept], scores=self.scores[kept], labels=self.labels[kept]
        )


def point_grid(
    config: ActionFormerConfig, num_steps: int, device: torch.device | None = None
) -> Float[Tensor, "p 4"]:
    """Points of all levels of a sequence of `num_steps`, finest level first."""
    levels = []
    for stride, (least, greatest) in zip(config.strides, config.regression_ranges, strict=True):
        time = torch.arange(0, num_steps, stride, dtype=torch.float32, device=device)
        rest = time.new_tensor([least, greatest, stride]).expand(len(time), 3)
        levels.append(torch.cat([time[:, None], rest], dim=1))
    return torch.cat(levels)


def decode_segments(
    predictions: PointPredictions,
    points: Float[Tensor, "p 4"],
    config: DecodingConfig,
    *,
    index: int = 0,
) -> SegmentPredictions:
    """Turn the predictions for sequence `index` of a batch into segments, level by level.

    Within a level they are in falling order of their score; labels are columns of the logits.
    """
    num_classes = predictions.logits.shape[2]
    kept = ~predictions.padded[index]
    scores = predictions.logits[index].sigmoid() * kept[:, None]
    found = []
    for level in zip(
        scores.split(predictions.level_sizes),
        predictions.distances[index].split(predictions.level_sizes),
        points.split(predictions.level_sizes),
        strict=True,
    ):
        level_scores, distances, level_points = level
        flat = level_scores.flatten()
        chosen = (flat > config.min_score).nonzero()[:, 0]
        best, order = flat[chosen].sort(descending=True)
        best, chosen = best[: config.top_k], chosen[order[: config.top_k]]
        place = chosen // num_classes
        time, stride = level_points[place, 0], level_points[place, 3]
        reach = distances[place] * stride[:, None]
        segments = torch.stack([time - reach[:, 0], time + reach[:, 1]], dim=1)
        long = segments[:, 1] - segments[:, 0] > config.min_length
        found.append((segments[long], best[long], (chosen % num_classes)[long]))
    segments, all_scores, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    return SegmentPredictions(segments=segments, scores=all_scores, labels=labels)
