"""Prints the peak of memory of two training steps of a run's stage, beside the start.

    MALLOC_TRIM_THRESHOLD_=65536 python -m tests.unit.planner.peak NAME

The variable lets what is freed go back to the system. Counted is the process's own memory
(`RssAnon`), looked at every millisecond: pages of libraries come and go as the system likes.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from internvideo.models import MaskedEncoderConfig
from internvideo.planner import StageExample, stage_example
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


def own_bytes() -> int:
    """Memory of this process, libraries aside."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


@contextlib.contextmanager
def peak_of_memory() -> Iterator[list[int]]:
    """A list whose last value is, once left, the most that was in use."""
    peaks, is_over = [own_bytes()], threading.Event()

    def look() -> None:
        while not is_over.wait(0.001):
            peaks.append(max(peaks.pop(), own_bytes()))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peaks
    finally:
        is_over.set()
        thread.join()


def two_steps(run: Run, example: StageExample, batch_size: int) -> None:
    model = example.build().train()
    optimisers = build_optimisers(model, run.training.optimiser)
    for _ in range(2):
        with autocast(run.training.precision, torch.device("cpu")):
            loss = example.loss(model, batch_size).float()
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)


def main(name: str) -> int:
    torch.set_num_threads(1)
    run = run_of(name)
    example = stage_example(run.stage)
    two_steps(run, example, 1)  # whatever is loaded or built once
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is left of it would be used again, and not count
    before = own_bytes()
    with peak_of_memory() as peaks:
        two_steps(run, example, BATCH[name])
    return peaks[-1] - before


if __name__ == "__main__":
    print(main(sys.argv[1]))
