"""Numeric precision of a run: which autocast, and whether the loss is scaled.

bf16 autocast is about 1.8 times as fast as fp32 on processors that multiply bf16 natively, so
`auto` takes it there and on CUDA, and fp32 elsewhere. Weights and optimiser state stay float32.
"""

from __future__ import annotations

import contextlib
from typing import Literal

import torch

Precision = Literal["auto", "fp32", "bf16", "fp16"]

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """Replace `auto` by what suits the device."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return "bf16"
    return "fp32"


def autocast(precision: Precision, device: torch.device) -> contextlib.AbstractContextManager:
    """Context in which the forward pass runs."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=_DTYPES[precision])


def loss_scaler(precision: Precision, device: torch.device) -> torch.amp.GradScaler:
    """Dynamic loss scaling for fp16; a scaler that does nothing otherwise."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")
