"""Whole videos as sequences of bytes, for a detector that is trained with its encoder.

Shapes: a step is the frames of one tubelet, (f, dt * h * w * 3), bytes held as float16 (exact).
Videos are cut into whole clips that follow one another; the last one repeats its last frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from internvideo.data import WindowConfig, cut_windows, read_windows
from internvideo.data.feature_sequences import FeatureGrid, FeatureSequence, FeatureSource
from internvideo.errors import DecodeError
from internvideo.heads import AdaptedEncoderConfig
from internvideo.values import Record
from internvideo.video import open_video

_BATCH = 8  # clips


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClipStream:
    """Steps of a video while it is decoded, their times and the video's length."""

    batches: Iterator[Float[Tensor, "_ d"]]
    grid: FeatureGrid
    num_steps: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class ClipReader:
    """Reads the frames of videos; stands where a `FeatureReader` reads features."""

    config: AdaptedEncoderConfig

    @property
    def sources(self) -> tuple[FeatureSource, ...]:
        return ()

    def encoders(self, record: Record) -> tuple[str, ...]:
        return ()

    def check(self, record: Record) -> None:
        """Raise `DecodeError` where there is no file."""
        if not record.video.is_file():
            raise DecodeError(f"{record.video}: there is no such video")

    def read(self, record: Record) -> FeatureSequence:
        """Read a video with its annotated segments.

        Raises:
            DecodeError: If it cannot be decoded.
        """
        with self.stream(record.video) as found:
            rows = torch.cat(list(found.batches))
        return FeatureSequence.of(
            record.video.name,
            rows,
            found.grid,
            duration_s=found.duration_s,
            segments=record.segments,
        )

    @contextmanager
    def stream(self, video: Path) -> Iterator[ClipStream]:
        """Open a video and give its steps while it is decoded."""
        encoder, rate_fps = self.config.encoder, self.config.rate_fps
        windows = WindowConfig(
            num_frames=encoder.num_frames, stride_frames=encoder.num_frames, rate_fps=rate_fps
        )
        with open_video(video) as opened:
            if not opened.num_frames:
                raise DecodeError(f"{video}: no frame can be decoded; leave the file out")
            cut = cut_windows(opened.timestamps_s, opened.info.duration_s, windows)
            dt = encoder.tubelet.time
            clips = read_windows(opened, cut, side_px=encoder.side_px, crop=1.0, batch_size=_BATCH)
            yield ClipStream(
                batches=(
                    rearrange(batch, "b (t dt) h w c -> (b t) (dt h w c)", dt=dt).half()
                    for batch in clips
                ),
                grid=FeatureGrid.of_frames(stride_frames=dt, num_frames=dt, rate_fps=rate_fps),
                num_steps=len(cut) * self.config.steps_per_clip,
                duration_s=opened.info.duration_s,
            )
