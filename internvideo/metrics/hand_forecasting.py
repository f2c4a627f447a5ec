"""How far forecast hands are from where they came to be, as Ego4D scores future hand prediction.

Source: Grauman et al. 2022, "Ego4D" (arXiv:2110.07058), appendix on future hand prediction.
Shapes: points (b, 5, 2, 2) in pixels: five moments, left and right hand, x and y. Of these moments
the last is that of the contact.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor


def hand_displacement(
    predicted: Float[Tensor, "b 5 2 2"],
    true: Float[Tensor, "b 5 2 2"],
    visible: Bool[Tensor, "b 5 2"],
) -> dict[str, float]:
    """Mean distances of visible hands, in pixels; a hand that is nowhere visible has none.

    Returns:
        `displacement` over all moments and hands, `left` and `right` over all moments,
        `contact/left` and `contact/right` at the contact alone.
    """
    distance = (predicted - true).norm(dim=-1)
    parts = {
        "displacement": (distance, visible),
        "left": (distance[..., 0], visible[..., 0]),
        "right": (distance[..., 1], visible[..., 1]),
        "contact/left": (distance[:, -1, 0], visible[:, -1, 0]),
        "contact/right": (distance[:, -1, 1], visible[:, -1, 1]),
    }
    return {name: float(d[seen].mean()) for name, (d, seen) in parts.items() if seen.any()}
