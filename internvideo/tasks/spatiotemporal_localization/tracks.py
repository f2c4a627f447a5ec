"""Boxes of neighbouring key frames become tracks, so that a person keeps a number.

Greedy: of all pairs of a box and a track that goes on, the one that overlaps most is joined first.
Shapes: boxes (s, 4) `xyxy`, in any unit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from internvideo.errors import ConfigError


def link_boxes(
    times_s: Sequence[float],
    boxes: Sequence[Float[Tensor, "_ 4"]],
    *,
    least_iou: float = 0.3,
    max_gap_s: float = 2.0,
) -> list[list[int]]:
    """Number the boxes of each key frame by track, from 0 on.

    Args:
        times_s: Times of the key frames, rising.
        boxes: Boxes of each.
        least_iou: Least overlap of a box with the last one of its track.
        max_gap_s: How long a track may go unseen; one that is unseen for longer has ended.
    """
    if not 0 < least_iou <= 1 or max_gap_s < 0:
        raise ConfigError(
            f"tracks join boxes that overlap by {least_iou} within {max_gap_s} s; expected an "
            "overlap above 0, at most 1, and a time from 0 on"
        )
    last_seen: list[tuple[float, Tensor]] = []  # of each track, when and where
    numbers = []
    for time_s, found in zip(times_s, boxes, strict=True):
        going_on = [i for i, (seen_s, _) in enumerate(last_seen) if time_s - seen_s <= max_gap_s]
        of_box: dict[int, int] = {}
        if going_on and len(found):
            overlaps = box_overlaps(found, torch.stack([last_seen[i][1] for i in going_on]))
            for place in overlaps.flatten().argsort(descending=True, stable=True).tolist():
                box, track = place // len(going_on), going_on[place % len(going_on)]
                if overlaps.flatten()[place] < least_iou:
                    break
                if box not in of_box and track not in of_box.values():
                    of_box[box] = track
        for box in range(len(found)):
            if box not in of_box:
                of_box[box] = len(last_seen)
                last_seen.append((time_s, found[box]))
            last_seen[of_box[box]] = (time_s, found[box])
        numbers.append([of_box[box] for box in range(len(found))])
    return numbers


def box_overlaps(first: Float[Tensor, "s 4"], second: Float[Tensor, "r 4"]) -> Float[Tensor, "s r"]:
    """Overlap of every two boxes over their union; 0 for boxes of no area."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - shared
    return torch.where(union > 0, shared / union.clamp(min=1e-12), 0.0)


def best_of_overlapping(
    boxes: Float[Tensor, "s 4"], scores: Float[Tensor, " s"], *, most_iou: float
) -> Bool[Tensor, " s"]:
    """Which boxes no better one overlaps by more (non-maximum suppression)."""
    order = scores.argsort(descending=True, stable=True)
    overlaps = box_overlaps(boxes[order], boxes[order])
    kept = torch.ones(len(boxes), dtype=torch.bool)
    for place in range(len(boxes)):
        if kept[place]:
            kept[place + 1 :] &= overlaps[place, place + 1 :] <= most_iou
    result = torch.zeros_like(kept)
    result[order[kept]] = True
    return result
