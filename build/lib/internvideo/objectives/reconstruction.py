"""Squared error of rebuilt tubelets, its targets, and the error of the trivial answer.

Source: VideoMAE's target (arXiv:2203.12602, section 4.1) as the released code computes it.
Shapes: tubelets (b, m, pixels) with pixels ordered (dt, dh, dw, c); everything in float32.
Differs: the mean is taken within each sample and then over samples. With equal counts that is the
official mean over all elements, and k ranks with a share of the batch each average to the same.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor

from internvideo.values import IMAGENET_MEAN, IMAGENET_STD

_EPS = 1e-6  # added to the standard deviation, not under the root
# Added to a clip's deviation: two and a half grey levels, so that a blank clip's noise stays small.
_CLIP_EPS = 0.01


@torch.no_grad()
def pixel_targets(
    patches: UInt8[Tensor, "b m pixels"], *, normalised: bool, num_channels: int = 3
) -> Float[Tensor, "b m pixels"]:
    """Targets from decoded bytes: values in [0, 1], or each channel of each tubelet standardised.

    Standardising uses the unbiased variance over the tubelet's pixels of one channel.
    """
    if normalised:  # in units of bytes, where sums are exact
        return standardise(patches, num_channels=num_channels, eps=255 * _EPS)
    return patches.float().div_(255)


@torch.no_grad()
def standardise(
    pixels: Shaped[Tensor, "b m pixels"], *, num_channels: int = 3, eps: float = _EPS
) -> Float[Tensor, "b m pixels"]:
    """Give every channel of every tubelet mean 0 and deviation 1 (almost: `eps` is added to it)."""
    # Channels apart while computing: sums along memory are quicker on a processor.
    planes = rearrange(pixels, "b m (pixel c) -> b m c pixel", c=num_channels)
    planes = planes.clone(memory_format=torch.contiguous_format).float()
    planes.sub_(planes.mean(3, keepdim=True))
    with torch.autocast(planes.device.type, enabled=False):  # it would round the products
        variance = torch.linalg.vecdot(planes, planes)[..., None] / (planes.shape[3] - 1)
    planes.div_(variance.sqrt_().add_(eps))
    return rearrange(planes, "b m c pixel -> b m (pixel c)")


@torch.no_grad()
def clip_statistics(
    visible: UInt8[Tensor, "b k pixels"], *, num_channels: int = 3
) -> tuple[Float[Tensor, "b 1 pixels"], Float[Tensor, "b 1 1"]]:
    """Mean colour and overall deviation of what is visible of each clip, in [0, 1].

    What is hidden plays no part, so input and target may both be standardised by them.
    """
    channels = visible.float().div_(255).unflatten(2, (-1, num_channels))  # b k pixel c
    mean = channels.mean((1, 2), keepdim=True)
    deviation = (channels - mean).square_().mean((1, 2, 3)).sqrt_() + _CLIP_EPS
    return mean.expand(-1, 1, channels.shape[2], -1).flatten(2), deviation[:, None, None]


@torch.no_grad()
def unnormalise(
    patches: Float[Tensor, "b m pixels"],
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> Float[Tensor, "b m pixels"]:
    """Turn the network's normalised input back into pixels in [0, 1]."""
    channels = patches.float().unflatten(2, (-1, len(mean)))
    return (channels * channels.new_tensor(std) + channels.new_tensor(mean)).flatten(2)


def reconstruction_loss(
    predicted: Float[Tensor, "b m pixels"],
    target: Float[Tensor, "b m pixels"],
    counted: Bool[Tensor, "b m"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over samples of each sample's mean squared error over its counted tubelets."""
    return per_sample_error(predicted, target, counted).mean()


def per_sample_error(
    predicted: Float[Tensor, "b m pixels"],
    target: Float[Tensor, "b m pixels"],
    counted: Bool[Tensor, "b m"] | None = None,
) -> Float[Tensor, " b"]:
    """Squared error of each sample, averaged over its counted tubelets and their pixels."""
    error = _SquaredError.apply(predicted, target)
    if counted is None:
        return error.mean(1)
    return (error * counted).sum(1) / counted.sum(1)


class _SquaredError(torch.autograd.Function):
    """Squared difference, mean over pixels; keeps one tensor where plain code keeps two."""

    @staticmethod
    def forward(ctx: Any, predicted: Tensor, target: Tensor) -> Tensor:
        difference = predicted.float() - target
        ctx.save_for_backward(difference)
        ctx.dtype = predicted.dtype
        with torch.autocast(difference.device.type, enabled=False):  # it would round the products
            return torch.linalg.vecdot(difference, difference) / difference.shape[2]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors
        scale = gradient * (2 / difference.shape[2])
        return (difference * scale[:, :, None]).to(ctx.dtype), None


@torch.no_grad()
def trivial_error(
    all_patches: Shaped[Tensor, "b n pixels"],
    target: Float[Tensor, "b m pixels"],
    counted: Bool[Tensor, "b m"] | None = None,
) -> Float[Tensor, " b"]:
    """Error of predicting, for every tubelet of a clip, the clip's mean tubelet.

    `all_patches` are the clip's tubelets in the scale of `target`. A network that has learned
    nothing but a clip's average picture has this error; learning is measured against it.
    """
    mean = all_patches.float().mean(1, keepdim=True)
    return per_sample_error(mean.expand_as(target), target, counted)
