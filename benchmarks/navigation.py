"""Panoramas a second: twelve views with depth in generated houses, at 32 and at 128 pixels.

    python benchmarks/navigation.py

Prints medians and spread over repeats, by the clock and by processor time: on a machine that others
use, the second says what a free core would do. Positions are walked to, not repeated, so that no
cache helps.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time

import numpy as np

from internvideo.navigation import Floor, make_scene, render_panorama

_HOUSES = 8


def places(count: int, *, seed: int) -> list[tuple[int, float, float, float]]:
    """House, position and heading of free spots, drawn from the seed."""
    random, floors = np.random.default_rng(seed), [Floor(make_scene(n)) for n in range(_HOUSES)]
    found = []
    for _ in range(count):
        house = int(random.integers(_HOUSES))
        cells = np.argwhere(floors[house].walkable)
        i, j = cells[random.integers(len(cells))]
        found.append((house, (j + 0.5) * 0.1, (i + 0.5) * 0.1, float(random.uniform(-3, 3))))
    return found


def measure(side_px: int, count: int, *, seed: int) -> tuple[float, float]:
    """Panoramas a second, by the clock and by processor time of this one thread."""
    scenes, spots = [make_scene(n) for n in range(_HOUSES)], places(count, seed=seed)
    wall, processor = time.perf_counter(), time.process_time()
    for house, x, z, heading in spots:
        render_panorama(scenes[house], x, z, heading, side_px=side_px)
    return count / (time.perf_counter() - wall), count / (time.process_time() - processor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--count", type=int, default=100, help="panoramas of a repeat")
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, one process")
    print(f"load before: {os.getloadavg()[0]:.1f}, numpy {np.__version__}")
    measure(32, 10, seed=0)
    for side_px in (32, 128):
        count = arguments.count if side_px == 32 else max(1, arguments.count // 10)
        found = [measure(side_px, count, seed=n) for n in range(arguments.repeats)]
        for name, rates in zip(("clock", "processor"), zip(*found, strict=True), strict=True):
            low, high = min(rates), max(rates)
            print(
                f"12 x {side_px} x {side_px} with depth, by {name}: "
                f"{statistics.median(rates):.0f} a second ({low:.0f} to {high:.0f})"
            )


if __name__ == "__main__":
    main()
