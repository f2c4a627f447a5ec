"""Augmenting a clip of 16 x 224 x 224: ours on whole clips beside Pillow frame by frame.

Processor time of one thread; both see the same clip, the same operation and strength, one right
after the other, with the copies from tensor to image and back that the released loader needs too.
Freed memory is kept, as the command keeps it.
`python benchmarks/augment.py [--frames N] [--side N] [--repeats N] [--draws N]`
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import PIL
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from internvideo.cli.allocator import keep_freed_memory
from internvideo.video.augment import OPERATIONS, AugmentConfig, clips, distort, erase, operate

CONFIG = AugmentConfig()
ENHANCED = {
    "colour": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "brightness": ImageEnhance.Brightness,
    "sharpness": ImageEnhance.Sharpness,
}
SAMPLING = {"resample": Image.Resampling.BICUBIC, "fillcolor": (124, 116, 104)}


def pillow(image: Image.Image, name: str, level: float) -> Image.Image:
    """One operation of RandAugment on one frame, as the released code does it."""
    width, height = image.size
    matrices = {
        "shear_x": (1, 0.3 * level, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, 0.3 * level, 1, 0),
        "translate_x": (1, 0, 0.45 * level * width, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, 0.45 * level * height),
    }
    if name in matrices:
        return image.transform(image.size, Image.Transform.AFFINE, matrices[name], **SAMPLING)
    if name in ENHANCED:
        return ENHANCED[name](image).enhance(1 + 0.9 * level)
    match name:
        case "rotate":
            return image.rotate(30 * level, **SAMPLING)
        case "posterize":
            return ImageOps.posterize(image, max(1, 4 - int(4 * abs(level))))
        case "solarize":
            return ImageOps.solarize(image, 256 - int(256 * abs(level)))
        case "solarize_add":
            added = int(110 * abs(level))
            return image.point([min(255, i + added) if i < 128 else i for i in range(256)] * 3)
        case "autocontrast":
            return ImageOps.autocontrast(image)
        case "equalize":
            return ImageOps.equalize(image)
        case _:
            return ImageOps.invert(image)


def by_frame(frames: Tensor, todo: list[tuple[str, float]]) -> Tensor:
    images = [Image.fromarray(frame) for frame in frames.numpy()]
    for name, level in todo:
        images = [pillow(image, name, level) for image in images]
    return torch.from_numpy(np.stack([np.asarray(image) for image in images]))


def by_clip(frames: Tensor, todo: list[tuple[str, float]]) -> Tensor:
    for name, level in todo:
        frames = operate(frames, name, level, CONFIG)
    return frames


def blobs(num_frames: int, height: int, width: int) -> Tensor:
    """A smooth picture that drifts."""
    small = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    large = np.asarray(Image.fromarray(small).resize((width + 3 * num_frames, height)))
    return torch.from_numpy(np.stack([large[:, 3 * i : 3 * i + width] for i in range(num_frames)]))


def drawn(seed: int) -> list[tuple[str, float]]:
    """The operations that one draw of RandAugment does."""
    done: list[tuple[str, float]] = []
    real = clips.operate
    clips.operate = lambda frames, name, level, _: done.append((name, level)) or frames
    try:
        distort(torch.zeros(1, 2, 2, 3, dtype=torch.uint8), CONFIG, np.random.default_rng(seed))
    finally:
        clips.operate = real
    return done


def ms(work: Callable[..., object], *arguments: object) -> float:
    start = time.process_time()
    work(*arguments)
    return (time.process_time() - start) * 1e3


def medians(pairs: list[tuple[float, float]]) -> str:
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = sorted(theirs / mine for mine, theirs in pairs)
    low, high = ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10]
    return f"{ours:8.1f} {theirs:9.1f} {statistics.median(ratios):7.1f}  ({low:.1f} to {high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("frames", 16), ("side", 224), ("repeats", 15), ("draws", 120)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    frames = blobs(options.frames, options.side, options.side)
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(
        f"{options.frames} x {options.side} x {options.side}, one thread, revision {revision}; "
        f"torch {torch.__version__}, Pillow {PIL.__version__}, Python "
        f"{platform.python_version()}, {platform.machine()}, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'operation at level 0.7':24}{'ours ms':>8} {'Pillow ms':>9} {'ratio':>7}  (10-90 %)")
    for name in OPERATIONS:
        todo = [(name, 0.7)]
        by_clip(frames, todo)
        pairs = [
            (ms(by_clip, frames, todo), ms(by_frame, frames, todo)) for _ in range(options.repeats)
        ]
        print(f"{name:24}{medians(pairs)}")
    draws = [drawn(seed) for seed in range(options.draws)]
    pairs = [(ms(by_clip, frames, todo), ms(by_frame, frames, todo)) for todo in draws]
    ours, theirs = (statistics.mean(column) for column in zip(*pairs, strict=True))
    print(f"{'mean of m7-n4 draws':24}{ours:8.1f} {theirs:9.1f} {theirs / ours:7.1f}")
    always = AugmentConfig(erase_probability=1.0)
    generators = [np.random.default_rng(seed) for seed in range(options.draws)]
    costs = [ms(erase, frames, always, generator) for generator in generators]
    print(f"{'erasing a box by pixel':24}{statistics.median(costs):8.1f}")


if __name__ == "__main__":
    main()
