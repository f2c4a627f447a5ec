"""Shifts of hue, saturation and value against the standard library's."""

from __future__ import annotations

import colorsys

import torch

from internvideo.video.augment.colours import shift_hsv

FRAMES = torch.randint(
    0, 256, (2, 6, 7, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)


def test_pixels_are_shifted_as_the_standard_library_says():
    shifted = shift_hsv(FRAMES, 25.0, -0.1, 0.05)

    for pixel, got in zip(
        FRAMES.reshape(-1, 3).tolist(), shifted.reshape(-1, 3).tolist(), strict=True
    ):
        hue, saturation, value = colorsys.rgb_to_hsv(*(level / 255 for level in pixel))
        expected = colorsys.hsv_to_rgb(
            (hue + 25 / 360) % 1, max(saturation - 0.1, 0), min(value + 0.05, 1)
        )
        assert max(abs(255 * a - b) for a, b in zip(expected, got, strict=True)) <= 0.51


def test_no_shift_changes_nothing_and_greys_stay_grey():
    greys = FRAMES[..., :1].expand_as(FRAMES)

    assert shift_hsv(FRAMES, 0.0, 0.0, 0.0).equal(FRAMES)
    brighter = shift_hsv(greys, 30.0, 0.2, 0.1)
    assert (brighter == brighter[..., :1]).all() and (brighter >= greys).all()
