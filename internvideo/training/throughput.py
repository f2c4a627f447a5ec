"""How fast a run goes: clips per second, the share of time spent waiting for data, and MFU.

MFU is model FLOPs (6 x forward multiply-adds a clip, no recomputation counted) per second over the
device's dense peak; it is given on CUDA for the devices of devices.py only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Throughput:
    """Counts clips and waiting between two reports."""

    def __init__(self, *, flops_per_clip: float | None, peak: float | None) -> None:
        self._flops_per_clip, self._peak = flops_per_clip, peak
        self.step_s = 0.0  # mean of the steps that were reported last
        self._begin()

    def _begin(self) -> None:
        self._since, self._waited_s = time.perf_counter(), 0.0
        self._clips = self._steps = 0

    def waiting(self, batches: Iterator[Item]) -> Iterator[Item]:
        """Pass batches on, counting the time until each one is there."""
        while True:
            asked = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self._waited_s += time.perf_counter() - asked
            yield batch

    def count(self, clips: int) -> None:
        """Note one step of so many clips."""
        self._clips += clips
        self._steps += 1

    def report(self) -> dict[str, float]:
        """Rates since the last report; starts anew."""
        elapsed_s = max(time.perf_counter() - self._since, 1e-9)
        self.step_s = elapsed_s / max(1, self._steps)
        rates = {
            "clips_per_s": self._clips / elapsed_s,
            "data_wait_share": self._waited_s / elapsed_s,
        }
        if self._peak and self._flops_per_clip:
            rates["mfu"] = rates["clips_per_s"] * self._flops_per_clip / self._peak
        self._begin()
        return rates
