"""Running means of what a run logs, between two lines of its journal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from internvideo.training.parallel import Process, sum_over_ranks


class Window:
    """Sums by name, kept on the device until they are wanted; `state` survives a stop.

    A name need not be there in every step (losses of another kind of data): its mean is taken over
    the steps that had it, which all ranks agree on.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), dtype=torch.float64))
        self.num_steps: Counter[str] = Counter()
        self.lr = 0.0
        self._seen: set[str] = set()

    def add(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums[name].to(value.device) + value.detach().double()
        self._seen.update(values)

    def close_step(self, lr: float) -> None:
        self.num_steps.update(self._seen)
        self._seen.clear()
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
        totals = self.totals(process)
        means = {name: total / self.num_steps[name] for name, total in totals.items()}
        return {**means, "lr": self.lr}

    def state(self, process: Process) -> dict[str, Any]:
        return {
            "sums": self.totals(process),
            "num_steps": dict(self.num_steps),
            "lr": self.lr,
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Window:
        window = cls()
        for name, total in state["sums"].items():
            window.sums[name] = torch.tensor(total, dtype=torch.float64)
        window.num_steps, window.lr = Counter(state["num_steps"]), state["lr"]
        return window
