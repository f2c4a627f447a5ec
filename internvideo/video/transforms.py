"""Transforms: sizes, crops, flips and normalising of the frames of one clip.

Source: `transforms.py`, `video_transforms.py`, `functional.py` of VideoMAE and the preprocessing of
CLIP. Shapes: frames (t, h, w, 3) uint8 in and out; `normalise` alone gives floats, (3, t, h, w).
Everything random is drawn once for the whole clip from the generator passed in. A crop is a
`Crop` first and a view of the frames second, so that resizing reads only what it needs.
Differs from the released code: `resize` follows Pillow's filters to within two grey levels at
twelve times its speed; `resize_like_pillow` is Pillow. A multi-scale crop of a frame that is a
pixel or two smaller than asked for is the frame, where Pillow's fills the rest with black.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.values import IMAGENET_MEAN, IMAGENET_STD
from internvideo.video.in_memory import check_frames

Mode = Literal["bilinear", "bicubic"]
_PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, kw_only=True, slots=True)
class Crop:
    """A rectangle of pixels inside a frame."""

    top: int
    left: int
    height: int
    width: int

    def of(self, frames: UInt8[Tensor, "t h w 3"]) -> UInt8[Tensor, "t h2 w2 3"]:
        """Cut the rectangle out, as a view; raises `ConfigError` where it does not lie inside."""
        _, height, width, _ = frames.shape
        bottom, right = self.top + self.height, self.left + self.width
        if min(self.top, self.left) < 0 or bottom > height or right > width:
            raise ConfigError(
                f"{self} reaches outside frames of {width}x{height}; resize the frames first"
            )
        return frames[:, self.top : bottom, self.left : right]


def short_side_size(height: int, width: int, short_side_px: int) -> tuple[int, int]:
    """Return (height, width) whose short side is `short_side_px`; the long side is cut to whole."""
    short = min(height, width)
    if height == short:
        return short_side_px, int(short_side_px * width / short)
    return int(short_side_px * height / short), short_side_px


def resize(
    frames: UInt8[Tensor, "t h w 3"],
    height: int,
    width: int,
    *,
    mode: Mode = "bilinear",
    antialias: bool = True,
) -> UInt8[Tensor, "t {height} {width} 3"]:
    """Resize in bytes; without `antialias` like OpenCV's linear filter, with it like Pillow's."""
    if frames.shape[1:3] == (height, width):
        return frames
    images = rearrange(frames, "t h w c -> t c h w")
    resized = F.interpolate(images, (height, width), mode=mode, antialias=antialias)
    return rearrange(resized, "t c h w -> t h w c")


def resize_like_pillow(
    frames: UInt8[Tensor, "t h w 3"], height: int, width: int, *, mode: Mode = "bicubic"
) -> UInt8[Tensor, "t {height} {width} 3"]:
    """Resize through Pillow itself, for results that must be equal to the last bit."""
    images = (Image.fromarray(frame) for frame in frames.contiguous().numpy())
    resized = [np.asarray(image.resize((width, height), _PILLOW[mode])) for image in images]
    return torch.from_numpy(np.stack(resized))


def centre_crop(height: int, width: int, size: int) -> Crop:
    """Square in the middle; halves are rounded to the even pixel, as the official code does."""
    return Crop(
        top=round((height - size) / 2), left=round((width - size) / 2), height=size, width=size
    )


def uniform_crop(height: int, width: int, size: int, place: int) -> Crop:
    """Square at the start, middle or end (`place` 0, 1, 2) of the long side; UniFormerV2's test."""
    if place not in (0, 1, 2):
        raise ConfigError(f"place {place} of a uniform crop is not 0, 1 or 2")
    top, left = math.ceil((height - size) / 2), math.ceil((width - size) / 2)
    if height > width:
        top = (0, top, height - size)[place]
    else:
        left = (0, left, width - size)[place]
    return Crop(top=top, left=left, height=size, width=size)


