"""Folders of frame pictures, read like videos."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from internvideo.errors import ConfigError, DecodeError
from internvideo.values import Record
from internvideo.video import FrameFolder, open_video
from tests.unit.video.conftest import dot_frames


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, pixels in enumerate(dot_frames(5).numpy(), start=1):
        Image.fromarray(pixels).save(tmp_path / f"img_{i:05}.png")
    return tmp_path


def test_frames_are_numbered_from_the_first_file(folder):
    record = Record(video=folder, frame_template="img_{:05}.png", first_frame=1, num_frames=5)

    with open_video(record) as reader:
        clip = reader.frames([4, 0, 4])

    assert torch.equal(clip.frames, dot_frames(5)[[4, 0, 4]])


def test_files_are_counted_where_the_record_does_not_say(folder):
    assert FrameFolder(folder, template="img_{:05}.png").info.num_frames == 5


def test_frames_are_scaled_while_read(folder):
    clip = FrameFolder(folder, template="img_{:05}.png").frames([1], short_side_px=24)

    assert clip.frames.shape == (1, 24, 32, 3)


def test_a_missing_picture_is_named(folder):
    (folder / "img_00003.png").unlink()
    reader = FrameFolder(folder, template="img_{:05}.png", num_frames=5)

    with pytest.raises(DecodeError, match=r"img_00003\.png: no such file"):
        reader.frames([0, 2])


def test_a_broken_picture_is_named(folder):
    path = folder / "img_00002.png"
    path.write_bytes(path.read_bytes()[:200])

    with pytest.raises(DecodeError, match=r"img_00002\.png: cannot be (decoded|read)"):
        FrameFolder(folder, template="img_{:05}.png").frames([1])


def test_a_frame_beyond_the_last_is_refused(folder):
    with pytest.raises(DecodeError, match="no frame 7, the folder holds frames 0 to 4"):
        FrameFolder(folder, template="img_{:05}.png").frames([7])


def test_an_empty_folder_says_which_file_it_lacks(tmp_path):
    with pytest.raises(DecodeError, match=r"has no frame img_00001\.jpg; check the template"):
        FrameFolder(tmp_path)


def test_a_template_without_a_number_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="does not number its files"):
        FrameFolder(tmp_path, template="frame.jpg")
