"""Shears, shifts and turns beside Pillow's."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from internvideo.video.augment import warp as warps
from internvideo.video.augment.warp import warp
from tests.unit.video.by_pillow import by_pillow, smooth

FILL = (124, 116, 104)
MATRICES = {
    "shear_x": warps.shear_x(0.21),
    "shear_x back": warps.shear_x(-0.3),
    "shear_y": warps.shear_y(0.17),
    "shift of whole pixels": warps.shift(5.0, -3.0),
    "shift of parts": warps.shift(-4.6, 7.3),
    "nothing": warps.shift(0.0, 0.0),
    "all at once": (0.9, 0.2, 3.0, -0.3, 1.1, 2.5),
}


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("name", MATRICES)
def test_warping_is_pillows_to_one_grey_level(name, interpolation):
    frames = smooth()
    matrix = MATRICES[name]

    got = warp(frames, matrix, fill=FILL, interpolation=interpolation)

    kind = Image.Resampling[interpolation.upper()]
    exact = by_pillow(
        frames,
        lambda i: i.transform(
            i.size, Image.Transform.AFFINE, matrix, resample=kind, fillcolor=FILL
        ),
    )
    assert (got.int() - exact.int()).abs().max() <= 1
    assert (got != exact).float().mean() < 0.01


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("degrees", [-30.0, -7.5, 0.0, 12.3, 30.0])
def test_turning_is_pillows_to_one_grey_level(degrees, interpolation):
    frames = smooth()

    got = warp(frames, warps.turn(degrees, 37, 53), fill=FILL, interpolation=interpolation)

    kind = Image.Resampling[interpolation.upper()]
    exact = by_pillow(frames, lambda i: i.rotate(degrees, resample=kind, fillcolor=FILL))
    assert (got.int() - exact.int()).abs().max() <= 1
    assert (got != exact).float().mean() < 0.01


def test_warping_takes_views_and_leaves_them_alone():
    whole = smooth()
    before, part = whole.clone(), whole[:, 3:30, 5:40]

    got = warp(part, warps.shear_x(0.2), fill=FILL, interpolation="bicubic")

    assert torch.equal(whole, before)
    again = warp(part.contiguous(), warps.shear_x(0.2), fill=FILL, interpolation="bicubic")
    assert torch.equal(got, again)
