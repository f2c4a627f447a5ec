from __future__ import annotations

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.search import WindowPlan, cut_video
from internvideo.video import VideoReader
from tests.unit.search.toys import COLOURS, GREY, colour_video


def windows_of(path, plan, *, single_frames=True):
    with VideoReader(path) as video:
        return list(cut_video(video, plan, short_side_px=16, single_frames=single_frames))


@pytest.fixture(scope="module")
def two_shots(tmp_path_factory):
    path = tmp_path_factory.mktemp("shots") / "two.mp4"
    return colour_video(path, [(COLOURS["red"], 5.5), (COLOURS["blue"], 3)])


def test_windows_overlap_inside_a_shot_and_none_crosses_a_cut(two_shots):
    plan = WindowPlan(window_s=2, stride_s=1, rate_fps=4, frames="all")

    windows = windows_of(two_shots, plan)

    first = [(w.start_s, w.end_s) for w in windows if w.shot == 0]
    assert first == [(0, 2), (1, 3), (2, 4), (3, 5), (3.5, 5.5)]
    second = [(w.start_s, w.end_s) for w in windows if w.shot == 1]
    assert second == [(5.5, 7.5), (6.5, 8.5)]


def test_a_video_shorter_than_a_window_is_one_window(tmp_path):
    path = colour_video(tmp_path / "short.mp4", [(GREY, 1)])

    (window,) = windows_of(path, WindowPlan(frames="all"))

    assert (window.start_s, window.end_s) == (0, 1)
    assert window.spread(8).shape[0] == 8


def test_slow_change_is_no_cut(tmp_path):
    ramp = [((40 + 3 * i, 60, 60), 1 / 8) for i in range(60)]
    path = colour_video(tmp_path / "ramp.mp4", ramp)

    assert {window.shot for window in windows_of(path, WindowPlan(frames="all"))} == {0}


def test_key_frames_alone_find_the_same_shots(two_shots):
    plan = WindowPlan(window_s=2, stride_s=1, frames="key")

    windows = windows_of(two_shots, plan)

    assert {w.shot for w in windows} == {0, 1}
    assert all(w.samples for w in windows)
    cut = next(w.start_s for w in windows if w.shot == 1)
    assert cut == pytest.approx(5.5, abs=0.13)


def test_frames_of_a_window_are_those_on_screen_at_its_parts(two_shots):
    plan = WindowPlan(window_s=4, stride_s=2, rate_fps=8, frames="all")
    window = windows_of(two_shots, plan, single_frames=False)[0]

    spread = window.spread(4)

    with VideoReader(two_shots) as video:
        right = video.frames_at([0.5, 1.5, 2.5, 3.5], short_side_px=16).frames
    assert torch.equal(spread, right)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"window_s": 0}, "window_s is 0"),
        ({"stride_s": 5, "window_s": 4}, "leaves gaps"),
        ({"rate_fps": float("inf")}, "rate_fps is inf"),
    ],
)
def test_an_impossible_plan_is_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        WindowPlan(**wrong)
