"""Decoding forward once gives the frames that random access gives."""

from __future__ import annotations

import pytest
import torch

from internvideo.errors import DecodeError
from internvideo.video import VideoReader
from tests.unit.video.conftest import decode_from_start, dot_frames, encode

# One of each kind: B-frames, no times, packed pictures, pictures without times, MPEG-1, animation.
NAMES = (
    "sam2_bedroom.mp4",
    "full_v_JumpRope_g22_c02.avi",
    "kth_running.avi",
    "opencv_tree.avi",
    "grid_bbaf2n.mpg",
    "imageio_newtonscradle.gif",
    "flipping_a_pancake.mkv",
)


def streamed(reader, indices, **options):
    return dict(reader.stream(indices, **options))


def test_every_frame_of_a_plain_loop_comes_in_order(clip):
    with VideoReader(clip) as reader:
        frames = list(reader.stream(range(60)))

    assert [index for index, _ in frames] == list(range(60))
    for (_, ours), theirs in zip(frames, decode_from_start(clip), strict=True):
        assert torch.equal(ours, torch.from_numpy(theirs))


@pytest.mark.parametrize("name", NAMES)
def test_chosen_frames_are_those_of_random_access(real_videos, name):
    with VideoReader(real_videos / name) as reader:
        indices = list(range(2, min(reader.num_frames, 50), 7))
        frames = reader.frames(indices, short_side_px=64).frames

        found = streamed(reader, indices, short_side_px=64)

    assert list(found) == indices
    assert torch.equal(torch.stack(list(found.values())), frames)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_frames_come_upright(tmp_path, degrees):
    path = encode(tmp_path / "turned.mp4", dot_frames(3), rotation=degrees)

    with VideoReader(path) as reader:
        found = streamed(reader, [1])
        expected = reader.frames([1]).frames[0]

    assert torch.equal(found[1], expected)


def test_a_frame_that_does_not_exist_is_named(clip):
    with VideoReader(clip) as reader, pytest.raises(DecodeError, match="no frame 60, the file hol"):
        list(reader.stream([0, 60]))


def test_a_frame_that_cannot_be_decoded_is_named_after_those_before_it(cut_off):
    with VideoReader(cut_off) as reader:
        reader._table.order.append(reader._table.order.pop(20))  # frame 59 comes too early
        passing = reader.stream(range(reader.num_frames))
        found = []

        with pytest.raises(DecodeError, match=r"frame \d+ of \d+ cannot be decoded .*; leave the"):
            for index, _ in passing:
                found.append(index)

    assert found == list(range(len(found)))
