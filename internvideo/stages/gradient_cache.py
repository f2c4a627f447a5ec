"""A contrastive loss over more clips than memory holds activations of.

Source: Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"
(arXiv:2101.06983). A first pass without gradients embeds all micro-batches of a step; the gradient
of the loss at each embedding then takes the place of the loss in a second pass (`surrogate_loss`),
micro-batch by micro-batch. Between ranks embeddings are gathered as without a cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from internvideo.models import TextEmbedding, VideoEmbedding
from internvideo.training import RandomState, gather_rows
from internvideo.values import ClipBatch


@dataclass(kw_only=True, slots=True, eq=False)
class MicroBatch:
    """A micro-batch as the network gets it; what depends on the whole step is filled in later."""

    batch: ClipBatch
    ids: Int64[Tensor, "b l"]
    padded: Bool[Tensor, "b l"]
    num_targets: Tensor | None = None
    random_state: RandomState | None = None
    cached: CachedGradients | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CachedGradients:
    """The loss of a step, and its gradients at the embeddings of one micro-batch and the scale."""

    loss: Tensor
    of_video: Tensor
    of_text: Tensor
    scale: Tensor
    of_scale: Tensor

    def surrogate_loss(self, video: Tensor, text: Tensor) -> Tensor:
        """The loss, with gradients that lead on through these embeddings."""
        linear = (
            (video * self.of_video).sum()
            + (text * self.of_text).sum()
            + (self.scale * self.of_scale).sum()
        )
        return self.loss + (linear - linear.detach())


def cache_gradients(
    parts: Sequence[MicroBatch],
    embed: Callable[[MicroBatch], tuple[VideoEmbedding, TextEmbedding]],
    contrastive: Callable[[Tensor, Tensor, int], Tensor],
    scale: Tensor,
    device: torch.device,
) -> None:
    """Embed all micro-batches, take the loss of the step, keep its gradient at each embedding.

    Args:
        parts: The micro-batches of this rank; each gets its `cached` and its `random_state`.
        embed: Embeds one of them, the same way again from the same random state.
        contrastive: The loss from the videos and texts of all ranks, and this rank's number.
        scale: The parameter of the loss itself.
        device: Whose random numbers are drawn.
    """
    embedded = []
    with torch.no_grad():
        for part in parts:
            part.random_state = RandomState.now(device)
            video, text = embed(part)
            embedded.append((video.embedding, text.embedding))
    with torch.enable_grad():
        video, text = (torch.cat(side).requires_grad_() for side in zip(*embedded, strict=True))
        loss = contrastive(gather_rows(video), gather_rows(text), len(video))
        of_video, of_text, of_scale = torch.autograd.grad(loss, [video, text, scale])
    # Losses of micro-batches are averaged, and each has the gradient of the whole step.
    count = len(parts)
    chunks = zip(parts, of_video.chunk(count), of_text.chunk(count), strict=True)
    for part, of_own_video, of_own_text in chunks:
        part.cached = CachedGradients(
            loss=loss.detach(),
            of_video=of_own_video * count,
            of_text=of_own_text * count,
            scale=scale,
            of_scale=of_scale,
        )
