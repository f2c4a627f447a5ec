from __future__ import annotations

import pytest
import torch

from internvideo.values import Annotations, Record
from internvideo.video import write_video
from tests.unit.tasks.toys import BRIGHTER, NUM_FRAMES, NUM_VIDEOS, STEP


@pytest.fixture(scope="session")
def level_videos(tmp_path_factory):
    """Paths of the videos of the toys, and of a broken one behind them."""
    folder = tmp_path_factory.mktemp("levels")
    paths = [folder / f"level {i}.mp4" for i in range(NUM_VIDEOS)]
    for i, path in enumerate(paths):
        brightness = STEP * i + BRIGHTER * torch.arange(NUM_FRAMES)
        frames = brightness.to(torch.uint8)[:, None, None, None].expand(-1, 32, 40, 3)
        write_video(path, frames.contiguous(), 10.0)
    broken = folder / "broken.mp4"
    broken.write_text("no video")
    return [*paths, broken]


@pytest.fixture
def levels(level_videos):
    """Annotations of the whole videos: label, caption, three options."""
    return Annotations(records=tuple(record(p, i) for i, p in enumerate(level_videos[:-1])))


@pytest.fixture
def with_broken(level_videos):
    """The same and a sixth that cannot be decoded."""
    return Annotations(records=tuple(record(p, i) for i, p in enumerate(level_videos)))


def record(path, level):
    options = [f"level {(level + i) % (NUM_VIDEOS + 1)}" for i in range(3)]
    return Record(
        video=path,
        labels=(level,),
        captions=(f"level {level}",),
        candidates=(*options[1:], options[0]),
        answer=options[0],
    )
