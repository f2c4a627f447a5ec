"""How fast the playground is made: drawing, rendering, encoding, and whole generations.

    python benchmarks/playground.py [--videos 400] [--workers 1 2]

Prints milliseconds a clip for each part on one thread (median over rounds, and spread), clips per
second of whole generations in a temporary folder, and what the single-frame check found.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import av
import numpy as np
import torch

from internvideo.playground import World, check_single_frame, draw_facts, generate, render
from internvideo.playground.facts import facts_line
from internvideo.playground.generate import write_clip

NUM_ROUNDS = 7
NUM_CLIPS = 29


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=400)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    print(
        f"{date.today()}  {platform.machine()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; Python {platform.python_version()}, numpy {np.__version__}, "
        f"torch {torch.__version__}, av {av.__version__}"
    )
    parts()
    for num_workers in options.workers:
        whole(options.videos, num_workers)
    started_s = time.perf_counter()
    check = check_single_frame()
    print(f"check: {time.perf_counter() - started_s:.1f} s\n{check}")


def parts() -> None:
    """Time each part on the same clips, in turn within each round."""
    world = World(seed=0)
    drawn = [draw_facts(index, world) for index in range(NUM_CLIPS)]
    frames = [render(facts) for facts in drawn]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "clip.mp4"
        todo: dict[str, Callable[[int], object]] = {
            "draw facts": lambda i: draw_facts(i, world),
            "write facts": lambda i: facts_line(drawn[i]),
            "render": lambda i: render(drawn[i]),
            "encode": lambda i: write_clip(out, frames[i], 16),
        }
        wall_ms: dict[str, list[float]] = {name: [] for name in todo}
        for _ in range(NUM_ROUNDS + 1):
            for name, work in todo.items():
                started_s = time.perf_counter()
                for i in range(NUM_CLIPS):
                    work(i)
                wall_ms[name].append((time.perf_counter() - started_s) / NUM_CLIPS * 1000)
    lengths = statistics.mean(facts.num_frames for facts in drawn)
    print(f"parts, ms a clip of 128x128, {lengths:.0f} frames on average, {NUM_ROUNDS} rounds")
    for name, rounds in wall_ms.items():
        kept = rounds[1:]  # the first is a warm-up
        print(
            f"  {name:<12} median {statistics.median(kept):6.2f}   "
            f"from {min(kept):6.2f} to {max(kept):6.2f}"
        )


def whole(num_videos: int, num_workers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "world"
        before = os.times()
        made = generate(out, size=num_videos, num_workers=num_workers, has_check=False)
        after = os.times()
        num_bytes = sum(path.stat().st_size for path in out.rglob("*.mp4"))
    cpu_s = sum(after[:4]) - sum(before[:4])
    print(
        f"generate {num_videos} videos, {num_workers} workers: {made.clips_per_s:.1f} clips/s "
        f"({made.wall_s:.1f} s), {cpu_s / num_videos * 1000:.1f} ms of processor a clip, "
        f"{num_bytes / num_videos / 1000:.1f} kB a clip"
    )


if __name__ == "__main__":
    main()
