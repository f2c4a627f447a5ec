"""Retrieval among held-back clips and their captions, and how well captions are predicted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from internvideo.metrics import retrieval_metrics
from internvideo.models import TextEmbedding, VideoEmbedding
from internvideo.training import CachedGradients
from internvideo.values import ClipBatch

logger = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True, eq=False)
class MicroBatch:
    """A micro-batch as the network gets it; what depends on the whole step is filled in later."""

    batch: ClipBatch
    ids: Int64[Tensor, "b l"]
    padded: Bool[Tensor, "b l"]
    # Each sentence once, and which of them belongs to each clip; places that are not padding. Found
    # on the processor, where nothing has to be waited for.
    sentences: Int64[Tensor, "s l"]
    sentence: Int64[Tensor, " b"]
    counted: Int64[Tensor, " n"]
    num_targets: Tensor | None = None
    cached: CachedGradients | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EvaluatedClip:
    """One held-back clip, on the processor."""

    caption: str
    video: Float[Tensor, " e"]
    text: Float[Tensor, " e"]
    caption_cost: float | None
    num_targets: int


def evaluated_clips(
    part: MicroBatch,
    video: VideoEmbedding,
    text: TextEmbedding,
    logits: Float[Tensor, "b l y"] | None,
) -> list[EvaluatedClip]:
    """Take apart what the network made of a micro-batch; `logits` are of the next tokens."""
    costs = None
    if logits is not None:
        targets = part.ids[:, 1:].masked_fill(part.padded[:, 1:], -100)
        costs = F.cross_entropy(logits.float().mT, targets, reduction="none").sum(1)
    assert part.batch.captions is not None
    return [
        EvaluatedClip(
            caption=caption,
            video=video.embedding[i].cpu(),
            text=text.embedding[i].cpu(),
            caption_cost=None if costs is None else float(costs[i]),
            num_targets=int((~part.padded[i, 1:]).sum()),
        )
        for i, caption in enumerate(part.batch.captions)
    ]


def clip_scores(clips: Sequence[EvaluatedClip], logit_scale: Float[Tensor, ""]) -> dict[str, float]:
    """Score retrieval among clips of different captions, and what else is known of them."""
    if not clips:
        logger.warning("none of the held-back videos can be decoded: nothing is evaluated")
        return {"clips": 0.0}
    different = list({clip.caption: clip for clip in clips}.values())
    videos, texts = (
        torch.stack([getattr(clip, name) for clip in different]) for name in ("video", "text")
    )
    scale = logit_scale.detach().exp().cpu().float()
    scores = retrieval_metrics(scale * texts @ videos.T, torch.arange(len(different)))
    result = {name: scores[name] for name in ("t2v/r1", "t2v/r5", "t2v/median_rank", "v2t/r1")}
    if clips[0].caption_cost is not None:
        tokens = sum(clip.num_targets for clip in clips)
        result["captioning"] = sum(clip.caption_cost or 0.0 for clip in clips) / tokens
    return {**result, "captions": float(len(different)), "clips": float(len(clips))}
