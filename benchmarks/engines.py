"""`extract` over many short videos: two processes of the command beside two workers of Ray.

    python benchmarks/engines.py [--videos 200] [--repeats 2]

Each command runs alone, in turn. Told are the whole command and, without its start, the videos a
second between the first and the last record of its ledger. Ray's workers give way to all other
processes (`RAY_worker_niceness`, 15); here both sides run at the same priority.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.hub import Preprocessing, Pretrained, save_pretrained
from internvideo.models import MaskedEncoderConfig
from internvideo.video import write_video

ENGINES = {"two processes": ["--workers", "2"], "Ray": ["--ray", "local", "--workers", "2"]}


def write_inputs(folder: Path, count: int) -> None:
    """So many copies of a video of 4 s at 340 x 256, and a small encoder A."""
    generator = torch.Generator().manual_seed(0)
    smooth = torch.rand(96, 3, 8, 10, generator=generator)
    frames = torch.nn.functional.interpolate(smooth, (256, 340), mode="bilinear")
    frames = (frames * 255).to(torch.uint8).permute(0, 2, 3, 1)
    (folder / "videos").mkdir()
    write_video(folder / "videos" / "000.mp4", frames, 24.0)
    clip = (folder / "videos" / "000.mp4").read_bytes()
    for number in range(1, count):
        (folder / "videos" / f"{number:03}.mp4").write_bytes(clip)
    encoder = MaskedEncoderConfig(
        num_frames=16, side_px=64, width=192, depth=4, num_heads=3, final_norm=False
    )
    config = VideoClassifierConfig(encoder=encoder, num_classes=2)
    torch.manual_seed(0)
    pretrained = Pretrained(
        model=VideoClassifier(config).eval(),
        kind="video-classifier",
        config=config,
        preprocessing=Preprocessing(num_frames=16, side_px=64),
        classes=("a", "b"),
    )
    save_pretrained(pretrained, folder / "model")


def measure(folder: Path, name: str, number: int) -> tuple[float, float]:
    """Seconds of the command, and videos a second between its first and last record."""
    out = folder / f"{name}-{number}"
    words = ["extract", str(folder / "videos"), "--model", str(folder / "model"), "--device", "cpu"]
    command = [sys.executable, "-m", "internvideo", *words, "--out", str(out), *ENGINES[name]]
    began = time.monotonic()
    subprocess.run(
        command, check=True, capture_output=True, env={**os.environ, "RAY_worker_niceness": "0"}
    )
    seconds = time.monotonic() - began
    done = sorted(record.stat().st_mtime for record in out.glob(".units/*.record"))
    return seconds, (len(done) - 1) / (done[-1] - done[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--videos", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_inputs(folder, asked.videos)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ENGINES}
        for number in range(asked.repeats):
            for name in ENGINES:
                found[name].append(measure(folder, name, number))
                print(name, *(f"{value:.1f}" for value in found[name][-1]), flush=True)
        files = [
            {p.relative_to(out): p.read_bytes() for p in sorted(out.glob("*.safetensors"))}
            for out in (folder / f"{name}-0" for name in ENGINES)
        ]
        print(f"files are the same: {files[0] == files[1] and len(files[0]) == asked.videos}")
    print("| engine | command, s | videos/s once started |")
    print("|---|---|---|")
    for name, values in found.items():
        whole, rate = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"| {name} | {whole:.1f} | {rate:.1f} |")


if __name__ == "__main__":
    main()
