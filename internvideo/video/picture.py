"""A picture file becomes pixels, and an image is a video of one frame.

Source: Pillow. Shapes: frames (1, h, w, 3) uint8, RGB, upright as the EXIF data ask.
Transparency is dropped, as in CLIP's preprocessing; of 16 bits the higher 8 are kept; an animation
gives its first picture.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from PIL import ExifTags, Image

from internvideo.errors import DecodeError
from internvideo.values import Clip
from internvideo.video.container import check_is_file, check_size
from internvideo.video.guard import guarded
from internvideo.video.info import VideoInfo
from internvideo.video.size import scaled_size

IMAGE_SUFFIXES = frozenset(
    f".{name}"
    for name in ("avif", "bmp", "jfif", "jpeg", "jpg", "png", "ppm", "tif", "tiff", "webp")
)
# Pillow's readers of these; no other is tried (EPS, for one, would start Ghostscript).
_FORMATS = ("AVIF", "BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# What Pillow's readers raise on damaged files; RuntimeError is AVIF's.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error),
    Image.DecompressionBombError,
)
# What makes a picture upright that was stored with this EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = frozenset((5, 6, 7, 8))


class ImageFile:
    """One image with the interface of `VideoReader`: a video of one frame that lasts a second."""

    num_frames = 1

    def __init__(self, path: str | Path, *, data: bytes | None = None) -> None:
        self.path = Path(path)
        self._data = data

    def __enter__(self) -> ImageFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing stays open between calls."""

    @property
    def timestamps_s(self) -> Float64[np.ndarray, " t"]:
        return np.zeros(1)

    @cached_property
    @guarded
    def info(self) -> VideoInfo:
        with open_picture(self.path, self._data) as image:
            width, height = upright_size(image)
            codec = (image.format or "").lower()
        return VideoInfo(
            num_frames=1, duration_s=1.0, rate_fps=1.0, width=width, height=height, codec=codec
        )

    @guarded
    def frames(self, indices: Sequence[int], *, short_side_px: int | None = None) -> Clip:
        """Read the image once for every 0 in `indices`; see `VideoReader.frames`."""
        for index in indices:
            if index != 0:
                raise DecodeError(f"{self.path}: no frame {index}, an image has frame 0 only")
        with open_picture(self.path, self._data) as image:
            size = scaled_size(*upright_size(image), short_side_px)
            pixels = torch.from_numpy(picture_pixels(image, *size, name=self.path))
        return Clip(
            frames=pixels.expand(len(indices), -1, -1, -1).contiguous(),
            timestamps_s=torch.zeros(len(indices), dtype=torch.float64),
            source=str(self.path),
        )


def open_picture(path: Path, data: bytes | None = None) -> Image.Image:
    """Open a picture file, or its bytes; the pixels are read later."""
    if data is None:
        check_is_file(path)
    try:
        image = Image.open(path if data is None else io.BytesIO(data), formats=_readable())
    except _BROKEN as error:
        raise DecodeError(f"{path}: cannot be read ({error}); replace the picture") from error
    try:
        check_size(path, *image.size)
    except DecodeError:
        image.close()
        raise
    return image


@cache
def _readable() -> tuple[str, ...]:
    """Those of `_FORMATS` that this build of Pillow has."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return (width, height) as one sees the picture."""
    return image.size[::-1] if _orientation(image) in _ON_ITS_SIDE else image.size


def picture_pixels(image: Image.Image, width: int, height: int, *, name: Path) -> np.ndarray:
    """Decode in RGB and upright at the size given; `name` is for the error."""
    orientation = _orientation(image)
    stored_size = (height, width) if orientation in _ON_ITS_SIDE else (width, height)
    try:
        image.draft("RGB", stored_size)  # JPEG decodes at a fraction of its size
        image = _in_rgb(image)
        if image.size != stored_size:
            image = image.resize(stored_size, Image.Resampling.BILINEAR)
        if orientation in _TURNS:
            image = image.transpose(_TURNS[orientation])
        return np.array(image)
    except _BROKEN as error:
        raise DecodeError(f"{name}: cannot be decoded ({error}); replace the picture") from error


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode == "P":
        image = image.convert("RGBA")  # Pillow warns of palettes with transparency otherwise
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except _BROKEN:
        return 1  # a picture with broken notes is still a picture
