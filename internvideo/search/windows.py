"""A video becomes shots, and shots become overlapping windows, in one pass and constant memory.

Frames are sampled at a steady rate, or are the key frames alone, and are decoded at the size that
the model needs. A shot ends where neighbouring samples differ in colour and place far more than
those before; where a single key frame lies between the two, encoders have put it at the cut. No
window crosses a cut; a shot shorter than a window is one.
Shapes: frames (h, w, 3) uint8, the whole picture, upright; times in seconds from the first frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from internvideo.errors import ConfigError, DecodeError
from internvideo.video import VideoReader

Frames = Literal["auto", "all", "key"]

# Key frames are enough for models of single pictures where they are no further apart than this.
_DENSE_KEYS_S = 2.0
# Key frames are decoded so many at a time.
_KEYS_AT_ONCE = 32
_SMALL_PX = 16
# A cut: half of all pixels change their colour (of 64), and much more than lately.
_COLOUR_CHANGE, _PLACE_CHANGE, _TIMES_USUAL = 0.35, 0.08, 2.5
_SHORTEST_SHOT_S = 0.75
# Samples whose small pictures differ by less than this share are one still.
_STILL_CHANGE = 0.004


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowPlan:
    """Which windows are laid over a shot, and which frames are looked at.

    `frames`: all at `rate_fps`, the key frames alone, or (auto) key frames where a model of single
    pictures has them close enough.
    """

    window_s: float | int = 4.0
    stride_s: float | int = 2.0
    rate_fps: float | int = 4.0
    frames: Frames = "auto"

    def __post_init__(self) -> None:
        for name in ("window_s", "stride_s", "rate_fps"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} is {getattr(self, name)}; give a positive number")
        if self.stride_s > self.window_s:
            raise ConfigError(
                f"a stride of {self.stride_s} s leaves gaps between windows of {self.window_s} s; "
                "give at most the window"
            )


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame that was looked at: when it is on screen, and its number in the video."""

    time_s: float
    number: int
    frame: UInt8[Tensor, "h w 3"]


