"""Prints the peak of resident memory of two training steps of a run's stage, beside the start.

    MALLOC_TRIM_THRESHOLD_=65536 python -m tests.unit.planner.peak NAME

The variable lets what is freed go back to the system. The peak is the kernel's own (`VmHWM`), which
counts from zero where it is asked to; `ru_maxrss` would be at least what the process that started
this one has used.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from dataclasses import replace
from pathlib import Path

import torch

from internvideo.models import MaskedEncoderConfig
from internvideo.planner import stage_example
from internvideo.recipes import recipe
from internvideo.runs import Run
from internvideo.training.optim import build_optimisers
from internvideo.training.precision import autocast

BATCH = {"masked": 12, "multimodal": 16, "recognition": 6}


def run_of(name: str) -> Run:
    """Tiny runs whose step needs some hundred MB: what libraries need does not count there."""
    if name == "multimodal":
        run = recipe("multimodal_tiny_playground")
        training = replace(run.training, optimiser=replace(run.training.optimiser, muon=None))
        return replace(run, training=replace(training, precision="fp32"))
    run = recipe("mae_tiny_videos" if name == "masked" else "post_pretrain_tiny_playground")
    encoder = MaskedEncoderConfig(side_px=64, num_frames=16, width=384, depth=8, num_heads=6)
    encoder = replace(encoder, tubelet=replace(encoder.tubelet, height=8, width=8))
    if name == "masked":
        stage = replace(run.stage, encoder=encoder, front_end=None)
        return replace(run, stage=stage, training=replace(run.training, precision="fp32"))
    encoder = replace(encoder, depth=4, final_norm=False, recompute_activations=True)
    model = replace(run.stage.model, encoder=encoder, front_end=None)
    training = replace(run.training, precision="fp32")
    return replace(run, stage=replace(run.stage, model=model), training=training)


def resident_bytes(what: str) -> int:
    """Memory of this process now (`VmRSS`), or the most since `clear_refs` (`VmHWM`)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def main(name: str) -> int:
    torch.set_num_threads(1)
    run = run_of(name)
    example = stage_example(run.stage)
    example.loss(example.build(), 1).backward()  # libraries and kernels are loaded by it
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is left of it would be used again, and not count
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins at what is used now
    before = resident_bytes("VmRSS")
    model = example.build().train()
    optimisers = build_optimisers(model, run.training.optimiser)
    for _ in range(2):
        with autocast(run.training.precision, torch.device("cpu")):
            loss = example.loss(model, BATCH[name]).float()
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
    return resident_bytes("VmHWM") - before


if __name__ == "__main__":
    print(main(sys.argv[1]))
