"""What frozen encoders make of clips, kept in memory and given out in batches instead of clips.

The order depends on the seed alone, and the batch of a step on its number, as with clips.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.models import FrozenFeatures


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FeatureBatch:
    """What a step or an evaluation works on."""

    features: FrozenFeatures
    labels: Int64[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.labels)


class KeptFeatures:
    """Frozen features in memory, in an order that depends on the seed alone.

    `parts` have `num_clips` clips together; each is let go of before the next is read.
    """

    def __init__(
        self,
        parts: Iterable[FeatureBatch],
        num_clips: int,
        *,
        batch_size: int,
        accumulation: int = 1,
        seed: int,
    ) -> None:
        if not num_clips:
            raise ConfigError("there are no clips whose features could be kept")
        self.batch_size, self.accumulation, self.seed = batch_size, accumulation, seed
        at = 0
        for part in parts:
            if not at:
                self.features = part.features.empty_like(num_clips)
                self.labels = part.labels.new_empty(num_clips)
            self.features.fill(at, part.features)
            self.labels[at : at + len(part)] = part.labels
            at += len(part)
        if at != num_clips:
            raise ValueError(f"parts have {at} clips, not {num_clips}")

    def __len__(self) -> int:
        return len(self.labels)

    def reordered(self, seed: int) -> KeptFeatures:
        """The same features in the order of another seed."""
        other = copy.copy(self)
        other.seed = seed
        return other

    def batches(self, first_step: int) -> Iterator[list[FeatureBatch]]:
        """Micro-batches of every step from `first_step` on, without end."""
        at = first_step * self.accumulation * self.batch_size
        while True:
            step = []
            for _ in range(self.accumulation):
                places = [divmod(place, len(self)) for place in range(at, at + self.batch_size)]
                orders = {epoch: self._order(epoch) for epoch in {e for e, _ in places}}
                index = torch.stack([orders[epoch][place] for epoch, place in places])
                step.append(FeatureBatch(features=self.features[index], labels=self.labels[index]))
                at += self.batch_size
            yield step

    def _order(self, epoch: int) -> Int64[Tensor, " n"]:
        generator = torch.Generator().manual_seed(2**20 * self.seed + epoch)
        return torch.randperm(len(self), generator=generator).to(self.labels.device)
