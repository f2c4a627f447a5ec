"""Reconstruction loss of masked pretraining, its targets, and the error of the mean baseline.

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
    loss_mask: Bool[Tensor, "b m"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over samples of each sample's mean squared error over the tubelets of the loss mask."""
    return per_sample_error(predicted, target, loss_mask).mean()


def per_sample_error(
    predicted: Float[Tensor, "b m pixels"],
    target: Float[Tensor, "b m pixels"],
    loss_mask: Bool[Tensor, "b m"] | None = None,
) -> Float[Tensor, " b"]:
    """Squared error of each sample, averaged over the loss mask's tubelets and pixels."""
    error = _SquaredError.apply(predicted, target)
    if loss_mask is None:
        return error.mean(1)
    return (error * loss_mask).sum(1) / loss_mask.sum(1)


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
def mean_baseline_error(
    all_patches: Shaped[Tensor, "b n pixels"],
    target: Float[Tensor, "b m pixels"],
    loss_mask: Bool[Tensor, "b m"] | None = None,
) -> Float[Tensor, " b"]:
    """Error of predicting, for every tubelet of a clip, the clip's mean tubelet.

    `all_patches` are the clip's tubelets in the scale of `target`. A network that has learned
    nothing but a clip's average picture has this error; learning is measured against it.
    """
    mean = all_patches.float().mean(1, keepdim=True)
    return per_sample_error(mean.expand_as(target), target, loss_mask)
