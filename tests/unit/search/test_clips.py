from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from internvideo.errors import ConfigError
from internvideo.search import Query, check_sheet, cut_clip, write_sheet
from internvideo.video import VideoReader, write_video


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """Frame i of 96 is grey at level 2 * i, at 12 a second; every eleventh is a key frame."""
    path = tmp_path_factory.mktemp("counted") / "counted.mp4"
    levels = (2 * torch.arange(96)).to(torch.uint8)
    frames = levels[:, None, None, None].expand(-1, 32, 48, 3).contiguous()
    return write_video(path, frames, 12.0, crf=1, gop=12)


def levels_of(path):
    with VideoReader(path) as video:
        frames = video.frames(range(video.num_frames)).frames
    return (frames.float().mean((1, 2, 3)) / 2).round().int().tolist()


def test_a_clip_from_a_key_frame_is_copied(counted, tmp_path):
    clip = cut_clip(counted, 2.9, 4.5, tmp_path / "clip")

    assert clip.is_copy
    assert clip.start_s == pytest.approx(2.75)
    assert levels_of(clip.path) == pytest.approx(list(range(33, 54)), abs=1)


def test_a_clip_from_elsewhere_has_exactly_its_frames(counted, tmp_path):
    clip = cut_clip(counted, 3.5, 4.5, tmp_path / "clip")

    assert not clip.is_copy
    assert levels_of(clip.path) == pytest.approx(list(range(42, 54)), abs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_clip_that_is_there_is_not_replaced(counted, tmp_path):
    (tmp_path / "clip.mp4").write_text("mine")

    with pytest.raises(ConfigError, match="is there already"):
        cut_clip(counted, 3.5, 4.5, tmp_path / "clip")

    assert cut_clip(counted, 3.5, 4.5, tmp_path / "clip", overwrite=True).path.stat().st_size > 100


def test_real_clips_keep_their_sound(real_videos, tmp_path):
    source = real_videos / "msrvtt_video7018.mp4"

    for name, start_s in (("copied", 0.0), ("exact", 3.4)):
        clip = cut_clip(source, start_s, start_s + 2, tmp_path / name)
        with VideoReader(clip.path) as video, VideoReader(source) as original:
            assert video.info.has_audio == original.info.has_audio
            assert video.info.duration_s == pytest.approx(2, abs=0.2)


def test_a_sheet_shows_every_moment(searcher, tmp_path):
    moments = searcher.search(Query(text="red", duplicates=2, least_confidence=0)).moments

    path = write_sheet(searcher.index, moments, tmp_path / "sheet.png")

    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
        assert sheet.width > 4 * 200
    red = (pixels[..., 0] > 180) & (pixels[..., 1] < 90)
    assert red.sum() > 2 * 100 * 100


@pytest.mark.parametrize(
    ("name", "message"),
    [("sheet.pdf", "is a picture"), ("no/sheet.png", "folder does not exist")],
)
def test_a_sheet_elsewhere_is_refused(tmp_path, name, message):
    with pytest.raises(ConfigError, match=message):
        check_sheet(tmp_path / name)


def test_a_sheet_that_is_there_is_not_replaced(tmp_path):
    (tmp_path / "sheet.png").touch()

    with pytest.raises(ConfigError, match="is there already"):
        check_sheet(tmp_path / "sheet.png")
