"""Merging weights: those of CLIP with those trained from it, and several checkpoints into one.

Source: Wortsman et al. 2022, "Robust fine-tuning" (arXiv:2109.01903) and "Model soups"
(arXiv:2203.05482), as InternVideo's released zero-shot scripts use them.
Names are ours. What CLIP has not (global blocks, caption decoder, ...) stays as it was trained.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from internvideo.errors import CheckpointError, unknown_name
from internvideo.weights.loading import inflate_kernel

# Names that a rule leaves as they were trained, beside those that CLIP has not.
_KEPT: dict[str, str] = {
    "all": r"(?!)",
    # Zero-shot recognition and multiple choice: the temperature stays.
    "recognition": r"^logit_scale$",
    # The same as released: its list of names was written for B/16, so an L/14 is merged up to
    # layer 11 of its video tower.
    "recognition-released": r"^logit_scale$|^video\.blocks\.(1[2-9]|[2-9]\d)\.",
    # Zero-shot retrieval: the last norm and the projection of the video tower stay.
    "retrieval": r"^(norm_post\.|video_projection$)",
}
MERGE_RULES: tuple[str, ...] = tuple(_KEPT)


def merge_with_clip(
    trained: Mapping[str, Tensor],
    clip: Mapping[str, Tensor],
    *,
    clip_share: float = 0.5,
    rule: str = "all",
) -> dict[str, Tensor]:
    """Mix clip_share * CLIP + (1 - clip_share) * trained, where both have a tensor.

    A patch kernel of CLIP that lacks the time axis is put to the central frame.

    Raises:
        CheckpointError: Two tensors of one name differ in shape.
    """
    if rule not in _KEPT:
        raise unknown_name("merge rule", rule, _KEPT)
    merged = dict(trained)
    for name, ours in trained.items():
        theirs = clip.get(name)
        if theirs is None or re.search(_KEPT[rule], name) or not ours.is_floating_point():
            continue
        if theirs.ndim == 4 and ours.ndim == 5:
            theirs = inflate_kernel(theirs, ours.shape[2])
        if theirs.shape != ours.shape:
            raise CheckpointError(
                f"{name}: CLIP's shape {tuple(theirs.shape)} is not the trained "
                f"{tuple(ours.shape)}; merge weights of one architecture"
            )
        merged[name] = torch.lerp(ours, theirs.to(ours), clip_share)
    return merged


def average_weights(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Average checkpoints of one model tensor by tensor; counts and flags are those of the first.

    Raises:
        CheckpointError: There is none, or they differ in names.
    """
    if not states:
        raise CheckpointError("no checkpoint to average; give at least one")
    first = states[0]
    for i, state in enumerate(states[1:], 1):
        if different := sorted(first.keys() ^ state.keys()):
            raise CheckpointError(
                f"checkpoint {i} differs from checkpoint 0 in {len(different)} names, such as "
                f"{different[0]}; average checkpoints of one model"
            )
    return {
        name: torch.stack([state[name].to(value) for state in states]).mean(0)
        if value.is_floating_point()
        else value
        for name, value in first.items()
    }
