"""Panoramas a second: twelve views with depth in generated houses, at 32 and at 128 pixels.

    python benchmarks/navigation.py --processes 2

Prints medians and spread over repeats, summed over processes, by the clock and by processor time:
on a machine that others use, the second says what free cores would do. No position is repeated, so
that no cache helps.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

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
    """Panoramas a second, by the clock and by this thread's processor time."""
    scenes, spots = [make_scene(n) for n in range(_HOUSES)], places(count, seed=seed)
    wall, processor = time.perf_counter(), time.thread_time()
    for house, x, z, heading in spots:
        render_panorama(scenes[house], x, z, heading, side_px=side_px)
    return count / (time.perf_counter() - wall), count / (time.thread_time() - processor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--count", type=int, default=200, help="panoramas of a repeat and process")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    processes = arguments.processes
    print(f"{platform.machine()}, {os.cpu_count()} cores, {processes} processes")
    print(f"load before: {os.getloadavg()[0]:.1f}, numpy {np.__version__}")
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(partial(_measured, 32, 10), range(processes)))
        for side_px in (32, 128):
            count = arguments.count if side_px == 32 else max(1, arguments.count // 10)
            found = [
                list(pool.map(partial(_measured, side_px, count), range(n, n + processes)))
                for n in range(arguments.repeats)
            ]
            for name, place in (("clock", 0), ("processor", 1)):
                rates = [sum(one[place] for one in repeat) for repeat in found]
                print(
                    f"12 x {side_px} x {side_px} with depth, by {name}: "
                    f"{statistics.median(rates):.0f} a second "
                    f"({min(rates):.0f} to {max(rates):.0f})"
                )


def _measured(side_px: int, count: int, seed: int) -> tuple[float, float]:
    return measure(side_px, count, seed=seed)


if __name__ == "__main__":
    main()
