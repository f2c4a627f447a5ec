"""How much the places of a clip change, but for a camera's drift, and those of an image vary.

The whole frame's shift against the middle frame is found by Gauss-Newton steps on grey frames of
half the size, with weights that leave out what moves by itself (Odobez and Bouthemy 1995). What
then varies at a place does so by its own motion. Shifts of a few pixels are found, not turns or
zooms. All of it is without gradients, in full precision.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor

_STEPS = 3
_WINDOW = 5  # pixels of the halved frame over which an error is judged
_LEAST = 1e-5  # of a squared error, in units of the clip


@torch.no_grad()
def changes(clip: Float[Tensor, "b c t h w"], grid: tuple[int, int]) -> Float[Tensor, "b places"]:
    """Mean variance over the frames of every place of a `grid` of rows and columns."""
    with torch.autocast(clip.device.type, enabled=False):
        frames = _halved(clip.float())
        still = _shifted(frames, *_drift(frames.mean(1)))
    return F.adaptive_avg_pool2d(still.var(2, correction=0).mean(1), grid).flatten(1)


@torch.no_grad()
def variation(
    image: Float[Tensor, "b c 1 h w"], grid: tuple[int, int]
) -> Float[Tensor, "b places"]:
    """Mean variance over the pixels of every place of a `grid` of rows and columns."""
    pixels = image[:, :, 0].float()
    mean = F.adaptive_avg_pool2d(pixels, grid)
    return (F.adaptive_avg_pool2d(pixels.square(), grid) - mean.square()).mean(1).flatten(1)


def _halved(clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h2 w2"]:
    """Smooth frames and halve them, so that shifts by parts of a pixel leave edges as they are."""
    images = rearrange(clip, "b c t h w -> (b c) t h w")
    smooth = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return rearrange(F.avg_pool2d(smooth, 2), "(b c) t h w -> b c t h w", b=clip.shape[0])


def _drift(
    frames: Float[Tensor, "b t h w"],
) -> tuple[Float[Tensor, "b t"], Float[Tensor, "b t"]]:
    """Where each frame's content lies off the middle frame's, in pixels to the right and down."""
    middle = frames[:, frames.shape[1] // 2, None]
    x = y = frames.new_zeros(frames.shape[:2])
    for _ in range(_STEPS):
        moved = _shifted(frames[:, None], x, y)[:, 0]
        right, down = _gauss_newton(middle, moved)
        x, y = x + right, y + down
    return x, y


def _gauss_newton(
    target: Float[Tensor, "b 1 h w"], moved: Float[Tensor, "b t h w"]
) -> tuple[Float[Tensor, "b t"], Float[Tensor, "b t"]]:
    """One step, of at most a pixel, towards the shift that makes `moved` the target."""
    error = target - moved
    power = F.avg_pool2d(error.square(), _WINDOW, stride=1, padding=_WINDOW // 2)
    ranked = power.flatten(2).sort(2).values  # of which ONNX knows the middle, and no median
    usual = ranked[..., (ranked.shape[2] - 1) // 2, None, None] + _LEAST
    weight = (1 + power / (2 * usual)) ** -2
    padded = F.pad(moved, (1, 1, 1, 1), mode="replicate")
    right = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2

    def total(first: Tensor, second: Tensor) -> Float[Tensor, "b t"]:
        return reduce(weight * first * second, "b t h w -> b t", "sum")

    xx, yy, xy = total(right, right), total(down, down), total(right, down)
    x, y = total(right, error), total(down, error)
    determinant = xx * yy - xy**2 + 1e-6 * (xx + yy) ** 2 + 1e-12
    step = torch.stack([yy * x - xy * y, xx * y - xy * x]) / determinant
    return tuple(step.clamp(-1, 1))


def _shifted(
    frames: Float[Tensor, "b c t h w"], x: Float[Tensor, "b t"], y: Float[Tensor, "b t"]
) -> Float[Tensor, "b c t h w"]:
    """Take every frame's pixels from `x` to the right and `y` below, the border's beyond it."""
    rows, columns = _between(y, frames.shape[3]), _between(x, frames.shape[4])
    return rows[:, None] @ frames @ columns[:, None].mT


def _between(shift: Float[Tensor, "b t"], size: int) -> Float[Tensor, "b t size size"]:
    """Weights of linear interpolation: of the pixels, for each place of the shifted row."""
    pixels = torch.arange(size, device=shift.device, dtype=shift.dtype)
    wanted = (pixels + shift[..., None]).clamp(0, size - 1)
    return F.relu(1 - (wanted[..., None] - pixels).abs())
