"""The loss of a waypoint predictor.

Source: Hong et al. 2022 (arXiv:2203.02764), section 4, trains the map by regression; ours compares
distributions, which is what the softmax of decoding reads.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def waypoint_loss(
    scores: Float[Tensor, "b a r"], targets: Float[Tensor, "b a r"]
) -> Float[Tensor, ""]:
    """Mean cross-entropy of maps with targets that sum to 1 (or to 0, which counts nothing)."""
    logs = scores.float().flatten(1).log_softmax(1)
    return -(targets.flatten(1) * logs).sum(1).mean()
