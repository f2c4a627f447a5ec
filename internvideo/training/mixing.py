"""Mixup and CutMix: clips and their classes in parts, two of a batch at a time, on the device.

Sources: mixup (arXiv:1710.09412); CutMix (arXiv:1905.04899); the `Mixup` class of VideoMAE's
fine-tuning, whose defaults are ours.
Shapes: frames (b, c, t, h, w) float, normalised; labels (b) -> targets (b, y). A box that is cut
out is the same in all frames. Everything is drawn from the samples' own seeds.
Differs: mode "sample" takes the neighbouring video for partner, and not the one as far from the
batch's end, so that neither ranks nor micro-batches change the result; mode "batch" takes a batch
of an odd number too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class MixingConfig:
    """How clips are mixed; the defaults are VideoMAE's for fine-tuning.

    `mixup` and `cutmix` are the parameters of the Beta distribution that lambda, a clip's own part,
    is drawn from, 0 without that kind; with both, `switch_probability` is that of CutMix. In mode
    "batch" one draw, from the first sample's seed, serves all samples, and the last is the partner
    of the first. In mode "sample" each has its own draw, and videos 2k and 2k + 1 are partners.
    """

    mixup: float = 0.8
    cutmix: float = 1.0
    probability: float = 1.0
    switch_probability: float = 0.5
    label_smoothing: float = 0.1
    mode: Literal["batch", "sample"] = "batch"

    def __post_init__(self) -> None:
        for name in ("mixup", "cutmix"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"mixing.{name} is {getattr(self, name)}, expected 0 or more")
        for name in ("probability", "switch_probability", "label_smoothing"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"mixing.{name} is {getattr(self, name)}, expected 0 to 1")


def mix(
    frames: Float[Tensor, "b c t h w"],
    labels: Int64[Tensor, " b"],
    seeds: Int64[Tensor, " b"],
    config: MixingConfig,
    *,
    num_classes: int,
    num_views: int = 1,
) -> tuple[Float[Tensor, "b c t h w"], Float[Tensor, "b {num_classes}"]]:
    """Mix each clip with its partner, and their classes in the same shares.

    Args:
        frames: Clips, the views of one video next to each other; left as they are.
        labels: The class of each.
        seeds: Of the samples, on the processor (`ClipBatch.seeds`).
        config: Which kinds of mixing, and how often.
        num_classes: Width of the targets.
        num_views: Views of a video in the batch; in mode "sample" the k-th view of one video is
            mixed with the k-th of the next.

    Returns:
        The mixed clips, and targets whose rows sum to 1, smoothed.

    Raises:
        ConfigError: If mode "sample" finds an odd number of videos.
    """
    partner = _partners(len(frames), config.mode, num_views).to(frames.device)
    drawn_from = seeds.tolist() if config.mode == "sample" else [int(seeds[0])]
    maps = [_lambda_map(config, *frames.shape[-2:], np.random.default_rng(s)) for s in drawn_from]
    lam = torch.from_numpy(np.stack(maps)).to(frames.device, non_blocking=True)
    mixed = torch.lerp(frames[partner], frames, lam[:, None, None].to(frames.dtype))
    classes = F.one_hot(labels.to(frames.device), num_classes).float()
    targets = torch.lerp(classes[partner], classes, lam.mean((1, 2))[:, None])
    smoothing = config.label_smoothing
    return mixed, targets * (1 - smoothing) + smoothing / num_classes


def _partners(count: int, mode: str, num_views: int) -> Int64[Tensor, " b"]:
    index = torch.arange(count)
    if mode == "batch":
        return index.flip(0)
    if count % (2 * num_views):
        raise ConfigError(
            f'mixing mode "sample" needs pairs of videos, but a micro-batch has {count} clips, '
            f"{num_views} of each video; make batch_size a multiple of ranks x accumulation x "
            f'{2 * num_views} or use mode "batch"'
        )
    return (index // num_views ^ 1) * num_views + index % num_views


def _lambda_map(
    config: MixingConfig, height: int, width: int, rng: np.random.Generator
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Draw lambda of each pixel (h, w), the clip's own part; its mean is the label's."""
    lam = np.ones((height, width), dtype=np.float32)
    if not config.mixup + config.cutmix or rng.random() >= config.probability:
        return lam
    cuts = not config.mixup or (config.cutmix > 0 and rng.random() < config.switch_probability)
    strength = config.cutmix if cuts else config.mixup
    share = rng.beta(strength, strength)
    if not cuts:
        return lam * np.float32(share)
    half_height, half_width = (int(side * math.sqrt(1 - share)) // 2 for side in lam.shape)
    y, x = (int(rng.integers(side)) for side in lam.shape)
    # At the border the box is cut off, so the partner's part is less than drawn.
    lam[max(0, y - half_height) : y + half_height, max(0, x - half_width) : x + half_width] = 0
    return lam
