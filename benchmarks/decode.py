"""Decoding 16 frames at stride 4 from a random place: ours beside a plain loop and two peers.

CPU time of the whole process with one thread, opening included, all four interleaved clip by clip,
each right after an unmeasured run of itself.
`python benchmarks/decode.py --actions DIR --videos DIR [--clips N] [--repeats N]`; decord and
torchcodec take part where they can be imported. The 720p clips are generated.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import numpy as np
import torch

from internvideo.errors import DecodeError
from internvideo.video import VideoReader

Decode = Callable[[str, list[int]], int]


def ours(path: str, indices: list[int]) -> int:
    with VideoReader(path) as reader:
        return len(reader.frames(indices).frames)


def plain_loop(path: str, indices: list[int]) -> int:
    """Decode from the start, convert what is wanted, stop after the last of it."""
    wanted, frames = set(indices), {}
    with av.open(path, metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        for index, frame in enumerate(container.decode(stream)):
            if index in wanted:
                frames[index] = frame.to_ndarray(format="rgb24")
            if index == indices[-1]:
                break
    return len(torch.from_numpy(np.stack([frames[index] for index in indices])))


def peers() -> dict[str, Decode]:
    found: dict[str, Decode] = {}
    try:
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        found[f"decord {decord.__version__}"] = lambda path, indices: len(
            decord.VideoReader(path, num_threads=1).get_batch(indices).asnumpy()
        )
    except (ImportError, OSError) as error:
        print(f"decord is absent ({error})")
    try:
        import torchcodec
        from torchcodec.decoders import VideoDecoder

        found[f"torchcodec {torchcodec.__version__}"] = lambda path, indices: len(
            VideoDecoder(path, num_ffmpeg_threads=1).get_frames_at(indices).data
        )
    except (ImportError, OSError, RuntimeError) as error:
        print(f"torchcodec is absent ({str(error).splitlines()[0]})")
    return found


def write_720p(folder: Path, num_clips: int, num_frames: int) -> list[Path]:
    """Noise that drifts over smooth shapes: key frames 250 apart, B-frames between."""
    paths = []
    for seed in range(num_clips):
        generator = np.random.default_rng(seed)
        texture = (
            generator.integers(0, 256, (90, 160, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
        )
        texture = (texture * 0.7 + generator.integers(0, 60, texture.shape)).astype(np.uint8)
        paths.append(folder / f"720p_{seed}.mp4")
        with av.open(str(paths[-1]), "w") as container:
            stream = container.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
            stream.codec_context.gop_size = 250
            stream.options = {"preset": "fast", "crf": "26", "bf": "3", "sc_threshold": "0"}
            for i in range(num_frames):
                y, x = 300 + int(200 * np.sin(i / 31 + seed)), 600 + int(600 * np.sin(i / 90))
                pixels = np.ascontiguousarray(texture[y : y + 720, x : x + 1280])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
    return paths


def cpu_ms(decode: Decode, path: str, indices: list[int]) -> float | None:
    try:
        decode(path, indices)  # the contender before it has filled the caches with its own code
        start = time.process_time()
        decode(path, indices)
    except Exception:  # a peer that cannot read a file is counted, whatever it raises
        return None
    return (time.process_time() - start) * 1e3


def measure(name: str, paths: Iterable[Path], contenders: dict[str, Decode], repeats: int) -> None:
    rng = random.Random(0)
    rows: dict[str, list[float | None]] = {contender: [] for contender in contenders}
    listing: list[float] = []
    for path in paths:
        start = time.process_time()
        try:
            with VideoReader(path) as reader:
                listing.append((time.process_time() - start) * 1e3)
                num_frames = reader.num_frames
        except DecodeError as error:
            print(error)
            continue
        first = rng.randrange(max(1, num_frames - 60))
        indices = [min(first + 4 * i, num_frames - 1) for i in range(16)]
        times: dict[str, list[float | None]] = {contender: [] for contender in contenders}
        for _ in range(repeats):
            for contender, decode in contenders.items():
                times[contender].append(cpu_ms(decode, str(path), indices))
        for contender, taken in times.items():
            good = [t for t in taken if t is not None]
            rows[contender].append(statistics.median(good) if good else None)
    report(name, rows, listing)


def report(name: str, rows: dict[str, list[float | None]], listing: list[float]) -> None:
    mine = rows["ours"]
    print(
        f"\n{name}: {len(mine)} clips; opening and listing the packets "
        f"{statistics.median(listing):.2f} ms"
    )
    print(
        f"  {'':24s} {'median ms':>10s} {'sum s':>8s} {'median ratio':>13s} {'sum ratio':>10s} "
        f"{'ours slower':>12s} {'failed':>7s}"
    )
    for contender, theirs in rows.items():
        both = [
            (a, b) for a, b in zip(mine, theirs, strict=True) if a is not None and b is not None
        ]
        ratios = [b / a for a, b in both]
        total = sum(b for _, b in both)
        print(
            f"  {contender:24s} {statistics.median(b for _, b in both):10.2f} {total / 1e3:8.3f} "
            f"{statistics.median(ratios):13.2f} {total / sum(a for a, _ in both):10.2f} "
            f"{sum(r < 1 for r in ratios):12d} {len(mine) - len(both):7d}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--actions", type=Path, help="folder of short labelled clips")
    parser.add_argument("--videos", type=Path, help="folder of whole videos of many kinds")
    parser.add_argument("--clips", type=int, default=60, help="at most so many of each folder")
    parser.add_argument("--generated", type=int, default=2, help="clips of 720p to generate")
    parser.add_argument("--frames", type=int, default=1500, help="frames of each generated clip")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    contenders = {"ours": ours, "decode-from-start loop": plain_loop, **peers()}
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, av {av.__version__}, "
        f"{os.cpu_count()} cores, {args.repeats} repeats; ratio = peer / ours, above 1 is faster"
    )
    for name, folder in (("short clips", args.actions), ("whole videos", args.videos)):
        if folder is not None:
            files = sorted(f for f in folder.rglob("*") if f.suffix in _VIDEOS)
            measure(name, files[:: max(1, len(files) // args.clips)], contenders, args.repeats)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_720p(Path(folder), args.generated, args.frames)
        measure(
            f"720p, {args.frames} frames, key frames 250 apart", paths * 6, contenders, args.repeats
        )


_VIDEOS = {".mp4", ".avi", ".mkv", ".mpg", ".gif", ".webm"}

if __name__ == "__main__":
    main()
