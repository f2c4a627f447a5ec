"""What this machine gives, in the units that a plan needs: decoding, reading batches, a step.

Each part is a JSON object; `internvideo plan --measured FILE` takes them in place of assumptions.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from internvideo.errors import ConfigError, DecodeError
from internvideo.planner.examples import stage_example
from internvideo.runs import Run
from internvideo.training.compiling import compile_blocks
from internvideo.training.devices import peak_flops
from internvideo.training.optim import build_optimisers
from internvideo.training.precision import autocast, resolve_precision
from internvideo.video import open_video

_NUM_FRAMES, _STRIDE = 16, 4


def measure_decoding(
    files: Sequence[Path], *, limit_s: float | int, short_side_px: int = 256, seed: int = 0
) -> dict[str, Any]:
    """Decode 16 frames, 4 apart, from random places of random files, by one core.

    Raises:
        ConfigError: If no file can be decoded.
    """
    rng = np.random.default_rng(seed)
    count, failed, megabytes = 0, 0, []
    began, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < limit_s:
        file = files[rng.integers(len(files))]
        try:
            with open_video(file) as video:
                span = min(video.num_frames, _NUM_FRAMES * _STRIDE)
                first = int(rng.integers(video.num_frames - span + 1))
                indices = range(first, first + span, _STRIDE)
                video.frames(list(indices), short_side_px=short_side_px)
        except (DecodeError, ValueError):
            failed += 1
            if failed > 20 + count:
                break
            continue
        count += 1
        megabytes.append(file.stat().st_size / 1e6)
    seconds = time.process_time() - used
    if not count:
        raise ConfigError("no video can be decoded; `internvideo data scan` says why")
    return {
        "clips_per_core_s": count / seconds,
        "clips": count,
        "failed": failed,
        "video_mb": statistics.fmean(megabytes),
        "frames": _NUM_FRAMES,
        "stride_frames": _STRIDE,
        "short_side_px": short_side_px,
    }


def measure_data(
    steps: Iterable[Sequence[Any]], run: Run, *, limit_s: float | int
) -> dict[str, Any]:
    """Read a run's batches as training does, as fast as they come; videos a second and core."""
    iterator = iter(steps)
    next(iterator)  # workers start
    began, clips = time.perf_counter(), 0
    for batches in iterator:
        clips += sum(map(len, batches))
        if time.perf_counter() - began >= limit_s:
            break
    seconds = time.perf_counter() - began
    videos, workers = clips / run.data.views_per_video, max(1, run.data.num_workers)
    return {
        "clips_per_core_s": videos / seconds / workers,
        "clips_per_s": clips / seconds,
        "workers": workers,
        "recipe": run.name,
    }


def measure_step(run: Run, device: torch.device, *, batch_size: int, steps: int) -> dict[str, Any]:
    """Train a run's network on clips of zeros, forward, backward and update, without its data.

    Raises:
        ConfigError: If there is no example of this kind of stage.
    """
    example = stage_example(run.stage)
    if example is None:
        raise ConfigError(f"{run.name}: a step of this kind of stage cannot be measured alone")
    precision = resolve_precision(run.training.precision, device)
    torch.manual_seed(0)
    with device:
        model = example.build().train()
    compile_blocks(model, run.training.compile, device)
    optimisers = build_optimisers(model, run.training.optimiser)
    durations = []
    for _ in range(steps + 2):
        began = time.perf_counter()
        with device, autocast(precision, device):
            loss = example.loss(model, batch_size)
        loss.float().backward()
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        durations.append(time.perf_counter() - began)
    step_s = statistics.median(durations[2:])  # the first ones choose kernels
    flops_per_s = batch_size / step_s * run.stage.training_flops_per_clip
    peak = peak_flops(device, precision)
    found = {
        "recipe": run.name,
        "precision": precision,
        "clips_per_s": batch_size / step_s,
        "step_s": step_s,
        "spread_s": max(durations[2:]) - min(durations[2:]),
        "tflop_per_s": flops_per_s / 1e12,
        "batch_size": batch_size,
    }
    if peak:
        found["utilisation"] = flops_per_s / peak
    if device.type == "cuda":
        found["peak_gb"] = torch.cuda.max_memory_allocated(device) / 1e9
    return found
