"""Writing mp4 files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.video import VideoReader, read_clip, write_video
from tests.unit.video.conftest import dot_frames


def test_what_is_written_is_read_again(tmp_path):
    frames = dot_frames(20)

    path = write_video(tmp_path / "x.mp4", frames, 25, crf=1)

    with VideoReader(path) as reader:
        got = reader.frames(range(20)).frames
        assert reader.info.rate_fps == pytest.approx(25)
    brightness, expected = got.float().mean(-1), frames.float().mean(-1)
    assert (brightness - expected).abs().mean() < 6  # colours alone are stored at half size


def test_odd_sizes_repeat_the_last_row_and_column(tmp_path):
    path = write_video(tmp_path / "x.mp4", dot_frames(3, 47, 61), 10)

    assert read_clip(path, [0]).frames.shape == (1, 48, 62, 3)


def test_the_same_frames_give_the_same_bytes(tmp_path):
    first = write_video(tmp_path / "a.mp4", dot_frames(9), 25).read_bytes()

    assert write_video(tmp_path / "b.mp4", iter(dot_frames(9).numpy()), 25).read_bytes() == first


def test_a_write_that_breaks_off_leaves_the_file_that_was_there(tmp_path):
    path = write_video(tmp_path / "x.mp4", dot_frames(3), 25)
    before = path.read_bytes()

    def breaks_off():
        yield from dot_frames(2).numpy()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(path, breaks_off(), 25)

    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"rate_fps": 0}, "0 frames per second"), ({"rate_fps": 25, "crf": 90}, "crf 90")],
)
def test_impossible_settings_are_refused(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        write_video(tmp_path / "x.mp4", dot_frames(2), **options)


def test_no_frame_is_no_video(tmp_path):
    with pytest.raises(ConfigError, match="there is no frame"):
        write_video(tmp_path / "x.mp4", torch.empty(0, 4, 4, 3, dtype=torch.uint8), 25)


@pytest.mark.parametrize("name", ["10:30 clip.mp4", "http:a.mp4", "a:b/c.mp4"])
def test_a_name_with_a_colon_is_written_where_it_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)

    write_video(name, dot_frames(3), 25)

    with VideoReader(Path(name)) as video:
        assert video.num_frames == 3


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none/a\.mp4: cannot be written \(No such file"):
        write_video(tmp_path / "none/a.mp4", dot_frames(3), 25)
