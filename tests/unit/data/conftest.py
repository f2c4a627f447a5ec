"""Tiny videos of known content: video i is uniformly grey at level 20 * i, frame after frame."""

from __future__ import annotations

import pytest
import torch

from internvideo.data import VideoData
from internvideo.video import write_video

NUM_VIDEOS, NUM_FRAMES = 10, 12


@pytest.fixture(scope="session")
def tiny_videos(tmp_path_factory):
    """Folder with ten videos of 40x32 pixels in two classes, and `videos.csv` that lists them."""
    folder = tmp_path_factory.mktemp("tiny")
    rows = ["path,label,split"]
    noise = torch.Generator().manual_seed(0)
    for number in range(NUM_VIDEOS):
        frames = torch.full((NUM_FRAMES, 32, 40, 3), 20 * number, dtype=torch.uint8)
        frames += torch.randint(0, 20, frames.shape, generator=noise, dtype=torch.uint8)
        name = f"video {number}.mp4"
        write_video(folder / name, frames, 10.0)
        rows.append(
            f"{name},{'even' if number % 2 == 0 else 'odd'},{'val' if number > 7 else 'train'}"
        )
    (folder / "videos.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def corrupted_videos(tiny_videos, tmp_path):
    """The same, with two of the eight training videos cut off."""
    for path in tiny_videos.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for number in (2, 5):
        path = tmp_path / f"video {number}.mp4"
        path.write_bytes(path.read_bytes()[:200])
    return tmp_path


@pytest.fixture
def tiny_data(tiny_videos):
    return VideoData(source=str(tiny_videos / "videos.csv"), stride_frames=1)
