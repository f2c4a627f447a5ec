"""Squared error of rebuilt tubelets, its targets, and the error of the trivial answer.

Source: VideoMAE's target (arXiv:2203.12602, section 4.1) as the released code computes it.
Shapes: tubelets (b, m, pixels) with pixels ordered (dt, dh, dw, c); everything in float32.
Differs: the mean is taken within each sample and then over samples. With equal counts that is the
official mean over all elements, and k ranks with a share of the batch each average to the same.
"""

from __future__ import annotations

import torch
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
    pixels = patches.float().div_(255)
    return standardise(pixels, num_channels=num_channels) if normalised else pixels


@torch.no_grad()
def standardise(
    pixels: Float[Tensor, "b m pixels"], *, num_channels: int = 3
) -> Float[Tensor, "b m pixels"]:
    """Give every channel of every tubelet mean 0 and standard deviation 1 (almost, see `_EPS`)."""
    channels = pixels.float().unflatten(2, (-1, num_channels))  # b m pixel c
    std, mean = torch.std_mean(channels, dim=2, keepdim=True)
    return ((channels - mean) / (std + _EPS)).flatten(2)


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
    error = (predicted.float() - target).square().mean(2)
    if counted is None:
        return error.mean(1)
    return (error * counted).sum(1) / counted.sum(1)


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
