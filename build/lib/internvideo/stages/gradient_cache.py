"""A contrastive loss over more clips than memory holds activations of.

Source: Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"
(arXiv:2101.06983). A first pass without gradients embeds all micro-batches of a step; the gradient
that the loss gives each embedding then stands in for the loss in a second pass, micro-batch by
micro-batch. Between ranks embeddings are gathered as without a cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from internvideo.models import VideoEmbedding
from internvideo.training import RandomState, gather_rows
from internvideo.values import ClipBatch


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Texts:
    """Captions in the shared space, their tokens, and the wrong captions of each clip."""

    embedding: Float[Tensor, "b e"]
    tokens: Float[Tensor, "b l d"]
    extra: Float[Tensor, "b k e"] | None


@dataclass(kw_only=True, slots=True, eq=False)
class Work:
    """A micro-batch as the network gets it; what depends on the whole step is filled in later."""

    batch: ClipBatch
    ids: Int64[Tensor, "b l"]
    padded: Bool[Tensor, "b l"]
    negatives: Int64[Tensor, "bk l2"] | None
    visible_index: Int64[Tensor, "b k"] | None
    num_targets: Tensor | None = None
    random_state: RandomState | None = None
    cached: Cached | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cached:
    """What the loss of a step gives the embeddings of one micro-batch, and the scales."""

    loss: Tensor
    of_rows: tuple[Tensor, ...]
    scales: tuple[Tensor, ...]
    of_scales: tuple[Tensor | None, ...]

    def stand_in(self, video: Tensor, text: Texts) -> Tensor:
        """The loss, with gradients that lead on through these embeddings."""
        rows = [part for part in (video, text.embedding, text.extra) if part is not None]
        pairs = zip((*rows, *self.scales), (*self.of_rows, *self.of_scales), strict=True)
        linear = sum((part * gradient).sum() for part, gradient in pairs if gradient is not None)
        return self.loss + (linear - linear.detach())


def cache_gradients(
    works: Sequence[Work],
    embed: Callable[[Work], tuple[VideoEmbedding, Texts]],
    contrastive: Callable[[Tensor, Tensor, Tensor | None, int], Tensor],
    scales: Sequence[Tensor | None],
    device: torch.device,
) -> None:
    """Embed all micro-batches, take the loss of the step, keep what it gives each embedding.

    Args:
        works: The micro-batches of this rank; each gets its `cached` and its `random_state`.
        embed: Embeds one of them, the same way again from the same random state.
        contrastive: The loss from the videos and texts of all ranks, this rank's wrong captions
            and its number of videos.
        scales: Parameters of the loss itself, None where there is none.
        device: Whose random numbers are drawn.
    """
    embedded = []
    with torch.no_grad():
        for work in works:
            work.random_state = RandomState.now(device)
            video, text = embed(work)
            embedded.append((video.embedding, text.embedding, text.extra))
    with torch.enable_grad():
        leaves = [
            None if parts[0] is None else torch.cat(parts).detach().requires_grad_()
            for parts in zip(*embedded, strict=True)
        ]
        video, text, extra = leaves
        assert video is not None and text is not None
        loss = contrastive(gather_rows(video), gather_rows(text), extra, len(video))
        there = tuple(scale for scale in scales if scale is not None)
        rows = [leaf for leaf in leaves if leaf is not None]
        gradients = torch.autograd.grad(loss, [*rows, *there], allow_unused=True)
    of_rows = [part.chunk(len(works)) for part in gradients[: len(rows)]]
    for number, work in enumerate(works):
        work.cached = Cached(
            loss=loss.detach(),
            of_rows=tuple(part[number] * len(works) for part in of_rows),
            scales=there,
            of_scales=gradients[len(rows) :],
        )
