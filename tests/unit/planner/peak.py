"""Prints the peak of resident memory of three training steps of a run's stage, beside the start.

    python -m tests.unit.planner.peak NAME

Run alone in a process: what a process has once used, the operating system counts for ever.
"""

from __future__ import annotations

import gc
import resource
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

BATCH = {"masked": 24, "multimodal": 16, "recognition": 6}


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


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main(name: str) -> int:
    torch.set_num_threads(1)
    run = run_of(name)
    example = stage_example(run.stage)
    example.loss(example.build(), 1).backward()  # libraries and kernels are loaded by it
    gc.collect()
    before = resident_bytes()
    model = example.build().train()
    optimisers = build_optimisers(model, run.training.optimiser)
    for _ in range(2):
        with autocast(run.training.precision, torch.device("cpu")):
            loss = example.loss(model, BATCH[name]).float()
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


if __name__ == "__main__":
    print(main(sys.argv[1]))
