"""Small videos with known content, and the obvious way to decode them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from internvideo.video.container import UNDECODABLE_METADATA


def decode_from_start(path: Path) -> list[np.ndarray]:
    with av.open(str(path), **UNDECODABLE_METADATA) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]


def dot_frames(num_frames: int, height: int = 48, width: int = 64) -> torch.Tensor:
    """A bright dot that moves one column a frame over a dark, textured ground."""
    generator = torch.Generator().manual_seed(0)
    ground = torch.randint(0, 60, (height, width, 3), generator=generator, dtype=torch.uint8)
    frames = ground.repeat(num_frames, 1, 1, 1)
    for i in range(num_frames):
        left = i % (width - 8)
        frames[i, 10:18, left : left + 8] = 250
    return frames


def encode(
    path: Path,
    frames: torch.Tensor,
    codec: str = "libx264",
    *,
    times: list[int] | None = None,
    pix_fmt: str = "yuv420p",
    gop: int = 10,
    rotation: int | None = None,
    muxing: dict[str, str] | None = None,
    **options: str,
) -> Path:
    with av.open(str(path), "w", options=muxing or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1  # with more, x264 does not repeat itself
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for i, pixels in enumerate(frames.numpy()):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
            frame.pts = i if times is None else times[i]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for i in range(8):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = 16000, i * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames, key frames 12 apart, frames that refer to later ones."""
    return encode(tmp_path_factory.mktemp("clip") / "dot.mp4", dot_frames(60), gop=12, bf="3")


@pytest.fixture(scope="session")
def cut_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first part of a file whose index comes first and promises 60 frames."""
    folder = tmp_path_factory.mktemp("cut")
    whole = encode(folder / "whole.mp4", dot_frames(60), gop=12, muxing={"movflags": "faststart"})
    path = folder / "cut.mp4"
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    return path
