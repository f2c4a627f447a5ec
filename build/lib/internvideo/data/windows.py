"""Sliding windows over a whole video, decoded once from start to end in constant memory.

Samples are the frames on screen at the times k / rate_fps, or all frames as they are. Window i
starts at sample i * stride_frames. After the last whole window one more takes what is left and
repeats the last sample; a video shorter than a window gives one.
Shapes: windows (b, t, h, w, 3) uint8.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.video import OpenVideo, VideoReader
from internvideo.video.transforms import centre_crop, resize

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowConfig:
    """Which windows; the default rate is near that of every fourth frame, as models train."""

    num_frames: int = 16
    stride_frames: int = 16
    rate_fps: float | int | Literal["native"] = 8.0

    def __post_init__(self) -> None:
        if min(self.num_frames, self.stride_frames) < 1:
            raise ConfigError(
                f"windows of {self.num_frames} frames, {self.stride_frames} apart; both are at "
                "least 1"
            )
        if self.rate_fps != "native" and not 0 < self.rate_fps < float("inf"):
            raise ConfigError(
                f'rate_fps is {self.rate_fps}; give frames per second, or "native" for all frames'
            )


def windows_in_seconds(
    *,
    usual_frames: int,
    rate_fps: float | int | Literal["native"] | None = None,
    window_frames: int | None = None,
    window_s: float | int | None = None,
    stride_frames: int | None = None,
    stride_s: float | int | None = None,
) -> WindowConfig:
    """Windows from what is given of rate, frames and seconds; strides default to no overlap.

    Raises:
        ConfigError: Where they contradict each other or seconds make no whole number of frames.
    """
    frames = usual_frames if window_frames is None else window_frames
    if window_s is not None and rate_fps is None:
        rate_fps = frames / _positive(window_s, "window_s")
    rate = 8.0 if rate_fps is None else rate_fps
    if window_s is not None:
        in_seconds = _whole(window_s, rate, "window")
        if window_frames not in (None, in_seconds):
            raise ConfigError(
                f"a window of {window_s} s at {rate} frames per second has {in_seconds} frames, "
                f"not {window_frames}; leave one of the three out"
            )
        frames = in_seconds
    if stride_s is not None and stride_frames is not None:
        raise ConfigError("the stride is given in frames and in seconds; leave one out")
    stride = frames if stride_frames is None else stride_frames
    if stride_s is not None:
        stride = _whole(stride_s, rate, "stride")
    return WindowConfig(num_frames=frames, stride_frames=stride, rate_fps=rate)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Windows:
    """The windows of one video; `samples` are numbers of frames, `first` places among them.

    Window i lasts from `start_s[i]` to `end_s[i]`, in seconds from the video's first frame.
    """

    samples: Int64[np.ndarray, " samples"]
    first: Int64[np.ndarray, " windows"]
    start_s: Float64[np.ndarray, " windows"]
    end_s: Float64[np.ndarray, " windows"]
    num_frames: int

    def __len__(self) -> int:
        return len(self.first)

    @property
    def frames(self) -> Int64[np.ndarray, " frames"]:
        """Every frame that some window holds, once, in order."""
        places = np.arange(len(self.samples))
        last_start = self.first[np.searchsorted(self.first, places, side="right") - 1]
        return np.unique(self.samples[places - last_start < self.num_frames])

    def __iter__(self) -> Iterator[Int64[np.ndarray, " t"]]:
        """Yield the frame numbers of each window."""
        for first in self.first:
            places = np.arange(first, first + self.num_frames)
            yield self.samples[np.minimum(places, len(self.samples) - 1)]


def cut_windows(
    timestamps_s: Float64[np.ndarray, " frames"], duration_s: float, config: WindowConfig
) -> Windows:
    """Lay windows over a video whose frames are shown at `timestamps_s`."""
    if config.rate_fps == "native":
        samples = np.arange(len(timestamps_s))
        edges = np.append(timestamps_s, max(duration_s, timestamps_s[-1]))
    else:
        # A thousandth of a sample forgives durations that were rounded.
        count = max(1, int(np.ceil(duration_s * config.rate_fps - 1e-3)))
        edges = np.minimum(np.arange(count + 1) / config.rate_fps, duration_s)
        # Half a microsecond forgives times that a container rounds.
        samples = np.searchsorted(timestamps_s, edges[:-1] + 5e-7, side="right") - 1
    free = len(samples) - config.num_frames
    count = 1 + max(0, -(-free // config.stride_frames))
    first = np.arange(count) * config.stride_frames
    first = first[first < len(samples)]  # strides longer than windows may step over the end
    return Windows(
        samples=samples.astype(np.int64),
        first=first,
        start_s=edges[first],
        end_s=edges[np.minimum(first + config.num_frames, len(samples))],
        num_frames=config.num_frames,
    )


def read_windows(
    video: OpenVideo, windows: Windows, *, side_px: int, crop: float, batch_size: int
) -> Iterator[UInt8[Tensor, "b t {side_px} {side_px} 3"]]:
    """Decode forward once and yield the windows in batches, the centre of every frame.

    `crop` is the centre's share of the short side. Each frame is scaled alone and once; of the
    decoded frames one window is kept. The next batch is decoded while this one is worked on.
    """
    single = _windows(video, windows, side_px=side_px, crop=crop)
    batches = iter(lambda: list(islice(single, batch_size)), [])
    return _ahead(torch.stack(batch) for batch in batches)


def centre_view(
    frames: UInt8[Tensor, "t h w 3"], side_px: int, crop: float
) -> UInt8[Tensor, "t s s 3"]:
    """Cut out the middle, `crop` of the short side, and scale it to `side_px`."""
    height, width = frames.shape[1:3]
    centre = centre_crop(height, width, round(min(height, width) * crop))
    return resize(centre.of(frames), side_px, side_px)


def _windows(
    video: OpenVideo, windows: Windows, *, side_px: int, crop: float
) -> Iterator[UInt8[Tensor, "t s s 3"]]:
    frames = _frames(video, windows.frames, short_side_px=round(side_px / crop))
    kept: deque[tuple[int, UInt8[Tensor, "s s 3"]]] = deque()
    for numbers in windows:
        while kept and kept[0][0] < numbers[0]:
            kept.popleft()
        while not kept or kept[-1][0] < numbers[-1]:
            index, frame = next(frames)
            kept.append((index, centre_view(frame[None], side_px, crop)[0]))
        by_number = dict(kept)
        yield torch.stack([by_number[int(number)] for number in numbers])


def _frames(
    video: OpenVideo, indices: Int64[np.ndarray, " t"], *, short_side_px: int
) -> Iterator[tuple[int, UInt8[Tensor, "h w 3"]]]:
    if isinstance(video, VideoReader):
        yield from video.stream(array("q", indices), short_side_px=short_side_px)
        return
    for index in indices.tolist():  # pictures are files of their own
        yield index, video.frames([index], short_side_px=short_side_px).frames[0]


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """Make the next item in a thread while the last one is in use."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def _positive(seconds: float | int, name: str) -> float | int:
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"{name} is {seconds}; give a positive number of seconds")
    return seconds


def _whole(seconds: float | int, rate: float | int | Literal["native"], what: str) -> int:
    if rate == "native":
        raise ConfigError(
            f"a {what} in seconds needs a rate; give frames per second, or the {what} in frames"
        )
    count = _positive(seconds, f"{what}_s") * rate
    if abs(count - round(count)) > 1e-6 * count or count < 0.5:
        near = max(1, round(count))
        raise ConfigError(
            f"a {what} of {seconds} s is {count:.4g} frames at {rate:.4g} per second; choose "
            f"{near / rate:.4g} s ({near} frames) or another rate"
        )
    return round(count)
