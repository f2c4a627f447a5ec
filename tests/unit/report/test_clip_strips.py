from __future__ import annotations

import pytest
import torch

from internvideo.report import frames_to_show
from internvideo.values import Record
from internvideo.video import write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_video(path, torch.full((9, 32, 48, 3), 40, dtype=torch.uint8), 10.0)
    return path


def test_frames_to_show_lie_in_the_part_of_the_record(video):
    part = Record(video=video, start_s=0.4, end_s=0.6)

    assert frames_to_show(part, num_frames=4).shape == (4, 32, 48, 3)


def test_a_part_behind_the_end_is_grey(video):
    assert (frames_to_show(Record(video=video, start_s=5.0)) == 64).all()


def test_a_video_that_cannot_be_decoded_is_grey(tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")

    assert (frames_to_show(Record(video=broken)) == 64).all()
