"""What there is to know about a video besides its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

# Intervals that differ by more than this share of the usual one are more than rounding.
_RATE_TOLERANCE = 0.1
_TIMESTAMP_ROUNDING_S = 0.002


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """Facts about one video; sizes are those of the upright picture.

    `rotation_degrees` is the clockwise turn (0, 90, 180, 270) that the file asks a player for and
    that the reader has already applied. `num_clock_jumps` counts where timestamps restart, run
    backwards or leap by more than an hour; the reader's own go on there. Frames of an `is_hdr`
    video are decoded without tone mapping.
    """

    num_frames: int
    duration_s: float
    rate_fps: float
    width: int
    height: int
    codec: str
    rotation_degrees: int = 0
    has_audio: bool = False
    variable_rate: bool = False
    pixel_format: str = "rgb24"
    bit_depth: int = 8
    num_clock_jumps: int = 0
    is_hdr: bool = False


def timing(
    timestamps_s: Float64[np.ndarray, " t"], nominal_fps: float
) -> tuple[float, float, bool]:
    """Return duration in seconds, average rate, and whether the rate varies.

    The last frame is given the usual interval; a single frame lasts as long as its nominal rate
    says.
    """
    if len(timestamps_s) < 2:
        return len(timestamps_s) / nominal_fps, nominal_fps, False
    intervals = np.diff(timestamps_s)
    usual = float(np.median(intervals))
    duration = float(timestamps_s[-1]) + usual
    allowed = _RATE_TOLERANCE * usual + _TIMESTAMP_ROUNDING_S
    varies = bool(np.abs(intervals - usual).max() > allowed)
    return duration, len(timestamps_s) / max(duration, 1e-9), varies
