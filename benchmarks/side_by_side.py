"""Steps of several implementations taking turns in one process, and the memory of each alone.

Processor seconds stand beside wall-clock seconds: on a machine that others use, only they can be
compared. Peak memory is that of a child process which runs one side alone.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

Step = Callable[[], object]
Seconds = Mapping[str, list[float]]


def take_turns(steps: Mapping[str, Step], *, device: str, repeats: int) -> tuple[Seconds, Seconds]:
    """Wall-clock and processor seconds of each side's steps, after two turns of warm-up."""
    wall: dict[str, list[float]] = {side: [] for side in steps}
    processor: dict[str, list[float]] = {side: [] for side in steps}
    for repeat in range(-2, repeats):
        for side, step in steps.items():
            start, used = time.perf_counter(), time.process_time()
            step()
            if device == "cuda":
                torch.cuda.synchronize()
            if repeat >= 0:
                wall[side].append(time.perf_counter() - start)
                processor[side].append(time.process_time() - used)
    return wall, processor


def line(side: str, wall: Seconds, processor: Seconds, *, beside: str = "peer") -> str:
    """Medians and extremes of one side, and how many times faster than `beside` it is."""
    median, used = statistics.median(wall[side]), statistics.median(processor[side])
    return (
        f"wall {median:.3f} s ({min(wall[side]):.3f} to {max(wall[side]):.3f}), "
        f"{statistics.median(wall[beside]) / median:.2f}x;  "
        f"processor {used:.2f} s ({min(processor[side]):.2f} to {max(processor[side]):.2f}), "
        f"{statistics.median(processor[beside]) / used:.2f}x"
    )


def peak_mib_alone(script: str, *arguments: str) -> float:
    """Peak resident memory of a fresh process that runs one side and prints `own_peak_mib`."""
    command = [sys.executable, script, "--child", *arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def own_peak_mib() -> float:
    """Peak resident memory of this process."""
    # Not getrusage: its peak is inherited from the parent process.
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024
