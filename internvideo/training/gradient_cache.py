"""A contrastive loss over more clips than memory holds activations of.

Source: Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"
(arXiv:2101.06983). A first pass without gradients embeds all micro-batches of a step; the gradient
of the loss at each embedding then takes the place of the loss in a second pass (`surrogate_loss`),
micro-batch by micro-batch. Between ranks embeddings are gathered as without a cache.
Shapes: embeddings have a row for each clip of the micro-batch, of any further shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from internvideo.training.parallel import gather_rows
from internvideo.training.random_state import RandomState

Embed = Callable[[], tuple[Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CachedGradients:
    """The loss of a step, and its gradients at the embeddings of one micro-batch and the scale.

    `random_state` is what the first pass began with; the second restores it before it embeds.
    """

    loss: Tensor
    of_video: Tensor
    of_text: Tensor
    scale: Tensor
    of_scale: Tensor
    random_state: RandomState

    def surrogate_loss(self, video: Tensor, text: Tensor) -> Tensor:
        """The loss, with gradients that lead on through these embeddings."""
        linear = (
            (video * self.of_video).sum()
            + (text * self.of_text).sum()
            + (self.scale * self.of_scale).sum()
        )
        return self.loss + (linear - linear.detach())


def cache_gradients(
    embed: Sequence[Embed],
    contrastive: Callable[[Tensor, Tensor, int], Tensor],
    scale: Tensor,
    device: torch.device,
) -> list[CachedGradients]:
    """Embed all micro-batches, take the loss of the step, keep its gradient at each embedding.

    Args:
        embed: Embeds one micro-batch of this rank each, the same way again from the same random
            state: videos and texts.
        contrastive: The loss from the videos and texts of all ranks, and this rank's number.
        scale: The parameter of the loss itself.
        device: Whose random numbers are drawn.
    """
    embedded, states = [], []
    with torch.no_grad():
        for make in embed:
            states.append(RandomState.now(device))
            embedded.append(make())
    with torch.enable_grad():
        video, text = (torch.cat(side).requires_grad_() for side in zip(*embedded, strict=True))
        loss = contrastive(gather_rows(video), gather_rows(text), len(video))
        of_video, of_text, of_scale = torch.autograd.grad(loss, [video, text, scale])
    # Losses of micro-batches are averaged, and each has the gradient of the whole step.
    count = len(embed)
    return [
        CachedGradients(
            loss=loss.detach(),
            of_video=of_own_video * count,
            of_text=of_own_text * count,
            scale=scale,
            of_scale=of_scale,
            random_state=state,
        )
        for state, of_own_video, of_own_text in zip(
            states, of_video.chunk(count), of_text.chunk(count), strict=True
        )
    ]
