"""What RandAugment does to colours, on the bytes of all frames at once.

Source: `ImageOps` and `ImageEnhance` of Pillow, which the released augmentation calls for each
frame; results are the same to the last bit (tests/unit/video/test_augment_colours.py).
Shapes: frames (t, h, w, 3) uint8 in and out. Statistics, such as the darkest pixel, are those of
each frame, as there.
Most of these functions send each level to another one, so they are tables of 256 entries.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float, Int32, Num, UInt8
from torch import Tensor

Frames = UInt8[Tensor, "t h w 3"]

_LEVELS = torch.arange(256)


def invert(frames: Frames) -> Frames:
    """Turn each level into 255 minus it."""
    return 255 - frames


def posterize(frames: Frames, bits: int) -> Frames:
    """Keep the highest bits."""
    return frames & (256 - (1 << (8 - bits)))


def solarize(frames: Frames, threshold: int) -> Frames:
    """Invert levels from the threshold on."""
    return _look_up(frames, torch.where(threshold <= _LEVELS, 255 - _LEVELS, _LEVELS))


def solarize_add(frames: Frames, added: int) -> Frames:
    """Brighten levels of the darker half by a constant."""
    return _look_up(frames, torch.where(_LEVELS >= 128, _LEVELS, _LEVELS + added))


def brightness(frames: Frames, factor: float) -> Frames:
    """Multiply all levels."""
    return _look_up(frames, _away_from(torch.zeros(()), _LEVELS, factor))


def contrast(frames: Frames, factor: float) -> Frames:
    """Multiply the distance of all levels from the mean grey of their frame."""
    mean = (_grey(frames).mean((1, 2), dtype=torch.float64) + 0.5).floor()
    return _look_up(frames, _away_from(mean[:, None, None].float(), _LEVELS, factor))


def colour(frames: Frames, factor: float) -> Frames:
    """Multiply the distance of all colours from grey (saturation)."""
    return _away_from(_grey(frames)[..., None], frames, factor).to(torch.uint8)


def sharpness(frames: Frames, factor: float) -> Frames:
    """Multiply what a 3 x 3 mean would take away; pixels at the border stay."""
    pixels = frames.to(torch.int16)
    rows = pixels[:, :-2] + pixels[:, 1:-1] + pixels[:, 2:]
    inner = pixels[:, 1:-1, 1:-1]
    box = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * inner
    smooth = (box.float() / 13 + 0.5).floor_()  # the middle counts five times
    sharpened = frames.clone()
    sharpened[:, 1:-1, 1:-1] = _away_from(smooth, inner, factor)
    return sharpened


def autocontrast(frames: Frames) -> Frames:
    """Stretch each colour of each frame to the levels from 0 to 255."""
    pixels = rearrange(frames, "t h w c -> t c (h w)")
    low, high = (level.double()[..., None] for level in pixels.aminmax(dim=2))
    scale = 255 / (high - low)
    tables = (_LEVELS * scale - low * scale).clamp(0, 255)
    return _look_up(frames, torch.where(high > low, tables, _LEVELS.double()))


def equalize(frames: Frames) -> Frames:
    """Spread each colour of each frame so that all levels are about equally frequent."""
    num_frames, height, width, _ = frames.shape
    counts = torch.bincount(_table_index(frames).flatten(), minlength=num_frames * 3 * 256)
    counts = counts.view(num_frames, 3, 256)
    highest = (_LEVELS * (counts > 0)).amax(2, keepdim=True)
    step = (height * width - counts.gather(2, highest)) // 255
    tables = (step // 2 + counts.cumsum(2) - counts) // step.clamp(min=1)
    return _look_up(frames, torch.where(step > 0, tables, _LEVELS).clamp(max=255))


def shift_hsv(frames: Frames, hue_degrees: float, saturation: float, value: float) -> Frames:
    """Turn the hue of all pixels, and add to their saturation and value, which end at 0 and 1."""
    pixels = frames.float() / 255
    high, low = pixels.amax(3), pixels.amin(3)
    spread = (high - low).clamp(min=1e-12)
    red, green, blue = pixels.unbind(3)
    sector = torch.where(
        high == red,
        (green - blue) / spread,
        torch.where(high == green, (blue - red) / spread + 2, (red - green) / spread + 4),
    )
    sector = sector + hue_degrees / 60
    # Greys have no hue, and stay grey: a saturation of none is not added to.
    coloured = torch.where(high > low, (1 - low / high.clamp(min=1e-12) + saturation), 0.0)
    coloured, bright = coloured.clamp(0, 1), (high + value).clamp(0, 1)
    parts = [(sector + offset) % 6 for offset in (5, 3, 1)]
    shifted = [
        bright * (1 - coloured * torch.minimum(part, 4 - part).clamp(0, 1)) for part in parts
    ]
    return (torch.stack(shifted, dim=3) * 255).round().to(torch.uint8)


def _grey(frames: Frames) -> Float[Tensor, "t h w"]:
    """Grey levels, by weights in parts of 2 ** 16."""
    red, green, blue = frames.int().unbind(3)
    return ((19595 * red + 38470 * green + 7471 * blue + 2**15) >> 16).float()


def _away_from(
    anchor: Float[Tensor, "*a"], levels: Num[Tensor, "*l"], factor: float
) -> Float[Tensor, "*r"]:
    """Multiply distances from an anchor; whole levels come of it by cutting off."""
    return (levels - anchor).mul_(factor).add_(anchor).clamp_(0, 255)


def _look_up(frames: Frames, tables: Num[Tensor, "*#tc 256"]) -> Frames:
    """Send levels through one table, or through one of each frame, or of each frame and colour."""
    levels = tables.to(torch.uint8)
    if levels.ndim == 1:
        index = frames.flatten().int()
    else:
        levels = levels.expand(len(frames), 3, 256)
        index = _table_index(frames).flatten()
    return levels.flatten().index_select(0, index).view(frames.shape)


def _table_index(frames: Frames) -> Int32[Tensor, "t h w3"]:
    """Number of each pixel's level among the levels of all colours of all frames."""
    num_frames, _, width, _ = frames.shape
    starts = 256 * torch.arange(num_frames * 3, dtype=torch.int32).view(num_frames, 1, 3)
    return frames.flatten(2).int() + starts.repeat(1, 1, width)
