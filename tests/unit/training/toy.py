"""A stage small enough to train thousands of steps: a line fitted to noisy points."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from internvideo.training import Process, TrainingConfig
from internvideo.training.optim import OptimiserConfig
from internvideo.values import Share


class Toy:
    """Fits four numbers from eight; sample i of step s is a function of (s, i) alone."""

    training_flops_per_clip = None

    def __init__(
        self, config: TrainingConfig, share: Share | None = None, dropout: float = 0.0
    ) -> None:
        self.loss_weights = {"square": 1.0}
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Linear(8, 16), nn.Dropout(dropout), nn.Linear(16, 4))
        self.model = nn.Sequential(OrderedDict(blocks=layers))
        self.config, self.share = config, share or Share()
        self.videos_per_step = config.batch_size
        self.noted: list[int] = []

    def batches(self, first_step: int) -> Iterator[list[Tensor]]:
        step = first_step
        while True:
            rows = np.random.default_rng([7, step]).normal(size=(self.config.batch_size, 8))
            own = np.array_split(rows, self.share.count)[self.share.index]
            parts = np.array_split(own, self.config.accumulation)
            yield [torch.tensor(part, dtype=torch.float32) for part in parts]
            step += 1

    def prepare(self, batches):
        return batches

    def losses(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        target = batch[:, :4] * 2 - batch[:, 4:]
        error = (self.model(batch) - target).square().mean()
        return {"square": error, "mean_baseline": target.square().mean()}

    def evaluate(self) -> dict[str, float]:
        points = torch.ones(2, 8)
        return {"error": float((self.model(points) - 1).square().mean())}

    def documents(self) -> dict[str, Any]:
        return {"labels": ["跳", "run, fast"]}

    def state(self) -> Any:
        return self.noted

    def restore(self, state: Any) -> None:
        self.noted = state


def toy_config(**changes: Any) -> TrainingConfig:
    settings: dict[str, Any] = {
        "num_steps": 20,
        "batch_size": 8,
        "precision": "fp32",
        "log_every": 3,
        "checkpoint_every": 4,
        "optimiser": OptimiserConfig(lr=1e-2, warmup_steps=3),
    }
    return TrainingConfig(**settings | changes)


ONE_PROCESS = Process(share=Share(), device=torch.device("cpu"))
