"""Clips a second from files, from tar shards and from shards in memory behind an address.

    python benchmarks/shards.py FOLDER [--clips 100] [--rounds 5]

The same clips are made in turn, round after round; files are in the system's cache after the first,
untimed round, so this is the cost of finding and handing over bytes, not of a disk. Then how long
the index takes to read, and the memory of its records, per record.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import fsspec
import torch

from internvideo.data import ClipDataset, VideoData, write_shards
from internvideo.data.annotations import read_shards
from internvideo.values import Annotations
from internvideo.video import storage

_COPIES = 50  # of the index, so that reading it takes long enough to be timed


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="videos, searched through")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--side", type=int, default=64)
    return parser.parse_args()


def seconds(dataset: ClipDataset, num_clips: int) -> float:
    started = time.perf_counter()
    for number in range(num_clips):
        dataset.sample(number * 7919 % len(dataset))
    return time.perf_counter() - started


def bytes_only(dataset: ClipDataset, num_clips: int) -> float:
    started = time.perf_counter()
    for number in range(num_clips):
        record = dataset.records[number * 7919 % len(dataset)]
        if record.member is None:
            record.video.read_bytes()
        else:
            storage.read_member(record.member, record.video)
    return time.perf_counter() - started


def in_memory(folder: Path) -> str:
    for path in folder.iterdir():
        fsspec.filesystem("memory").pipe_file(f"/shards/{path.name}", path.read_bytes())
    return "memory://shards"


def tell_index(folder: Path) -> None:
    """Time the reading of an index of many records, made of copies of this one."""
    head, *shards, end = (folder / "index.jsonl").read_text().splitlines(keepends=True)
    num_samples = len(read_shards(folder).records)
    large = folder / "large.jsonl"
    end = end.replace(str(num_samples), str(num_samples * _COPIES))
    large.write_text(head + "".join(shards) * _COPIES + end)
    started = time.perf_counter()
    read_shards(folder, index=large)
    reading_s = time.perf_counter() - started
    tracemalloc.start()
    annotations = read_shards(folder, index=large)
    kept_bytes, _ = tracemalloc.get_traced_memory()
    count = len(annotations.records)
    print(
        f"index of {count} records, {large.stat().st_size / count:.0f} bytes each: read in "
        f"{1e6 * reading_s / count:.1f} us, {kept_bytes / count:.0f} bytes of memory a record"
    )


def main() -> None:
    args = arguments()
    data = VideoData(source=args.folder, format="videos", train_split=None)
    files = data.read()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        summary = write_shards(files, folder, seed=None)
        writing_s = time.perf_counter() - started
        print(
            f"{summary}; written in {writing_s:.1f} s, {summary.num_bytes / 1e6 / writing_s:.0f} "
            f"MB/s; torch {torch.__version__}, Python {platform.python_version()}, {os.cpu_count()}"
            f" processors, load {os.getloadavg()[0]:.1f}, {sys.platform}"
        )
        sources: dict[str, Annotations] = {
            "files": files,
            "shards": read_shards(folder),
            "memory": read_shards(in_memory(Path(folder))),
        }
        size = {"num_frames": args.frames, "side_px": args.side, "training": True}
        datasets = {name: ClipDataset(part, data, **size) for name, part in sources.items()}
        for what, measure in (("clips", seconds), ("bytes only", bytes_only)):
            times: dict[str, list[float]] = {name: [] for name in datasets}
            for number in range(args.rounds + 1):
                for name, dataset in datasets.items():
                    taken = measure(dataset, args.clips)
                    if number:
                        times[name].append(taken)
            for name, found in times.items():
                ratios = [f / t for f, t in zip(times["files"], found, strict=True)]
                print(
                    f"{what:10s} {name:7s} {args.clips / statistics.median(found):9.1f} a second; "
                    f"times files {statistics.median(ratios):.2f} "
                    f"({min(ratios):.2f} to {max(ratios):.2f})"
                )
        tell_index(Path(folder))


if __name__ == "__main__":
    main()
