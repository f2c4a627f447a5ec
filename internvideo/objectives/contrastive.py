"""Contrastive losses of videos and texts, over one process or gathered from all ranks.

Sources: CLIP (arXiv:2103.00020, figure 3); InternVideo, section 3.1; MoCo (arXiv:1911.05722) for
queues; the criterion of ViCLIP's released code (`VTC_VTM_Loss`) for captions of several videos.
Shapes: embeddings (g, e) of the whole batch, of length 1 by the caller's doing; everything in
float32 whatever the network's precision. `logit_scale` is the logarithm of what multiplies.

Several ranks: each calls with the embeddings of all ranks, gathered so that gradients flow back,
and `rank_rows` as its part of them. It scores its videos against all texts and its texts against
all videos (b x g numbers, not g x g). The mean over ranks, and the gradients averaged over ranks
after the gather has summed them, are those of one process with the whole batch.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

MAX_LOGIT_SCALE = math.log(100)
_ALL = slice(None)


@torch.no_grad()
def clamp_logit_scale(logit_scale: Float[Tensor, ""]) -> None:
    """Bring the scale back into [0, ln 100], in place; called before every use in training."""
    logit_scale.clamp_(0, MAX_LOGIT_SCALE)


def contrastive_loss(
    video: Float[Tensor, "g e"],
    text: Float[Tensor, "g e"],
    logit_scale: Float[Tensor, ""],
    *,
    rank_rows: slice = _ALL,
) -> Float[Tensor, ""]:
    """Symmetric cross-entropy over all pairs; row i of `video` belongs to row i of `text`.

    Args:
        video: Embeddings of the whole batch.
        text: Embeddings of their captions.
        logit_scale: Logarithm of the factor on the cosines.
        rank_rows: The rows of this rank; the result is their mean.
    """
    to_text, to_video = _logits(video, text, logit_scale, rank_rows)
    return contrastive_loss_of_scores(to_text, to_video, rank_rows=rank_rows)


def contrastive_loss_of_scores(
    to_text: Float[Tensor, "b g"], to_video: Float[Tensor, "b g"], *, rank_rows: slice = _ALL
) -> Float[Tensor, ""]:
    """The same from scaled similarities of any kind.

    Args:
        to_text: Of this rank's videos to all texts.
        to_video: Of this rank's texts to all videos.
        rank_rows: The rows of this rank.
    """
    pairs = torch.arange(to_text.shape[1], device=to_text.device)[rank_rows]
    return (F.cross_entropy(to_text, pairs) + F.cross_entropy(to_video, pairs)) / 2


def matched_contrastive_loss(
    video: Float[Tensor, "g e"],
    text: Float[Tensor, "g e"],
    logit_scale: Float[Tensor, ""],
    ids: Int64[Tensor, " g"],
    *,
    rank_rows: slice = _ALL,
) -> Float[Tensor, ""]:
    """Symmetric cross-entropy where all rows of equal id belong together, in equal parts.

    With distinct ids it is `contrastive_loss`.
    """
    matched = (ids[rank_rows, None] == ids).float()
    targets = matched / matched.sum(1, keepdim=True)
    to_text, to_video = _logits(video, text, logit_scale, rank_rows)
    return (F.cross_entropy(to_text, targets) + F.cross_entropy(to_video, targets)) / 2


def queue_contrastive_loss(
    video: Float[Tensor, "b e"],
    text: Float[Tensor, "b e"],
    momentum_video: Float[Tensor, "b e"],
    momentum_text: Float[Tensor, "b e"],
    queued_video: Float[Tensor, "k e"],
    queued_text: Float[Tensor, "k e"],
    logit_scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Find the momentum embedding of the partner among embeddings queued before.

    A slowly moving copy of the network makes both, and they get no gradient. The other rows of
    the batch play no part.
    """
    right = torch.zeros(len(video), dtype=torch.int64, device=video.device)
    to_text = queue_logits(video, momentum_text, queued_text, logit_scale)
    to_video = queue_logits(text, momentum_video, queued_video, logit_scale)
    return (F.cross_entropy(to_text, right) + F.cross_entropy(to_video, right)) / 2


def queue_logits(
    query: Float[Tensor, "b e"],
    momentum: Float[Tensor, "b e"],
    queued: Float[Tensor, "k e"],
    logit_scale: Float[Tensor, ""],
) -> Float[Tensor, "b k+1"]:
    """Score each query against its momentum partner (column 0) and the queue."""
    query, scale = query.float(), logit_scale.float().exp()
    with torch.autocast(query.device.type, enabled=False):
        own = (query * momentum.detach().float()).sum(1, keepdim=True)
        return scale * torch.cat([own, query @ queued.detach().float().mT], dim=1)


def _logits(
    video: Tensor, text: Tensor, logit_scale: Tensor, rank_rows: slice
) -> tuple[Tensor, Tensor]:
    """Score own videos against all texts, and own texts against all videos; each (b, g)."""
    video, text, scale = video.float(), text.float(), logit_scale.float().exp()
    with torch.autocast(video.device.type, enabled=False):  # it would round the products
        return scale * video[rank_rows] @ text.mT, scale * text[rank_rows] @ video.mT
