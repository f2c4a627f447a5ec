"""Frames that a caller has in memory: bytes (t, h, w, 3), RGB, or an error that says what to do.

Floats, other orders of axes and other numbers of channels would be embedded without a word and
wrongly, so they are refused and never guessed at.
Shapes: frames (t, h, w, 3) uint8, of torch or numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from internvideo.errors import ConfigError

_EXPECTED = "expected uint8 (frames, height, width, 3), RGB from 0 to 255"


def frames_in_memory(frames: Any) -> UInt8[Tensor, "t h w 3"]:
    """Take the frames of one clip as they are.

    Raises:
        ConfigError: They are no array, or of another type, order of axes or number of channels.
    """
    if not isinstance(frames, Tensor | np.ndarray):
        raise ConfigError(
            f"a {type(frames).__name__} is no video: give a path, a Clip, or frames as an array of "
            "torch or numpy, uint8 (frames, height, width, 3)"
        )
    check_frames(frames, num_axes=4)
    if isinstance(frames, Tensor):
        return frames
    # A copy where torch could not share it: read-only, or with negative strides.
    return torch.from_numpy(np.require(frames, requirements=["C", "W"]))


def check_frames(frames: Tensor | np.ndarray, *, num_axes: int | None = None) -> None:
    """Raise `ConfigError` for frames (..., t, h, w, 3) that are not bytes or ordered otherwise."""
    shape, dtype = tuple(frames.shape), str(frames.dtype).removeprefix("torch.")
    found = f"frames in memory are {dtype} {shape}, {_EXPECTED}"
    if num_axes is not None and len(shape) != num_axes:
        hint = "for a single picture add an axis: frames[None]" if len(shape) == 3 else ""
        raise ConfigError(f"{found}{hint and '; '}{hint}")
    if shape[-1] != 3:
        raise ConfigError(f"{found}; {_order_hint(shape)}")
    if 0 in shape:
        raise ConfigError(f"{found}; there are none")
    if dtype != "uint8":
        raise ConfigError(
            f"{found}; values from 0 to 1 become bytes by (frames * 255).round() and a conversion "
            "to uint8, without subtracting a mean"
        )


def _order_hint(shape: tuple[int, ...]) -> str:
    clip = shape[-4:]
    if len(clip) == 4 and clip[0] == 3:
        return "colours come first: permute the axes by (1, 2, 3, 0)"
    if len(clip) == 4 and clip[1] == 3:
        return "colours come before rows: permute the axes by (0, 2, 3, 1)"
    if shape[-1] == 4:
        return "drop transparency: frames[..., :3]"
    return "repeat grey three times" if shape[-1] == 1 else "colours are the last axis"
