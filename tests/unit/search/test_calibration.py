from __future__ import annotations

import numpy as np
import pytest

from internvideo.search.calibration import BANK, Background, Level, fit_background


def test_the_fit_finds_the_distribution_that_drew_the_maxima():
    drawn = np.random.default_rng(0).gumbel(5.0, 0.7, 4000)

    background = fit_background(drawn.tolist())

    assert background.location == pytest.approx(5.0, abs=0.1)
    assert background.scale == pytest.approx(0.7, abs=0.1)


def test_sentences_that_do_occur_hardly_move_it():
    drawn = np.random.default_rng(0).gumbel(5.0, 0.7, 1000)

    background = fit_background([*drawn.tolist(), *([50.0] * 100)])

    assert background.location == pytest.approx(5.0, abs=0.2)


def test_confidence_is_the_share_of_unrelated_questions_below():
    drawn = np.random.default_rng(1).gumbel(5.0, 0.7, 4000)
    background = Background(location=5.0, scale=0.7)

    for score in (4.5, 5.5, 7.0):
        share = float((drawn < score).mean())
        assert background.confidence(score) == pytest.approx(share, abs=0.03)


def test_the_level_is_not_moved_by_what_was_found():
    noise = np.random.default_rng(0).normal(0.2, 0.05, 1000)

    level = Level.of(np.append(noise, [0.9] * 100))

    assert level.median == pytest.approx(0.2, abs=0.02)
    assert level.deviation == pytest.approx(0.05, abs=0.02)


def test_the_bank_has_different_sentences():
    assert len(BANK) == len(set(BANK)) >= 90