@dataclass(frozen=True, slots=True)
class CutWindow:
    """A window with the samples that it holds, in order."""

    start_s: float
    end_s: float
    shot: int
    samples: tuple[Sample, ...]

    def spread(self, num_frames: int) -> UInt8[Tensor, "t h w 3"]:
        """Take the frame on screen at the middle of each of `num_frames` equal parts."""
        step = (self.end_s - self.start_s) / num_frames
        times = [sample.time_s for sample in self.samples]
        middles = self.start_s + (np.arange(num_frames) + 0.5) * step
        places = np.searchsorted(times, middles + 1e-6, side="right") - 1
        return torch.stack([self.samples[max(0, int(place))].frame for place in places])

    @property
    def middle(self) -> Sample:
        return self.samples[len(self.samples) // 2]


def cut_video(
    video: VideoReader, plan: WindowPlan, *, short_side_px: int, single_frames: bool
) -> Iterator[CutWindow]:
    """Yield the windows of a video in order; `single_frames`: the model sees pictures, not clips.

    Raises:
        DecodeError: If a frame that is needed cannot be decoded.
    """
    if not video.num_frames:
        raise DecodeError(f"{video.path}: no frame can be decoded; leave the file out")
    times_s, duration_s = video.timestamps_s, video.info.duration_s
    key_numbers = video.key_frames
    keys_s = times_s[key_numbers]
    wants_keys = plan.frames == "key" or (
        plan.frames == "auto"
        and single_frames
        and len(keys_s) > 1
        and float(np.diff(keys_s, append=duration_s).max()) <= _DENSE_KEYS_S
    )
    if wants_keys:
        numbers = sorted({0, *key_numbers})
        wanted_s = times_s[numbers].tolist()
        frames = _apart(video, numbers, short_side_px)
    else:
        count = max(1, int(np.ceil(duration_s * plan.rate_fps - 1e-3)))
        wanted_s = (np.arange(count) / plan.rate_fps).tolist()
        # Half a microsecond forgives times that a container rounds.
        places = np.searchsorted(times_s, np.array(wanted_s) + 5e-7, side="right") - 1
        numbers = places.tolist()
        frames = _in_a_row(video, numbers, short_side_px)
    samples = (
        Sample(time_s, number, frame)
        for time_s, number, frame in zip(wanted_s, numbers, frames, strict=True)
    )
    yield from _Cutter(plan, keys_s.tolist()).cut(samples, duration_s)


def _in_a_row(
    video: VideoReader, numbers: Sequence[int], short_side_px: int
) -> Iterator[UInt8[Tensor, "h w 3"]]:
    """Frames of rising numbers, some of them several times."""
    passing = video.stream(sorted(set(numbers)), short_side_px=short_side_px)
    last: tuple[int, Tensor] | None = None
    for number in numbers:
        if last is None or last[0] != number:
            last = next(passing)
        yield last[1]


def _apart(
    video: VideoReader, numbers: Sequence[int], short_side_px: int
) -> Iterator[UInt8[Tensor, "h w 3"]]:
    """Frames far from each other: what lies between them is not decoded."""
    for at in range(0, len(numbers), _KEYS_AT_ONCE):
        clip = video.frames(numbers[at : at + _KEYS_AT_ONCE], short_side_px=short_side_px)
        yield from clip.frames


def small_picture(frame: UInt8[Tensor, "h w 3"]) -> Float[Tensor, "3 s s"]:
    """Shrink a frame to where noise and small motions no longer tell, in [0, 1]."""
    image = frame.permute(2, 0, 1)[None].float() / 255
    return F.adaptive_avg_pool2d(image, _SMALL_PX)[0]


def is_still(one: Float[Tensor, "3 s s"], other: Float[Tensor, "3 s s"]) -> bool:
    """Whether two small pictures show the same, but for noise."""
    return float((one - other).abs().mean()) < _STILL_CHANGE


class _Cutter:
    """Lays windows over samples as they come; keeps those of about two windows."""

    def __init__(self, plan: WindowPlan, keys_s: Sequence[float]) -> None:
        self._plan, self._keys_s = plan, keys_s
        self._shot, self._start_s = 0, 0.0
        self._held: list[Sample] = []
        self._last_start_s: float | None = None
        self._changes: list[float] = []

    def cut(self, samples: Iterator[Sample], duration_s: float) -> Iterator[CutWindow]:
        before: tuple[float, Tensor] | None = None
        for sample in samples:
            small = small_picture(sample.frame)
            if before is not None and self._is_cut(before[1], small, sample.time_s):
                at_s = self._cut_time(before[0], sample.time_s)
                yield from self._finish(at_s)
                self._shot, self._start_s = self._shot + 1, at_s
            yield from self._before(sample.time_s)
            self._held.append(sample)
            before = sample.time_s, small
        yield from self._finish(max(duration_s, self._held[-1].time_s + 1e-3))

    def _is_cut(self, before: Tensor, now: Tensor, time_s: float) -> bool:
        place = float((now - before).abs().mean())
        usual = median(self._changes[-8:]) if self._changes else 0.0
        self._changes.append(place)
        if place < max(_PLACE_CHANGE, _TIMES_USUAL * usual):
            return False
        if time_s - self._start_s < _SHORTEST_SHOT_S:
            return False
        return float((_colours(now) - _colours(before)).abs().sum()) / 2 > _COLOUR_CHANGE

    def _cut_time(self, before_s: float, now_s: float) -> float:
        between = [time for time in self._keys_s if before_s < time <= now_s]
        return between[0] if len(between) == 1 else now_s

    @property
    def _next_start_s(self) -> float:
        if self._last_start_s is None:
            return self._start_s
        return self._last_start_s + self._plan.stride_s

    def _before(self, time_s: float) -> Iterator[CutWindow]:
        """Windows that end before a sample at this time of the same shot."""
        while time_s >= self._next_start_s + self._plan.window_s - 1e-6:
            start_s = self._next_start_s
            yield self._window(start_s, start_s + self._plan.window_s)
            self._last_start_s = start_s
            first = max((i for i, s in enumerate(self._held) if s.time_s <= start_s), default=0)
            del self._held[:first]

    def _finish(self, end_s: float) -> Iterator[CutWindow]:
        """The last window of a shot, flush with its end."""
        if self._last_start_s is None:
            yield self._window(self._start_s, end_s)
        elif end_s > self._last_start_s + self._plan.window_s + 1e-3:
            yield self._window(max(self._start_s, end_s - self._plan.window_s), end_s)
        self._held.clear()
        self._last_start_s = None

    def _window(self, start_s: float | int, end_s: float | int) -> CutWindow:
        inside = [s for s in self._held if start_s - 1e-6 <= s.time_s < end_s - 1e-6]
        if not inside:  # between two key frames: the one on screen
            inside = [s for s in self._held if s.time_s < end_s][-1:] or self._held[-1:]
        return CutWindow(start_s, end_s, self._shot, tuple(inside))


def _colours(small: Float[Tensor, "3 s s"]) -> Float[Tensor, " 64"]:
    """Shares of pixels in 4 x 4 x 4 colours."""
    bins = (small * 4).long().clamp(max=3).flatten(1)
    codes = bins[0] * 16 + bins[1] * 4 + bins[2]
    return torch.bincount(codes, minlength=64).float() / codes.numel()
