"""Answers that several tasks give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class RankedTexts:
    """Texts (classes, sentences, options) with their scores, the best first."""

    ranked: tuple[tuple[str, float], ...]

    @classmethod
    def best(cls, texts: Sequence[str], scores: Float[Tensor, " y"], *, top: int) -> RankedTexts:
        """Rank texts by their scores and keep the `top` best."""
        values, order = scores.sort(descending=True)
        names = (texts[i] for i in order.tolist())
        return cls(ranked=tuple(zip(names, values.tolist(), strict=True))[:top])

    def lines(self) -> list[str]:
        return [f"{score:8.3f}  {text}" for text, score in self.ranked]

    def to_json(self) -> dict[str, Any]:
        return {"answers": [{"text": text, "score": score} for text, score in self.ranked]}
