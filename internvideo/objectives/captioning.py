"""Cross-entropy of a caption's next token.

Source: CoCa (arXiv:2205.01917, equation 3), as the released InternVideo code computes it.
Shapes: logits (b, l, y) at tokens 0..l-1 of captions of l + 1 ids; in float32.
Differs: padding is told by a mask and not by its id, which is a byte of the vocabulary too; and the
mean may be taken over more tokens than the call sees.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, Integer
from torch import Tensor


def captioning_loss(
    logits: Float[Tensor, "b l y"],
    ids: Integer[Tensor, "b l+1"],
    padded: Bool[Tensor, "b l+1"],
    *,
    label_smoothing: float = 0.0,
    num_targets: Float[Tensor, ""] | float | None = None,
    counted: Int64[Tensor, " n"] | None = None,
) -> Float[Tensor, ""]:
    """Mean cost of predicting ids[:, i + 1] by logits[:, i], where that id is not padding.

    Args:
        logits: Scores of the next token.
        ids: Captions with start and end token; the end token is a target, the start token is not.
        padded: True where `ids` is padding.
        label_smoothing: Share of the target that is spread over the whole vocabulary.
        num_targets: What to divide the sum by in place of the count in this call. With k ranks of
            unequal counts, give the count over all ranks divided by k: the mean over ranks, of
            losses and of gradients, is then the mean over all tokens.
        counted: Places of what is not padding, see `counted_places`; found beforehand, on the
            processor, they spare the wait for a device that has to count them.
    """
    if counted is None:
        counted = counted_places(padded)
    # Most positions are padding: only the others are copied to float32.
    total = F.cross_entropy(
        logits.flatten(0, 1)[counted].float(),
        ids[:, 1:].flatten()[counted].long(),
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    return total / (count_targets(padded) if num_targets is None else num_targets)


def counted_places(padded: Bool[Tensor, "b l"]) -> Int64[Tensor, " n"]:
    """Where the targets are that are not padding, in the flattened (b, l - 1)."""
    return (~padded[:, 1:]).flatten().nonzero()[:, 0]


def count_targets(padded: Bool[Tensor, "b l"]) -> Int64[Tensor, ""]:
    """How many tokens `captioning_loss` averages over; at least 1, since it divides."""
    return (~padded[:, 1:]).sum().clamp(min=1)
