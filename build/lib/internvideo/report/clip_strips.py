"""A few frames of a video, evenly over it, small enough for a page.

Shapes: frames (t, h, w, 3) uint8.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from internvideo.errors import DecodeError
from internvideo.values import Record
from internvideo.video import open_video
from internvideo.video.sampling import uniform_test

_GREY = 64


def frames_to_show(
    record: Record, *, num_frames: int = 6, side_px: int = 72
) -> UInt8[Tensor, "t h w 3"]:
    """Take the middles of equal parts of what a record shows; grey where it cannot be decoded."""
    try:
        with open_video(record) as video:
            span = (record.start_s or 0.0, math.inf if record.end_s is None else record.end_s)
            first, end = np.searchsorted(video.timestamps_s, span).tolist()
            if first == end:
                raise DecodeError(f"{record.video}: no frame from {span[0]:.2f} to {span[1]:.2f} s")
            numbers = first + uniform_test(end - first, clip_frames=num_frames)
            return video.frames(numbers.tolist(), short_side_px=side_px).frames
    except DecodeError:  # that it could not be is told beside the scores
        return torch.full((num_frames, side_px, side_px, 3), _GREY, dtype=torch.uint8)
