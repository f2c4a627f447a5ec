"""Operations on colours are Pillow's, to the last bit, frame by frame."""

from __future__ import annotations

import pytest
import torch
from PIL import ImageEnhance, ImageOps

from internvideo.video.augment import colours
from tests.unit.video.by_pillow import by_pillow, smooth


def extremes() -> torch.Tensor:
    """One colour; two colours; noise of all levels."""
    frames = torch.randint(0, 256, (3, 20, 20, 3), generator=torch.Generator().manual_seed(0))
    frames[0] = torch.tensor([0, 7, 255])
    frames[1, :, :, :] = 3
    frames[1, 5:] = 250
    return frames.to(torch.uint8)


def _added(image, added):
    return image.point([min(255, i + added) if i < 128 else i for i in range(256)] * 3)


PAIRS = {
    "autocontrast": (colours.autocontrast, ImageOps.autocontrast),
    "equalize": (colours.equalize, ImageOps.equalize),
    "invert": (colours.invert, ImageOps.invert),
    **{
        f"{name} {strength}": (
            lambda f, ours=ours, s=strength: ours(f, s),
            lambda image, theirs=theirs, s=strength: theirs(image, s),
        )
        for name, ours, theirs, strengths in (
            ("posterize", colours.posterize, ImageOps.posterize, (1, 2, 4)),
            ("solarize", colours.solarize, ImageOps.solarize, (0, 77, 128, 256)),
            ("solarize_add", colours.solarize_add, _added, (0, 77, 110)),
            *(
                (
                    ours.__name__,
                    ours,
                    lambda i, s, kind=kind: kind(i).enhance(s),
                    (0.0, 0.1, 0.37, 1.0, 1.63, 1.9),
                )
                for ours, kind in (
                    (colours.brightness, ImageEnhance.Brightness),
                    (colours.contrast, ImageEnhance.Contrast),
                    (colours.colour, ImageEnhance.Color),
                    (colours.sharpness, ImageEnhance.Sharpness),
                )
            ),
        )
        for strength in strengths
    },
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("frames", [smooth(), extremes()], ids=["smooth", "extremes"])
def test_operations_on_colours_are_pillows_to_the_last_bit(name, frames):
    ours, theirs = PAIRS[name]

    assert torch.equal(ours(frames), by_pillow(frames, theirs))


@pytest.mark.parametrize("name", PAIRS)
def test_operations_leave_the_given_frames_alone_and_take_views(name):
    whole = smooth()
    before = whole.clone()
    part = whole[:, 3:30, 5:40]

    got = PAIRS[name][0](part)

    assert torch.equal(whole, before)
    assert torch.equal(got, PAIRS[name][0](part.contiguous()))
