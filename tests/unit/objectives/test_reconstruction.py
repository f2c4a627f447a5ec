"""Targets and error of rebuilt tubelets."""

from __future__ import annotations

import pytest
import torch

from internvideo.objectives import (
    mean_baseline_error,
    per_sample_error,
    pixel_targets,
    reconstruction_loss,
    standardise,
    unnormalise,
)
from internvideo.values import IMAGENET_MEAN, IMAGENET_STD


def _bytes(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def test_standardised_target_equals_the_definition_written_out():
    patches = _bytes(2, 3, 1536)

    got = pixel_targets(patches, normalised=True)

    channels = (patches.double() / 255).view(2, 3, 512, 3)
    mean, std = channels.mean(2, keepdim=True), channels.std(2, keepdim=True)
    expected = ((channels - mean) / (std + 1e-6)).flatten(2)
    torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-5)


def test_zero_prediction_of_textured_video_costs_511_of_512():
    target = pixel_targets(_bytes(2, 3, 1536), normalised=True)

    loss = reconstruction_loss(torch.zeros_like(target), target)

    assert float(loss) == pytest.approx(511 / 512, abs=1e-4)


def test_zero_prediction_of_a_constant_video_costs_nothing():
    target = pixel_targets(torch.full((1, 2, 1536), 90, dtype=torch.uint8), normalised=True)

    assert float(reconstruction_loss(torch.zeros_like(target), target)) == pytest.approx(0)


def test_targets_do_not_change_their_input():
    pixels = torch.rand(1, 2, 24)
    before = pixels.clone()

    standardise(pixels)

    assert torch.equal(pixels, before)


def test_unnormalised_floats_are_the_bytes_again():
    patches = _bytes(1, 2, 12)
    mean, std = torch.tensor(IMAGENET_MEAN).repeat(4), torch.tensor(IMAGENET_STD).repeat(4)

    pixels = unnormalise((patches / 255 - mean) / std)

    torch.testing.assert_close(pixels, pixel_targets(patches, normalised=False))


def test_loss_and_gradient_equal_the_obvious_mean():
    predicted = torch.randn(2, 3, 6, requires_grad=True)
    obvious = predicted.detach().clone().requires_grad_()
    target = torch.randn(2, 3, 6)

    loss = reconstruction_loss(predicted, target)
    loss.backward()
    expected = (obvious - target).square().mean()
    expected.backward()

    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(predicted.grad, obvious.grad)


def test_loss_over_ranks_with_equal_shares_is_the_loss_of_the_whole_batch():
    predicted, target = torch.randn(4, 5, 6), torch.randn(4, 5, 6)
    counted = torch.rand(4, 5) > 0.4
    counted[:, 0] = True

    halves = [
        reconstruction_loss(predicted[part], target[part], counted[part])
        for part in (slice(0, 2), slice(2, 4))
    ]

    torch.testing.assert_close(
        torch.stack(halves).mean(), reconstruction_loss(predicted, target, counted)
    )


def test_tokens_that_are_not_counted_change_nothing():
    predicted, target = torch.randn(1, 3, 6), torch.randn(1, 3, 6)
    counted = torch.tensor([[True, False, True]])

    error = per_sample_error(predicted, target, counted)

    torch.testing.assert_close(error, per_sample_error(predicted[:, [0, 2]], target[:, [0, 2]]))


def test_mean_baseline_error_is_that_of_the_clips_mean_tubelet():
    clip = torch.rand(2, 8, 6)
    target = clip[:, 3:]

    got = mean_baseline_error(clip, target)

    expected = torch.stack([(clip[i].mean(0) - target[i]).square().mean() for i in range(2)])
    torch.testing.assert_close(got, expected)
