"""Features of one hour of 720p video: frames a second beside decoding alone, and memory.

Each measurement is a process of its own, so that its peak memory is known: decoding the frames that
the windows need and nothing else, and `FeatureExtraction` with files written. The video is a short
encoded one, repeated packet by packet. The encoder is small, so that decoding decides.
`python benchmarks/extract.py [--minutes 2 60] [--folder DIR]`
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import numpy as np
import torch

from internvideo.cli.allocator import keep_freed_memory
from internvideo.data import WindowConfig, cut_windows
from internvideo.models import MaskedEncoder, MaskedEncoderConfig
from internvideo.tasks import FeatureEncoder, FeatureExtraction
from internvideo.training.journal import code_revision
from internvideo.video import VideoReader, write_video

RATE_FPS, SEGMENT_FRAMES = 25, 500
WINDOWS = WindowConfig(num_frames=16, stride_frames=16, rate_fps=8)
CONFIG = MaskedEncoderConfig(side_px=112, width=192, depth=4, num_heads=3)


def drifting(num_frames: int) -> list[np.ndarray]:
    """A textured ground under a moving camera, 1280 x 720."""
    generator = np.random.default_rng(0)
    ground = generator.integers(0, 256, (90, 160, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    places = [
        (300 + int(200 * np.sin(i / 31)), 600 + int(600 * np.sin(i / 90))) for i in range(500)
    ]
    return [ground[y : y + 720, x : x + 1280] for y, x in places[:num_frames]]


def repeated(segment: Path, path: Path, times: int) -> None:
    """Write the packets of a segment `times` times, one after the other, without encoding again."""
    with av.open(str(path), "w") as out:
        with av.open(str(segment)) as source:
            stream = out.add_stream_from_template(source.streams.video[0])
        for turn in range(times):
            with av.open(str(segment)) as source:
                ticks = source.streams.video[0].time_base.denominator // RATE_FPS * SEGMENT_FRAMES
                for packet in source.demux(video=0):
                    if packet.dts is not None:
                        packet.pts += turn * ticks
                        packet.dts += turn * ticks
                        packet.stream = stream
                        out.mux(packet)


def decode_only(path: Path) -> int:
    with VideoReader(path) as reader:
        windows = cut_windows(reader.timestamps_s, reader.info.duration_s, WINDOWS)
        for _ in reader.stream(windows.frames.tolist(), short_side_px=CONFIG.side_px):
            pass
        return reader.num_frames


def extract(path: Path) -> int:
    torch.manual_seed(0)
    encoder = FeatureEncoder(MaskedEncoder(CONFIG), num_frames=16, side_px=CONFIG.side_px)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "features.safetensors"
        done = FeatureExtraction(windows=WINDOWS).extract(encoder, [path], [target])
        assert done.num_extracted == 1, done.failed
        document = json.loads(target.with_suffix(".json").read_text())
    return document["video"]["num_frames"]


def measure(work: str, path: Path) -> None:
    """What one process does; prints a JSON object."""
    torch.set_num_threads(1)
    keep_freed_memory()
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, start_cpu = time.perf_counter(), time.process_time()
    num_frames = {"decode": decode_only, "extract": extract}[work](path)
    found = {
        "num_frames": num_frames,
        "wall_s": time.perf_counter() - start,
        "cpu_s": time.process_time() - start_cpu,
        "before_mib": before_mib,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, nargs="+", default=[2, 60])
    parser.add_argument("--folder", type=Path, help="where the videos go; default a temporary one")
    parser.add_argument("--measure", nargs=2, metavar=("WORK", "PATH"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure[0], Path(args.measure[1]))
        return
    print(
        f"{code_revision()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"av {av.__version__}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        segment = write_video(
            Path(folder) / "segment.mp4", drifting(SEGMENT_FRAMES), RATE_FPS, crf=30, gop=50
        )
        for minutes in args.minutes:
            path = Path(folder) / f"{minutes}.mp4"
            repeated(segment, path, minutes * 60 * RATE_FPS // SEGMENT_FRAMES)
            print(f"\n{minutes} min of 1280 x 720, {path.stat().st_size / 2**20:.0f} MiB")
            print(f"  {'':8s} {'frames':>7s} {'wall s':>8s} {'CPU s':>8s} {'frames/s':>9s} "
                  f"{'of CPU':>8s} {'start MiB':>10s} {'peak MiB':>9s}")  # fmt: skip
            for work in ("extract", "decode"):
                command = [sys.executable, __file__, "--measure", work, str(path)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                row = json.loads(done.stdout)
                print(
                    f"  {work:8s} {row['num_frames']:7d} {row['wall_s']:8.1f} {row['cpu_s']:8.1f} "
                    f"{row['num_frames'] / row['wall_s']:9.0f} "
                    f"{row['num_frames'] / row['cpu_s']:8.0f} {row['before_mib']:10.0f} "
                    f"{row['peak_mib']:9.0f}",
                    flush=True,
                )
            path.unlink()


if __name__ == "__main__":
    main()
