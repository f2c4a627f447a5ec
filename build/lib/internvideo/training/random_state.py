"""Where torch's generators are, so that a second pass drops out what the first did."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RandomState:
    """State of the processor's generator, and of the device's where it has its own."""

    processor: Tensor
    device: Tensor | None

    @classmethod
    def now(cls, device: torch.device) -> RandomState:
        on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(processor=torch.get_rng_state(), device=on_device)

    def restore(self, device: torch.device) -> None:
        torch.set_rng_state(self.processor)
        if self.device is not None:
            torch.cuda.set_rng_state(self.device, device)
