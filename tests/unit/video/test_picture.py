"""Images are videos of one frame, whatever way they were stored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from internvideo.errors import DecodeError
from internvideo.values import Record
from internvideo.video import ImageFile, open_video, read_clip


@pytest.fixture
def pixels() -> np.ndarray:
    """Red on the left, green at the top right, black below; 40 rows of 60."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, :30, 0] = 255
    picture[:20, 30:, 1] = 255
    return picture


def read(path, **options):
    return read_clip(Record(video=path), [0], **options).frames[0]


def test_an_image_has_one_frame_at_time_zero(pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "a.png")

    with open_video(tmp_path / "a.png") as image:
        clip = image.frames([0, 0])

    assert isinstance(image, ImageFile)
    assert (image.num_frames, image.info.width, image.info.height) == (1, 60, 40)
    assert (image.timestamps_s == 0).all()
    assert torch.equal(clip.frames, torch.from_numpy(np.stack([pixels, pixels])))


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "webp", "bmp", "tif", "png"])
def test_common_formats_are_read(pixels, tmp_path, suffix):
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}", quality=95)

    frame = read(tmp_path / f"a.{suffix}")

    error = (frame.int() - torch.from_numpy(pixels).int()).abs().float()
    assert error.mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_an_image_is_turned_upright(pixels, tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    backwards = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}[orientation]
    stored = _turned(pixels, backwards)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(stored).save(path, exif=exif, quality=95, subsampling=0)

    frame = read(path)

    assert frame.shape == pixels.shape
    assert (frame.int() - torch.from_numpy(pixels).int()).abs().max() < 60
    assert open_video(path).info.width == 60


def _turned(pixels, orientation):
    """Turn as the EXIF standard words it: where the first row and the first column are seen."""
    return {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: p.swapaxes(0, 1)[:, ::-1],
        7: lambda p: p.swapaxes(0, 1)[::-1, ::-1],
        8: lambda p: p.swapaxes(0, 1)[::-1],
    }[orientation](pixels)


def test_a_turned_image_is_scaled_by_its_upright_size(pixels, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)

    assert read(tmp_path / "a.jpg", short_side_px=20).shape == (30, 20, 3)


@pytest.mark.parametrize("mode", ["P", "RGBA", "L", "CMYK", "LA", "1"])
def test_every_colour_mode_becomes_rgb(pixels, tmp_path, mode):
    image = Image.fromarray(pixels).convert(mode)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image.save(path)

    expected = torch.from_numpy(np.asarray(image.convert("RGB")).copy())
    assert (read(path).int() - expected.int()).abs().float().mean() < 4


def test_a_palette_with_transparency_is_read_without_a_warning(pixels, tmp_path):
    image = Image.fromarray(pixels).convert("P")
    image.save(tmp_path / "a.png", transparency=bytes([0, 128] * 100))

    assert torch.equal(read(tmp_path / "a.png")[:, :30, 0].unique(), torch.tensor([255]).byte())


def test_the_higher_bits_of_sixteen_are_kept(tmp_path):
    grey = (np.arange(2400, dtype=np.uint16) * 27).reshape(40, 60)
    Image.fromarray(grey).save(tmp_path / "a.png")

    assert torch.equal(read(tmp_path / "a.png")[..., 0], torch.from_numpy(grey // 256).byte())


def test_a_cut_image_is_named(pixels, tmp_path):
    path = tmp_path / "cut.jpg"
    Image.fromarray(np.random.default_rng(0).permutation(pixels)).save(path)
    path.write_bytes(path.read_bytes()[:600])

    with pytest.raises(DecodeError, match=r"cut\.jpg: cannot be (decoded|read).*replace the pict"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"no picture at all"])
def test_what_is_no_image_is_named(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)

    with pytest.raises(DecodeError, match=r"a\.png: cannot be read .*cannot identify"):
        read(tmp_path / "a.png")


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(DecodeError, match=r"a\.png: no such file"):
        read(tmp_path / "a.png")


def test_a_second_frame_is_refused(pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "a.png")

    with pytest.raises(DecodeError, match=r"a\.png: no frame 1, an image has frame 0 only"):
        read_clip(tmp_path / "a.png", [0, 1])


def test_an_image_can_be_read_from_bytes(pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "a.png")

    image = ImageFile("name.png", data=(tmp_path / "a.png").read_bytes())

    assert torch.equal(image.frames([0]).frames[0], torch.from_numpy(pixels))
