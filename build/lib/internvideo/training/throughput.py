"""How fast a run goes: clips per second, the share of time spent waiting for data, and MFU.

MFU is model FLOPs (6 x forward multiply-adds a clip, no recomputation counted) per second over the
device's dense peak; it is given on CUDA for devices in the table below only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypeVar

import torch

Item = TypeVar("Item")

# Dense peak FLOP/s by precision, from the makers' data sheets (tf32 off: fp32 is the plain rate).
PEAK_FLOPS = {
    "V100": {"fp32": 15.7e12, "fp16": 125e12},
    "T4": {"fp32": 8.1e12, "fp16": 65e12},
    "A100": {"fp32": 19.5e12, "fp16": 312e12, "bf16": 312e12},
    "L4": {"fp32": 30.3e12, "fp16": 121e12, "bf16": 121e12},
    "H100": {"fp32": 67e12, "fp16": 989e12, "bf16": 989e12},
    "H200": {"fp32": 67e12, "fp16": 989e12, "bf16": 989e12},
}


def peak_flops(device: torch.device, precision: str) -> float | None:
    """Dense peak of a CUDA device in this precision, or None where it is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    rows = [rates for key, rates in PEAK_FLOPS.items() if key in name.replace("-", " ").split()]
    return rows[0].get(precision) if rows else None


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
