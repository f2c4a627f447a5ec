"""A loss on false sentences of each clip's own: the opposite, the negation, wrong answers.

Source: the negatives of NegCLIP (Yuksekgonul et al. 2023, arXiv:2210.01936) and the choice among a
video's own options of multiple choice (Yu et al. 2018). Unlike there the false sentences of other
clips play no part: against these the contrastive loss works already.
Shapes: scaled similarities of b clips to their true sentence (b) and to k false ones (b, k).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def hard_negative_loss(
    true: Float[Tensor, " b"],
    false: Float[Tensor, "b k"],
    padded: Bool[Tensor, "b k"],
    *,
    count: Float[Tensor, ""] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy of the true sentence among a clip's own, over clips that have a false one.

    Args:
        true: Scaled similarity of each clip to what is true of it.
        false: To its false sentences.
        padded: True where there is none.
        count: What the sum is divided by; the number of clips with a false sentence unless given,
            as where the mean runs over several ranks.
    """
    counted = ~padded.all(1)
    options = torch.cat([true[:, None], false.masked_fill(padded, -torch.inf)], dim=1).float()
    right = torch.zeros(len(true), dtype=torch.int64, device=true.device)
    losses = F.cross_entropy(options, right, reduction="none")
    total = (losses * counted).sum()
    return total / (counted.sum().clamp(min=1) if count is None else count.clamp(min=1e-6))
