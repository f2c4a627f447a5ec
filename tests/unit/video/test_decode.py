"""Frames by number and by time, against a loop that decodes everything from the start."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from internvideo.video import VideoReader, packets


def decode_from_start(path: Path) -> list[np.ndarray]:
    with av.open(str(path), metadata_errors="ignore") as container:
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
    **options: str,
) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        stream.codec_context.gop_size = gop
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for i, pixels in enumerate(frames.numpy()):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
            frame.pts = i if times is None else times[i]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames, key frames every 12, frames that refer to later ones."""
    path = tmp_path_factory.mktemp("clip") / "dot.mp4"
    return encode(path, dot_frames(60), gop=12, bf="3")


def assert_exact(path: Path) -> None:
    expected = decode_from_start(path)
    with VideoReader(path) as reader:
        last = reader.num_frames - 1
        for indices in (
            [0],
            [last],
            [last, 0, last // 2, last // 2],
            list(range(last // 3, last))[::3],
        ):
            got = reader.frames(indices).frames.numpy()
            assert reader.num_frames == len(expected)
            assert all(np.array_equal(got[i], expected[j]) for i, j in enumerate(indices))


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("x.mp4", "libx264", {"bf": "3"}),
        ("x.mkv", "libx264", {"bf": "3", "x264-params": "open-gop=1"}),
        ("x.avi", "libx264", {"bf": "2"}),
        ("x.h264", "libx264", {"bf": "2"}),
        ("x.ts", "libx264", {"bf": "2"}),
        ("x.mp4", "mpeg4", {"bf": "2"}),
        ("x.avi", "mpeg4", {"bf": "2"}),
        ("x.mpg", "mpeg1video", {"bf": "2"}),
        ("x.webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "12"}),
        ("x.webm", "libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}),
        ("x.wmv", "wmv2", {}),
    ],
)
def test_frames_equal_those_of_decoding_everything(tmp_path, name, codec, options):
    path = encode(tmp_path / name, dot_frames(37), codec, gop=10, **options)

    assert_exact(path)


def test_frames_of_a_file_too_large_to_keep_are_read_again(clip, monkeypatch):
    monkeypatch.setattr(packets, "_KEPT_BYTES", 0)

    assert_exact(clip)
