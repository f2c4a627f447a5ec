"""A folder of numbered frame pictures, read as if it were a video file.

Source: the frame folders of VideoMAE and of Something-Something (`img_00001.jpg`, ...).
Shapes: frames (t, h, w, 3) uint8, RGB, all of the first picture's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from PIL import Image

from internvideo.errors import ConfigError, DecodeError
from internvideo.values import Clip
from internvideo.video.guard import guarded
from internvideo.video.info import VideoInfo
from internvideo.video.picture import open_picture, picture_pixels, upright_size
from internvideo.video.size import scaled_size


class FrameFolder:
    """Frames `template.format(first_frame + i)` of a folder; the same interface as `VideoReader`.

    Without `num_frames` the pictures are counted up to the first gap. A folder does not know its
    rate; `rate_fps` is what its timestamps assume.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        template: str = "img_{:05}.jpg",
        first_frame: int = 1,
        num_frames: int | None = None,
        rate_fps: float = 30.0,
    ) -> None:
        self.path = Path(folder)
        self._template, self._first = template, first_frame
        self._rate_fps = rate_fps
        try:
            names_differ = template.format(0) != template.format(1)
        except (IndexError, KeyError, ValueError):
            names_differ = False
        if not names_differ:
            raise ConfigError(
                f"frame template {template!r} does not number its files; write img_{{:05}}.jpg"
            )
        if not self.path.is_dir():
            raise DecodeError(f"{folder}: is not a folder of frames; check the path")
        self.num_frames = self._count() if num_frames is None else num_frames
        if self.num_frames < 1:
            raise DecodeError(
                f"{folder}: has no frame {template.format(first_frame)}; "
                f"check the template {template!r} and the first number {first_frame}"
            )

    def _count(self) -> int:
        names = {path.name for path in self.path.iterdir()}
        number = self._first
        while self._template.format(number) in names:
            number += 1
        return number - self._first

    def __enter__(self) -> FrameFolder:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing stays open between calls."""

    @property
    def timestamps_s(self) -> Float64[np.ndarray, " t"]:
        return np.arange(self.num_frames) / self._rate_fps

    @cached_property
    @guarded
    def info(self) -> VideoInfo:
        with self._open(0) as image:
            width, height = upright_size(image)
        return VideoInfo(
            num_frames=self.num_frames,
            duration_s=self.num_frames / self._rate_fps,
            rate_fps=self._rate_fps,
            width=width,
            height=height,
            codec=Path(self._template).suffix.lstrip("."),
        )

    @guarded
    def frames(self, indices: Sequence[int], *, short_side_px: int | None = None) -> Clip:
        """Read the pictures numbered `indices` from 0; see `VideoReader.frames`."""
        indices = [int(i) for i in indices]
        width, height = scaled_size(self.info.width, self.info.height, short_side_px)
        out = torch.empty(len(indices), height, width, 3, dtype=torch.uint8)
        read: dict[int, int] = {}
        for slot, index in enumerate(indices):
            if index in read:
                out[slot] = out[read[index]]
                continue
            read[index] = slot
            out[slot] = torch.from_numpy(self._pixels(index, width, height))
        return Clip(
            frames=out,
            timestamps_s=torch.tensor(indices, dtype=torch.float64) / self._rate_fps,
            source=str(self.path),
        )

    def _open(self, index: int) -> Image.Image:
        if not 0 <= index < self.num_frames:
            raise DecodeError(
                f"{self.path}: no frame {index}, the folder holds frames 0 to {self.num_frames - 1}"
            )
        return open_picture(self._file(index))

    def _pixels(self, index: int, width: int, height: int) -> np.ndarray:
        with self._open(index) as image:
            return picture_pixels(image, width, height, name=self._file(index))

    def _file(self, index: int) -> Path:
        return self.path / self._template.format(self._first + index)
