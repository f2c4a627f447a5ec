"""Keys and values kept between the steps of generating text, so that no token is read twice.

Every attention that takes part looks itself up in one cache, so nothing has to know how many
layers there are. Shapes: key and value (b, ..., n, e), tokens on the last axis but one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Int64
from torch import Tensor, nn

KeyValue = tuple[Tensor, Tensor]


class KeyValueCache:
    """What each attention has read so far; rows are captions being written."""

    def __init__(self) -> None:
        self._kept: dict[nn.Module, KeyValue] = {}

    def num_read(self, attention: nn.Module) -> int:
        """Count the tokens whose keys this attention has kept."""
        return self._kept[attention][0].shape[-2] if attention in self._kept else 0

    def extend(self, attention: nn.Module, key: Tensor, value: Tensor) -> KeyValue:
        """Append keys and values of new tokens, and return those of all."""
        if attention in self._kept:
            past_key, past_value = self._kept[attention]
            key, value = torch.cat([past_key, key], -2), torch.cat([past_value, value], -2)
        self._kept[attention] = key, value
        return key, value

    def once(self, attention: nn.Module, make: Callable[[], KeyValue]) -> KeyValue:
        """Make keys and values the first time, and return the same ever after."""
        if attention not in self._kept:
            self._kept[attention] = make()
        return self._kept[attention]

    def keep_rows(self, rows: Int64[Tensor, " r"]) -> None:
        """Let row i go on from what row rows[i] has read."""
        self._kept = {a: (key[rows], value[rows]) for a, (key, value) in self._kept.items()}
