"""Augmentation of one clip: every draw is made once and holds for all of its frames.

Source: RandAugment (arXiv:1909.13719) and random erasing (arXiv:1708.04896) as in the fine-tuning
of VideoMAE and UniFormerV2. Shapes: frames (t, h, w, 3) uint8 in and out.
Differs: random erasing works on bytes before normalising, so its noise ends at black and white; of
several boxes the official code leaves the first frames whole; posterizing leaves at least one bit,
where magnitude 10 would leave a black clip.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from internvideo.values import IMAGENET_MEAN, IMAGENET_STD
from internvideo.video.augment import colours
from internvideo.video.augment.config import MAX_MAGNITUDE, AugmentConfig
from internvideo.video.augment.warp import Matrix, shear_x, shear_y, shift, turn, warp

Frames = UInt8[Tensor, "t h w 3"]

# The mean colour: what is painted where a turn or shift leaves nothing to see.
_FILL = (124, 116, 104)
_ERASED_AREA = (0.02, 1 / 3)
_ERASED_RATIO = (0.3, 1 / 0.3)

_FIXED: dict[str, Callable[[Frames], Frames]] = {
    "autocontrast": colours.autocontrast,
    "equalize": colours.equalize,
    "invert": colours.invert,
}
_BLENDS: dict[str, Callable[[Frames, float], Frames]] = {
    "colour": colours.colour,
    "contrast": colours.contrast,
    "brightness": colours.brightness,
    "sharpness": colours.sharpness,
}
# By a level from -1 to 1 and the frames' height and width.
_WARPS: dict[str, Callable[[float, int, int], Matrix]] = {
    "rotate": lambda level, h, w: turn(30 * level, h, w),
    "shear_x": lambda level, h, w: shear_x(0.3 * level),
    "shear_y": lambda level, h, w: shear_y(0.3 * level),
    "translate_x": lambda level, h, w: shift(0.45 * level * w, 0.0),
    "translate_y": lambda level, h, w: shift(0.0, 0.45 * level * h),
}
OPERATIONS = (*_FIXED, *_BLENDS, *_WARPS, "posterize", "solarize", "solarize_add")


def distort(frames: Frames, config: AugmentConfig, generator: np.random.Generator) -> Frames:
    """Jitter and shift the colours, then do the operations that RandAugment draws."""
    if config.jitter:
        for name in generator.permutation(["brightness", "contrast", "colour"]):
            frames = _BLENDS[name](frames, generator.uniform(1 - config.jitter, 1 + config.jitter))
    shifts = (config.hue_degrees, config.saturation_shift, config.value_shift)
    if any(shifts):
        frames = colours.shift_hsv(frames, *(generator.uniform(-most, most) for most in shifts))
    for name in generator.choice(OPERATIONS, config.num_ops):
        happens, negated = generator.random(2) < (config.op_probability, 0.5)
        magnitude = generator.normal(config.magnitude, config.magnitude_std)
        level = min(max(magnitude, 0.0), MAX_MAGNITUDE) / MAX_MAGNITUDE
        if happens:
            frames = operate(frames, str(name), -level if negated else level, config)
    return frames


def operate(frames: Frames, name: str, level: float, config: AugmentConfig) -> Frames:
    """Do one operation of RandAugment on all frames alike.

    Args:
        frames: One clip.
        name: Of `OPERATIONS`.
        level: From -1 to 1; the sign is a direction, and plays no part where there is none.
        config: How levels are read, and how warped frames are interpolated.
    """
    if name in _FIXED:
        return _FIXED[name](frames)
    if name in _WARPS:
        matrix = _WARPS[name](level, *frames.shape[1:3])
        return warp(frames, matrix, fill=_FILL, interpolation=config.interpolation)
    if name in _BLENDS:
        factor = 1 + 0.9 * level if config.increasing else 0.1 + 1.8 * abs(level)
        return _BLENDS[name](frames, factor)
    level = abs(level)
    if name == "posterize":
        bits = int(4 * level)
        return colours.posterize(frames, max(1, 4 - bits if config.increasing else bits))
    if name == "solarize":
        threshold = int(256 * level)
        return colours.solarize(frames, 256 - threshold if config.increasing else threshold)
    return colours.solarize_add(frames, int(110 * level))


def erase(frames: Frames, config: AugmentConfig, generator: np.random.Generator) -> Frames:
    """Paint boxes over, each at one place in all frames; `frames` is left as it is."""
    if generator.random() >= config.erase_probability:
        return frames
    frames = frames.clone()
    count = int(generator.integers(1, config.erase_count + 1))
    for _ in range(count):
        top, left, height, width = _box(*frames.shape[1:3], count, generator)
        box = frames[:, top : top + height, left : left + width]
        noise = np.zeros(3, dtype=np.float32)
        if config.erase_mode == "pixel":
            noise = generator.standard_normal(box.shape, dtype=np.float32)
        colour = noise * np.float32(IMAGENET_STD) + np.float32(IMAGENET_MEAN)
        box.copy_(torch.from_numpy((colour * 255 + 0.5).clip(0, 255).astype(np.uint8)))
    return frames


def _box(
    height: int, width: int, count: int, generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """Draw top, left, height and width by area and shape, smaller where there are `count`."""
    for _ in range(100):
        pixels = height * width * generator.uniform(*_ERASED_AREA) / count
        ratio = math.exp(generator.uniform(*np.log(_ERASED_RATIO)))
        tall, wide = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if tall < height and wide < width:
            top = int(generator.integers(height - tall + 1))
            left = int(generator.integers(width - wide + 1))
            return top, left, tall, wide
    return 0, 0, 0, 0  # frames of one pixel, say: nothing to erase
