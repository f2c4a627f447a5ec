"""The single-frame check: near chance on this world, and far from it on a world that leaks."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from internvideo.playground import PAIRS, check_single_frame

# The module, which the function of the package does not hide here.
check_module = sys.modules[check_single_frame.__module__]


@pytest.fixture(scope="module")
def result():
    return check_single_frame(seed=3, num_videos_per_class=16)


def test_one_frame_does_not_tell_pairs_apart(result):
    assert abs(result.one_frame_mean - 0.5) < result.tolerance


def test_two_frames_in_order_do(result):
    assert result.two_frames_mean > 0.58


def test_the_result_prints_every_pair(result):
    assert result.is_passed and "passed: time decides" in str(result)
    assert all(f"{first} / {second}" in str(result) for first, second in PAIRS)


def test_the_classifier_finds_what_is_there():
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    features = rng.normal(size=(200, 5)) + labels[:, None]

    assert check_module._accuracy(features, labels) > 0.8
    assert abs(check_module._accuracy(rng.normal(size=(200, 5)), labels) - 0.5) < 0.12


def test_a_world_that_leaks_is_not_passed(monkeypatch):
    honest = check_module.draw_action

    def leaking(action, seed, world):
        facts = honest(action, seed, world)
        seconds = {second for _, second in PAIRS}
        bright = (250, 250, 250) if action in seconds else (10, 10, 10)
        behind = replace(facts.background, near=bright, far=bright)
        return replace(facts, background=behind)

    monkeypatch.setattr(check_module, "draw_action", leaking)
    result = check_single_frame(seed=3, num_videos_per_class=8)

    assert not result.is_passed
    assert "NOT passed" in str(result)
