"""Exponential moving average of a model's trainable parameters.

Own code and not `AveragedModel`, which copies the module and so cannot follow one that FSDP2 has
sharded; this keeps a list of tensors of the same placement.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from internvideo.training.checkpoint import model_state, restore_model
from internvideo.training.gradients import local
from internvideo.training.sharded import SHARDS, model_shards, read_into


class MovingAverage:
    """average <- decay * average + (1 - decay) * parameter, after every optimiser step."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._average = [p.detach().clone() for p in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        average = [local(tensor) for tensor in self._average]
        torch._foreach_lerp_(average, [local(p) for p in self._parameters], 1 - self.decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model have the averaged parameters, and give it back its own."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def state(self) -> dict[str, Tensor]:
        with self.in_place():
            return {name: value.clone() for name, value in model_state(self.model).items()}

    def shards(self) -> dict[str, Tensor]:
        """This rank's part of the averages, by their names in a sharded checkpoint."""
        with self.in_place():
            return {name: part.clone() for name, part in model_shards(self.model, "ema").items()}

    def restore_shards(self, folder: Path) -> None:
        """Read this rank's part of the averages from a sharded checkpoint."""
        with self.in_place():
            read_into(model_shards(self.model, "ema"), folder / SHARDS)

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        own = [p.detach().clone() for p in self._parameters]
        restore_model(self.model, state)
        for average, parameter, kept in zip(self._average, self._parameters, own, strict=True):
            average.copy_(parameter)
            parameter.copy_(kept)

    @torch.no_grad()
    def _exchange(self) -> None:
        for average, parameter in zip(self._average, self._parameters, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(kept)
