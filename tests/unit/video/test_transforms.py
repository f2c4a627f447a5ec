"""Sizes, crops, flips and normalising; the recorded official cases are in tests/parity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from internvideo.errors import ConfigError
from internvideo.values import IMAGENET_MEAN, IMAGENET_STD
from internvideo.video import transforms
from internvideo.video.transforms import Crop


def noise(num_frames: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(
        0, 256, (num_frames, height, width, 3), generator=generator, dtype=torch.uint8
    )


@pytest.mark.parametrize("size", [(24, 31), (90, 130), (50, 70)])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_resizing_follows_pillow_to_two_grey_levels(size, mode):
    frames = noise(2, 50, 70)

    got = transforms.resize(frames, *size, mode=mode)

    exact = transforms.resize_like_pillow(frames, *size, mode=mode)
    filter_ = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[mode]
    pillow = Image.fromarray(frames[1].numpy()).resize((size[1], size[0]), filter_)
    assert np.array_equal(exact[1].numpy(), np.asarray(pillow))
    assert (got.int() - exact.int()).abs().max() <= 2


def test_resizing_without_antialiasing_is_plain_linear_interpolation():
    frames = noise(1, 40, 60)

    got = transforms.resize(frames, 25, 33, antialias=False)

    expected = torch.nn.functional.interpolate(
        frames.permute(0, 3, 1, 2).float(), (25, 33), mode="bilinear"
    )
    assert (got.permute(0, 3, 1, 2) - expected).abs().max() < 1.01


def test_a_crop_reads_only_its_rectangle():
    frames = noise(2, 20, 30)

    view = Crop(top=3, left=5, height=7, width=11).of(frames)

    assert torch.equal(view, frames[:, 3:10, 5:16])
    assert view.data_ptr() == frames[:, 3:, 5:].data_ptr()


def test_a_crop_that_reaches_outside_is_refused():
    with pytest.raises(ConfigError, match="reaches outside frames of 30x20"):
        Crop(top=15, left=0, height=7, width=11).of(noise(1, 20, 30))


def test_multi_scale_crops_are_all_drawn_and_lie_inside():
    generator = np.random.default_rng(0)

    crops = {transforms.random_multi_scale_crop(240, 320, 224, generator) for _ in range(3000)}

    sizes = transforms.multi_scale_sizes(240, 320, 224)
    assert {(c.height, c.width) for c in crops} == set(sizes)
    assert all(c.top + c.height <= 240 and c.left + c.width <= 320 for c in crops)


def test_random_resized_crops_cover_areas_and_shapes():
    generator = np.random.default_rng(0)

    crops = [transforms.random_resized_crop(240, 320, generator) for _ in range(500)]

    areas = np.array([c.height * c.width for c in crops]) / (240 * 320)
    shapes = np.array([c.width / c.height for c in crops])
    assert areas.min() < 0.15 and areas.max() > 0.85
    assert 0.7 < shapes.min() < 0.8 and 1.25 < shapes.max() < 1.4


def test_a_random_resized_crop_of_a_strip_falls_back_to_its_middle():
    crop = transforms.random_resized_crop(10, 1000, np.random.default_rng(0), area=(0.9, 1.0))

    assert crop == Crop(top=0, left=493, height=10, width=13)


def test_a_clip_is_flipped_whole():
    frames = noise(3, 4, 5)

    assert torch.equal(transforms.flip(frames), frames.flip(2))


def test_normalised_pixels_are_floats_with_colours_first():
    frames = noise(2, 4, 6)

    got = transforms.normalise(frames)

    expected = (frames[1, 2, 3, 0] / 255 - IMAGENET_MEAN[0]) / IMAGENET_STD[0]
    assert got.shape == (3, 2, 4, 6) and got.dtype == torch.float32
    assert got[0, 1, 2, 3] == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: transforms.uniform_crop(9, 9, 3, 3), "place 3 of a uniform crop"),
        (lambda: transforms.view_crop(9, 9, 3, 3), "test crop 3 of 3 does not exist"),
    ],
)
def test_impossible_crops_are_refused(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
