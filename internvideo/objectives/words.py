"""Which words a caption has, told from the clip alone, in any order.

Source: Huang et al. 2024, "Classification Done Right for Vision-Language Pre-Training"
(arXiv:2411.03313); beside a contrastive loss, SuperCLIP (arXiv:2512.14480). Words are the tokens of
the vocabulary; each counts by its inverse document frequency, so "a" counts for hardly anything.
Shapes: logits (b, y), ids (b, l), rarity (y); in float32.
Differs: document frequencies are counted once, before training, and not along with it, so that a
step depends on its clips alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Integer
from torch import Tensor


def word_rarity(
    ids: Integer[Tensor, "n l"], padded: Bool[Tensor, "n l"], vocabulary_size: int
) -> Float[Tensor, " y"]:
    """Inverse document frequency, log(n / (1 + captions with the token)); of start and end it is 0.

    Args:
        ids: Captions to count in, or a sample of them, with start and end token.
        padded: True where `ids` is padding.
        vocabulary_size: How many tokens there are.
    """
    counts = torch.zeros(vocabulary_size)
    # Few at a time: a row of CLIP's vocabulary is 200 kB.
    for rows, hidden in zip(ids.split(256), padded.split(256), strict=True):
        counts += _present(rows, hidden, vocabulary_size).sum(0)
    return (len(ids) / (1 + counts)).log().clamp(min=0)


def word_loss(
    logits: Float[Tensor, "b y"],
    ids: Integer[Tensor, "b l"],
    padded: Bool[Tensor, "b l"],
    rarity: Float[Tensor, " y"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy of the tokens of each caption, each once and by its share of rarity.

    Args:
        logits: Scores of all tokens.
        ids: Captions; the order of tokens does not matter.
        padded: True where `ids` is padding.
        rarity: Weight of each token, at least 0. A caption of tokens without weight costs nothing.
    """
    weights = _present(ids, padded, logits.shape[1]) * rarity
    shares = weights / weights.sum(1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    return F.cross_entropy(logits.float(), shares)


def _present(ids: Tensor, padded: Tensor, size: int) -> Float[Tensor, "b y"]:
    """1 for the tokens of each caption. Padding is told by the mask: its id is a byte's too."""
    found = torch.zeros(len(ids), size, device=ids.device)
    return found.scatter_reduce_(1, ids.long(), (~padded).float(), "amax")
