"""Encoding: frames become an H.264 mp4 file that any player opens.

Source: libx264 through PyAV. Shapes: frames (t, h, w, 3) uint8, RGB.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.video.container import local_address
from internvideo.writing import naming

_TICK = Fraction(1, 90_000)


def write_video(
    path: str | Path,
    frames: UInt8[Tensor, "t h w 3"] | Iterable[UInt8[np.ndarray, "h w 3"]],
    rate_fps: float | int,
    *,
    crf: int = 18,
    gop: int = 12,
    preset: str = "veryfast",
    num_threads: int = 1,
    times_s: Sequence[float] | None = None,
) -> Path:
    """Write frames as an mp4 that appears under its name only when it is complete.

    Odd sizes are made even by repeating the last row and column, because the colours of yuv420 are
    stored in pairs of pixels. Several frames may be given one by one, so that a long video need not
    be in memory.

    Args:
        path: Where the file goes; its folder must exist.
        frames: All frames as one tensor, or arrays one after the other, all of one size.
        rate_fps: Frames per second.
        crf: Constant quality of x264, 0 (lossless) to 51; 18 is hard to tell from the original.
        gop: Frames from one key frame to the next; short ones make random access cheap.
        preset: x264's choice between speed and size, ultrafast to veryslow.
        num_threads: Threads of the encoder. Bytes repeat from preset superfast on; slower ones
            look ahead in a way that x264 does not repeat.
        times_s: When each frame is shown, where not at `rate_fps`; kept to 1/90000 s.

    Raises:
        ConfigError: If a setting is impossible, there is no frame, or the file cannot be written
            (no such folder, full disk).
    """
    if rate_fps <= 0 or not 0 <= crf <= 51 or gop < 1:
        raise ConfigError(
            f"cannot write {path} at {rate_fps} frames per second, crf {crf}, gop {gop}; "
            f"rate and gop must be positive and crf lie in 0..51"
        )
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    options = {"preset": preset, "crf": str(crf)}
    arrays = frames.numpy() if isinstance(frames, Tensor) else frames
    try:
        rate = Fraction(rate_fps).limit_denominator(100_000)
        with naming(path):
            _write(beside, arrays, rate, gop, options, num_threads, times_s)
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def _write(
    path: Path,
    frames: Iterable[UInt8[np.ndarray, "h w 3"]],
    rate: Fraction,
    gop: int,
    options: dict[str, str],
    num_threads: int,
    times_s: Sequence[float] | None,
) -> None:
    with av.open(local_address(path), "w", format="mp4") as container:
        stream = None
        for index, pixels in enumerate(frames):
            height, width, _ = pixels.shape
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options=options)
                stream.width, stream.height = width + width % 2, height + height % 2
                stream.pix_fmt = "yuv420p"
                stream.codec_context.gop_size = gop
                stream.codec_context.thread_count = num_threads
                if times_s is not None:
                    stream.codec_context.time_base = _TICK
            if height % 2 or width % 2:
                pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            if times_s is None:
                frame.pts, frame.time_base = index, 1 / rate
            else:
                frame.pts, frame.time_base = round(times_s[index] / _TICK), _TICK
            container.mux(stream.encode(frame))
        if stream is None:
            raise ConfigError(f"cannot write {path}: there is no frame")
        container.mux(stream.encode(None))
