"""Sliding windows: which frames they hold, when, and that a stream of frames fills them."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
import torch

from internvideo.data.windows import WindowConfig, cut_windows, read_windows, windows_in_seconds
from internvideo.errors import ConfigError
from internvideo.video import open_video
from internvideo.video.transforms import resize


def held(length, *, rate_fps="native", video_fps=10.0, **options):
    """Windows of a video of so many frames at a constant rate."""
    times = np.arange(length) / video_fps
    config = WindowConfig(rate_fps=rate_fps, **options)
    return cut_windows(times, length / video_fps, config)


def test_windows_follow_each_other_and_the_last_takes_the_rest():
    windows = held(10, num_frames=4, stride_frames=4)

    assert [w.tolist() for w in windows] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 9, 9]]


def test_no_window_is_added_where_the_last_one_ends_with_the_video():
    assert len(held(8, num_frames=4, stride_frames=2)) == 3


def test_a_short_video_gives_one_window():
    assert [w.tolist() for w in held(2, num_frames=4, stride_frames=1)] == [[0, 1, 1, 1]]


def test_a_wide_stride_leaves_frames_out():
    windows = held(17, num_frames=4, stride_frames=10)

    assert [w.tolist() for w in windows] == [[0, 1, 2, 3], [10, 11, 12, 13]]
    assert windows.frames.tolist() == [0, 1, 2, 3, 10, 11, 12, 13]


@pytest.mark.parametrize("num_frames", range(1, 30))
@pytest.mark.parametrize("stride", [1, 3, 4, 9])
def test_windows_are_those_of_the_obvious_loop(num_frames, stride):
    expected, start = [], 0
    while start == 0 or (start < num_frames and expected[-1][-1] < num_frames - 1):
        expected.append([min(start + i, num_frames - 1) for i in range(4)])
        start += stride

    windows = held(num_frames, num_frames=4, stride_frames=stride)

    assert [w.tolist() for w in windows] == expected
    assert windows.frames.tolist() == sorted({i for window in expected for i in window})


@pytest.mark.parametrize(
    ("rate_fps", "frames"),
    [(5, [0, 2, 4, 6, 8]), (10, list(range(10))), (20, [i // 2 for i in range(20)]), (0.5, [0])],
)
def test_a_rate_takes_the_frame_on_screen_at_each_moment(rate_fps, frames):
    assert held(10, rate_fps=rate_fps, num_frames=4).samples.tolist() == frames


def test_frames_of_uneven_times_are_taken_by_time():
    times = np.array([0.0, 0.1, 1.0, 1.1])

    windows = cut_windows(times, 1.2, WindowConfig(num_frames=2, stride_frames=2, rate_fps=2))

    assert windows.samples.tolist() == [0, 1, 2]


def test_times_of_windows_are_exact():
    windows = held(10, num_frames=4, stride_frames=3, rate_fps=4)  # four samples in a second

    assert windows.start_s.tolist() == [0.0]
    assert windows.end_s.tolist() == [1.0]

    windows = held(25, num_frames=4, stride_frames=3)

    assert windows.start_s.tolist() == [i * 3 / 10 for i in range(8)]
    assert windows.end_s[-1] == 2.5
    assert all(a < b for a, b in pairwise(windows.end_s))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_frames": 0}, "windows of 0 frames, 16 apart; both are at least 1"),
        ({"stride_frames": 0}, "windows of 16 frames, 0 apart; both are at least 1"),
        ({"rate_fps": 0}, 'rate_fps is 0; give frames per second, or "native" for all frames'),
        ({"rate_fps": float("nan")}, "rate_fps is nan; give frames per second"),
    ],
)
def test_impossible_windows_are_refused(options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        WindowConfig(**options)


@pytest.mark.parametrize("name", ["sam2_bedroom.mp4", "kth_running.avi", "grid_bbaf2n.mpg"])
@pytest.mark.parametrize("stride", [2, 5, 11])
def test_streamed_windows_are_those_of_random_access(real_videos, name, stride):
    config = WindowConfig(num_frames=6, stride_frames=stride, rate_fps=5)
    with open_video(real_videos / name) as video:
        windows = cut_windows(video.timestamps_s, video.info.duration_s, config)
        batches = list(read_windows(video, windows, side_px=32, crop=1.0, batch_size=3))
        for numbers, window in zip(windows, torch.cat(batches), strict=True):
            frames = video.frames(numbers.tolist(), short_side_px=32).frames
            left = round((frames.shape[2] - 32) / 2)

            assert torch.equal(window, resize(frames[:, :, left : left + 32], 32, 32))

    assert {len(batch) for batch in batches[:-1]} <= {3}


def test_a_picture_is_one_window(tmp_path):
    from PIL import Image

    Image.new("RGB", (40, 30), (9, 8, 7)).save(tmp_path / "a.png")
    with open_video(tmp_path / "a.png") as video:
        windows = cut_windows(video.timestamps_s, video.info.duration_s, WindowConfig(num_frames=3))
        (batch,) = read_windows(video, windows, side_px=16, crop=0.8, batch_size=4)

    assert batch.shape == (1, 3, 16, 16, 3)
    assert batch[0, 2, 5, 5].tolist() == [9, 8, 7]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (16, 16, 8.0)),
        ({"rate_fps": 4}, (16, 16, 4)),
        ({"window_s": 4}, (16, 16, 4.0)),
        ({"window_s": 1, "rate_fps": 30}, (30, 30, 30)),
        ({"window_s": 2, "stride_s": 0.5}, (16, 4, 8.0)),
        ({"window_frames": 8, "stride_frames": 2}, (8, 2, 8.0)),
        ({"rate_fps": "native", "stride_frames": 4}, (16, 4, "native")),
    ],
)
def test_windows_follow_from_what_is_given(given, expected):
    config = windows_in_seconds(usual_frames=16, **given)

    assert (config.num_frames, config.stride_frames, config.rate_fps) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stride_s": 0.3}, "a stride of 0.3 s is 2.4 frames at 8 per second; choose 0.25 s (2 fr"),
        ({"window_s": 0}, "window_s is 0; give a positive number of seconds"),
        ({"window_s": 2, "rate_fps": 8, "window_frames": 8}, "8 frames per second has 16 frames"),
        ({"stride_s": 1, "stride_frames": 8}, "given in frames and in seconds; leave one out"),
        ({"stride_s": 1, "rate_fps": "native"}, "a stride in seconds needs a rate; give frames"),
    ],
)
def test_windows_that_contradict_themselves_are_refused(given, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        windows_in_seconds(usual_frames=16, **given)
