"""Transcoding: any readable video becomes an mp4 that trains well.

Short side, distance of key frames and quality are what training pays for: fewer pixels to decode,
fewer frames to decode for one that is wanted. Times of frames stay (to 1/90000 s), rotation is
applied, sound is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from internvideo.errors import ConfigError
from internvideo.video.decode import VideoReader
from internvideo.video.encode import write_video


@dataclass(frozen=True, kw_only=True, slots=True)
class TranscodeConfig:
    """What is wanted; `crf` is the constant quality of x264, 0 (lossless) to 51.

    A video that is smaller than `short_side_px` keeps its size.
    """

    short_side_px: int = 256
    gop: int = 16
    crf: int = 23

    def __post_init__(self) -> None:
        if self.short_side_px < 2 or self.gop < 1 or not 0 <= self.crf <= 51:
            raise ConfigError(
                f"short side {self.short_side_px} px, gop {self.gop}, crf {self.crf}: the side is "
                "at least 2, the gop at least 1, and crf lies in 0..51"
            )


def transcode(source: Path, target: Path, config: TranscodeConfig) -> int:
    """Write `source` anew to `target`, which appears when it is whole; how many frames it has.

    Raises:
        DecodeError: If a frame cannot be decoded; there is then no target.
    """
    with VideoReader(source) as video:
        info = video.info
        side_px = min(config.short_side_px, info.width, info.height)

        def frames() -> Iterator[UInt8[np.ndarray, "h w 3"]]:
            for _, frame in video.stream(range(video.num_frames), short_side_px=side_px):
                yield frame.numpy()

        write_video(
            target,
            frames(),
            info.rate_fps or 25.0,
            crf=config.crf,
            gop=config.gop,
            times_s=video.timestamps_s.tolist(),
        )
        return video.num_frames
