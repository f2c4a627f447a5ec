"""Running means of what a run logs, between two lines of its journal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from internvideo.training.parallel import Process, sum_over_ranks


class Window:
    """Sums by name, kept on the device until they are wanted; `state` survives a stop."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), dtype=torch.float64))
        self.num_steps = 0
        self.lr = 0.0

    def add(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums[name].to(value.device) + value.detach().double()

    def close_step(self, lr: float) -> None:
        self.num_steps += 1
        self.lr = lr

    def totals(self, process: Process) -> dict[str, float]:
        """Sums over the steps, averaged over the ranks."""
        names = sorted(self.sums)
        if not names:
            return {}
        totals = torch.stack([self.sums[name].to(process.device) for name in names])
        return dict(
            zip(names, (sum_over_ranks(totals) / process.share.count).tolist(), strict=True)
        )

    def means(self, process: Process) -> dict[str, float]:
        means = {name: total / self.num_steps for name, total in self.totals(process).items()}
        return {**means, "lr": self.lr}

    def state(self, process: Process) -> dict[str, Any]:
        return {"sums": self.totals(process), "num_steps": self.num_steps, "lr": self.lr}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Window:
        window = cls()
        for name, total in state["sums"].items():
            window.sums[name] = torch.tensor(total, dtype=torch.float64)
        window.num_steps, window.lr = state["num_steps"], state["lr"]
        return window
