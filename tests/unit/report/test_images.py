from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from internvideo.errors import ConfigError
from internvideo.report.images import enlarge, overlaid, picture_strip, png_bytes, to_bytes


def _frames(num: int, side: int, value: int = 200) -> torch.Tensor:
    return torch.full((num, side, side, 3), value, dtype=torch.uint8)


def _holds(image, patch) -> bool:
    """Whether a picture contains a patch somewhere, by looking everywhere."""
    windows = image.unfold(0, patch.shape[0], 1).unfold(1, patch.shape[1], 1)
    return bool((windows == patch.permute(2, 0, 1)).flatten(2).all(2).any())


def test_colours_become_bytes_and_what_lies_outside_is_clamped():
    colours = torch.tensor([[0.0, 0.5, 1.0], [-3.0, 7.0, float("nan")]])

    assert to_bytes(colours).tolist() == [[0, 128, 255], [0, 255, 0]]


def test_bytes_stay_what_they_are():
    frames = _frames(1, 4)

    assert torch.equal(to_bytes(frames), frames)


def test_small_frames_are_enlarged_by_whole_factors():
    frames = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8)

    large = enlarge(frames, side_px=12)

    assert large.shape == (2, 15, 21, 3)
    assert torch.equal(large[:, 1::3, 1::3], frames)


def test_large_frames_are_not_enlarged():
    assert enlarge(_frames(1, 64), side_px=32).shape == (1, 64, 64, 3)


def test_a_strip_holds_every_frame_of_every_row():
    rows = {
        name: torch.randint(0, 256, (3, 8, 8, 3), dtype=torch.uint8) for name in ("input", "masked")
    }

    strip = picture_strip(rows, side_px=8)

    assert all(_holds(strip, frame) for frames in rows.values() for frame in frames)


def test_lines_of_background_stand_between_frames():
    strip = picture_strip({"a": _frames(2, 8, 255)}, side_px=8)
    row = strip[strip.shape[0] // 2, -27:, 0]

    assert (row == 255).sum() == 16
    assert (row[8:11] < 40).all()


def test_rows_may_differ_in_length_and_size():
    strip = picture_strip({"query": _frames(2, 8), "found": _frames(5, 16)}, side_px=8)

    assert _holds(strip, _frames(1, 16)[0])


def test_a_caption_adds_room_above_and_is_drawn():
    plain = picture_strip({"a": _frames(9, 32)}, side_px=32)
    captioned = picture_strip({"a": _frames(9, 32)}, side_px=32, caption="what is seen")

    added = captioned.shape[0] - plain.shape[0]
    assert added > 0
    assert captioned[:added].float().std() > 0


def test_the_marked_row_has_a_frame():
    rows = {"a": _frames(2, 16), "b": _frames(2, 16)}

    assert not torch.equal(picture_strip(rows), picture_strip(rows, marked="b"))


def test_letters_that_cannot_be_drawn_do_not_stop_the_picture():
    strip = picture_strip({"ряд": _frames(1, 8)}, caption="红色的球\nрядом 🎬")

    assert strip.ndim == 3


@pytest.mark.parametrize("rows", [{}, {"a": _frames(0, 8)}])
def test_a_strip_without_frames_is_refused(rows):
    with pytest.raises(ConfigError, match="a strip needs frames in every row"):
        picture_strip(rows)


def test_png_gives_the_picture_back():
    picture = torch.randint(0, 256, (9, 13, 3), dtype=torch.uint8)

    image = Image.open(io.BytesIO(png_bytes(picture)))

    assert image.format == "PNG"
    assert list(image.tobytes()) == picture.flatten().tolist()


def test_heat_is_orange_and_the_rest_is_darkened():
    frames = torch.full((1, 1, 2, 3), 100, dtype=torch.uint8)

    (((cold, hot),),) = overlaid(frames, torch.tensor([[[0.0, 1.0]]])).tolist()

    assert cold == [70, 70, 70]
    assert hot[0] > 200 > hot[1] > hot[2]