def view_crop(
    height: int, width: int, short_side_px: int, place: int, *, num_crops: int = 3
) -> Crop:
    """VideoMAE's crop of a test view: `short_side_px` along the long side, all of the short side.

    A single crop is the middle; the official code divides by zero for it.
    """
    if not 0 <= place < num_crops:
        raise ConfigError(f"test crop {place} of {num_crops} does not exist")
    free = max(height, width) - short_side_px
    start = free // 2 if num_crops == 1 else int(place * (free / (num_crops - 1)))
    if height >= width:
        return Crop(top=start, left=0, height=short_side_px, width=width)
    return Crop(top=0, left=start, height=height, width=short_side_px)


def multi_scale_sizes(
    height: int,
    width: int,
    size: int,
    *,
    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66),
    max_distortion: int = 1,
) -> list[tuple[int, int]]:
    """List the (height, width) that a multi-scale crop chooses from.

    Sides are fractions of the short side, at most `max_distortion` steps apart; one within two
    pixels of `size` becomes `size`, so that nothing is resized for it, unless the frame is smaller.
    """
    short = min(height, width)
    sides = [int(short * scale) for scale in scales]
    sides = [size if abs(side - size) < 3 and size <= short else side for side in sides]
    return [
        (tall, wide)
        for i, tall in enumerate(sides)
        for j, wide in enumerate(sides)
        if abs(i - j) <= max_distortion
    ]


# Quarters of the free width and height: four corners and the middle, then the points between.
_OFFSET_QUARTERS = (
    *((0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0)),
    *((1, 1), (3, 1), (1, 3), (3, 3)),
)


def multi_scale_offsets(height: int, width: int, crop: tuple[int, int]) -> list[tuple[int, int]]:
    """List the 13 (top, left) places of a crop of (height, width) inside a frame."""
    down, right = (height - crop[0]) // 4, (width - crop[1]) // 4
    return [(y * down, x * right) for x, y in _OFFSET_QUARTERS]


def random_multi_scale_crop(
    height: int, width: int, size: int, generator: np.random.Generator
) -> Crop:
    """VideoMAE's pretraining crop: one of the sizes at one of the 13 places, all equally likely."""
    sizes = multi_scale_sizes(height, width, size)
    tall, wide = sizes[generator.integers(len(sizes))]
    places = multi_scale_offsets(height, width, (tall, wide))
    top, left = places[generator.integers(len(places))]
    return Crop(top=top, left=left, height=tall, width=wide)


def random_crop(height: int, width: int, share: float, generator: np.random.Generator) -> Crop:
    """Square of a share of the short side, at most 1, anywhere in the frame alike."""
    side = round(min(height, width) * min(share, 1.0))
    top, left = (int(generator.integers(free - side + 1)) for free in (height, width))
    return Crop(top=top, left=left, height=side, width=side)


def random_resized_crop(
    height: int,
    width: int,
    generator: np.random.Generator,
    *,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Crop:
    """Draw a crop by area and by the logarithm of width over height; after ten misses the middle.

    Source: Szegedy et al. 2015, "Going Deeper with Convolutions", section 6.
    """
    for _ in range(10):
        pixels = height * width * generator.uniform(*area)
        shape = math.exp(generator.uniform(math.log(ratio[0]), math.log(ratio[1])))
        wide, tall = round(math.sqrt(pixels * shape)), round(math.sqrt(pixels / shape))
        if 0 < wide <= width and 0 < tall <= height:
            top = int(generator.integers(height - tall + 1))
            left = int(generator.integers(width - wide + 1))
            return Crop(top=top, left=left, height=tall, width=wide)
    wide = min(width, round(height * ratio[1]))
    tall = min(height, round(width / ratio[0]))
    return Crop(top=(height - tall) // 2, left=(width - wide) // 2, height=tall, width=wide)


def flip(frames: UInt8[Tensor, "*b h w 3"]) -> UInt8[Tensor, "*b h w 3"]:
    """Mirror left and right."""
    return frames.flip(-2)


def normalise(
    frames: UInt8[Tensor, "*b t h w 3"],
    *,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
) -> Float[Tensor, "*b 3 t h w"]:
    """Turn bytes into floats in [0, 1], subtract the mean, divide by the deviation, per colour."""
    check_frames(frames)
    means, deviations = (torch.tensor(v, device=frames.device) for v in (mean, std))
    return rearrange((frames / 255 - means) / deviations, "... t h w c -> ... c t h w")
