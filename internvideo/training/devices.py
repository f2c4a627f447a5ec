"""Accelerators by name: dense peak rates and memory, from their makers' data sheets.

Rates are multiply-adds times two (FLOP) a second, without sparsity; fp32 is the plain rate (tf32
off). Sources: NVIDIA data sheets of V100 (DA-08938), T4 (DS-T4), A100 80GB (PB-10577), L4, H100 SXM
(DS-11306) and H200 SXM. Memory is in GB (1e9 bytes) as the sheets have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """One kind of accelerator; `peak` is FLOP/s by precision."""

    memory_gb: int
    peak: Mapping[str, float]
    source: str


DEVICES: dict[str, Device] = {
    "V100": Device(
        memory_gb=32, peak={"fp32": 15.7e12, "fp16": 125e12}, source="V100 SXM2 data sheet"
    ),
    "T4": Device(memory_gb=16, peak={"fp32": 8.1e12, "fp16": 65e12}, source="T4 data sheet"),
    "A100": Device(
        memory_gb=80,
        peak={"fp32": 19.5e12, "fp16": 312e12, "bf16": 312e12},
        source="A100 80GB SXM data sheet",
    ),
    "L4": Device(
        memory_gb=24,
        peak={"fp32": 30.3e12, "fp16": 121e12, "bf16": 121e12},
        source="L4 data sheet, halved for dense",
    ),
    "H100": Device(
        memory_gb=80,
        peak={"fp32": 67e12, "fp16": 989e12, "bf16": 989e12},
        source="H100 SXM data sheet, halved for dense",
    ),
    "H200": Device(
        memory_gb=141,
        peak={"fp32": 67e12, "fp16": 989e12, "bf16": 989e12},
        source="H200 SXM data sheet, halved for dense",
    ),
}


def peak_flops(device: torch.device, precision: str) -> float | None:
    """Dense peak of a CUDA device in this precision, or None where it is not known."""
    if device.type != "cuda":
        return None
    words = torch.cuda.get_device_name(device).replace("-", " ").split()
    known = next((DEVICES[name] for name in DEVICES if name in words), None)
    return known.peak.get(precision) if known else None


def attention_backends(device: torch.device) -> list[str]:
    """Kernels that torch may take for scaled dot-product attention there, the fastest first."""
    if device.type != "cuda":
        return ["cpu"]
    cuda = torch.backends.cuda
    enabled = {
        "cudnn": cuda.cudnn_sdp_enabled(),
        "flash": cuda.flash_sdp_enabled(),
        "memory-efficient": cuda.mem_efficient_sdp_enabled(),
        "math": cuda.math_sdp_enabled(),
    }
    return [name for name, is_on in enabled.items() if is_on]
