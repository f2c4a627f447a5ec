"""Clips a second that the loader delivers, by workers, with and without cache and repeated views.

    python benchmarks/loading.py MANIFEST [--columns path=file label=class] [--need 40]

Every variant delivers the same number of batches in turn, several rounds; the first batches of a
stream, in which workers start, are not timed. With `--need` (clips a second that training eats)
each variant is told sufficient or not, and how many processors it would take.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from dataclasses import replace
from itertools import islice

import torch

from internvideo.data import ClipDataset, ClipLoader, FrameCache, VideoData


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("--format", default="manifest")
    parser.add_argument("--columns", nargs="*", default=[], metavar="OURS=THEIRS")
    parser.add_argument("--split", default="train", help="a name, or 'all'")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--batches", type=int, default=8, help="timed, a round and variant")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--views", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--cache-mb", type=int, default=4096)
    parser.add_argument("--need", type=float, help="clips a second that training takes")
    return parser.parse_args()


def clips_per_s(loader: ClipLoader, num_batches: int, num_untimed: int) -> float:
    stream = loader.batches()
    list(islice(stream, num_untimed))
    started = time.perf_counter()
    clips = sum(len(batch) for step in islice(stream, num_batches) for batch in step)
    seconds = time.perf_counter() - started
    stream.close()
    return clips / seconds


def verdict(rate: float, workers: int, need: float | None) -> str:
    if need is None:
        return ""
    if rate >= need:
        return f"enough: {rate / need:.1f}x of {need:g}"
    return f"too slow for {need:g}: about {max(workers, 1) * need / rate:.1f} processors needed"


def main() -> None:
    args = arguments()
    data = VideoData(
        source=args.source,
        format=args.format,
        columns=dict(pair.split("=", 1) for pair in args.columns),
        train_split=None if args.split == "all" else args.split,
        stride_frames=args.stride,
    )
    records = data.select(data.read(), training=True)
    size = {"num_frames": args.frames, "side_px": args.side, "training": True}
    plain = ClipDataset(records, data, **size)
    started = time.perf_counter()
    cache = FrameCache.fill(
        plain.records, short_side_px=plain.short_side_px, budget_mb=args.cache_mb
    )
    filling_s = time.perf_counter() - started
    print(
        f"{len(records.records)} videos, {args.frames} x {args.side} x {args.side} at stride "
        f"{args.stride}, batch {args.batch}; torch {torch.__version__}, Python "
        f"{platform.python_version()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
    )
    if cache:
        print(f"cache: {cache.num_bytes >> 20} MB, filled in {filling_s:.1f} s")
    variants = [
        (workers, views, kept)
        for kept in ([None, cache] if cache else [None])
        for views in args.views
        for workers in args.workers
    ]
    rates: dict[int, list[float]] = {number: [] for number in range(len(variants))}
    for _ in range(args.rounds):
        for number, (workers, views, kept) in enumerate(variants):
            config = replace(data, views_per_video=views)
            loader = ClipLoader(
                ClipDataset(records, config, cache=kept, **size),
                batch_size=args.batch,
                num_workers=workers,
            )
            # What workers have prepared ahead must not count as delivered in the time measured.
            rates[number].append(clips_per_s(loader, args.batches, 1 + 3 * workers))
    print("workers  views  cache   clips/s (median, least, most)")
    for number, (workers, views, kept) in enumerate(variants):
        middle, found = statistics.median(rates[number]), rates[number]
        print(
            f"{workers:7d}  {views:5d}  {'yes' if kept else 'no':5s}  {middle:8.1f} "
            f"{min(found):8.1f} {max(found):8.1f}   {verdict(middle, workers, args.need)}"
        )


if __name__ == "__main__":
    main()
