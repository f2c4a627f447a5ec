"""Which frames make a clip; the recorded official cases are in tests/parity."""

from __future__ import annotations

import numpy as np
import pytest

from internvideo.errors import ConfigError
from internvideo.video import sampling


def test_a_pretraining_window_takes_every_fourth_frame():
    indices = sampling.pretraining_window(300, start=118)

    assert indices.tolist() == list(range(118, 118 + 64, 4))


def test_random_windows_start_anywhere_they_fit_and_nowhere_else():
    generator = np.random.default_rng(0)

    starts = {
        int(sampling.random_pretraining_window(70, generator=generator)[0]) for _ in range(300)
    }

    assert starts == set(range(7))


def test_a_single_dense_test_view_is_the_middle():
    assert sampling.dense_test(150, num_views=1)[0, 0] == 11 * 4


def test_training_draws_lie_in_their_segments():
    generator = np.random.default_rng(0)

    draws = np.stack(
        [sampling.segment_training(48, clip_frames=8, generator=generator) for _ in range(200)]
    )

    assert (draws // 6 == np.arange(8)).all()
    assert set((draws % 6).ravel().tolist()) == set(range(6))


def test_dense_training_moves_the_window_inside_the_video():
    generator = np.random.default_rng(0)

    draws = np.stack([sampling.dense_training(100, generator=generator) for _ in range(200)])

    assert draws.min() == 0 and 95 <= draws.max() <= 99
    assert (np.diff(draws, axis=1) >= 4).all()


def test_the_same_seed_draws_the_same_frames():
    draws = [
        sampling.uniform_training(90, generator=np.random.default_rng(7)).tolist() for _ in range(2)
    ]

    assert draws[0] == draws[1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sampling.pretraining_window(0), "num_frames 0 is below 1"),
        (lambda: sampling.pretraining_window(10, start=10), "start 10 lies outside"),
        (lambda: sampling.sparse_test(10, clip_frames=0), "clip_frames 0 is below 1"),
        (lambda: sampling.uniform_test(10, view=2, num_views=2), "view 2 of 2 does not exist"),
    ],
)
def test_impossible_requests_are_refused(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
