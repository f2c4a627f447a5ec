"""Dual softmax loss: cross-entropy of scores weighed by their share among the texts.

Source: Cheng et al. 2021 (arXiv:2109.04290), equation 4; `dual_softmax_loss` of
Video-Text-Retrieval in the InternVideo release, whose training does not use it.
Shapes: logits (b, b), row i belongs to column i -> (b,).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def dual_softmax_loss(
    logits: Float[Tensor, "b b"], *, temperature: float = 1000.0
) -> Float[Tensor, " b"]:
    """Give the loss of each row; its mean is the loss of one direction."""
    weighed = logits * (logits / temperature).softmax(0) * len(logits)
    return -weighed.log_softmax(1).diagonal()
