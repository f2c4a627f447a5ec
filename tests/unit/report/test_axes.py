from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis.strategies import floats, lists

from internvideo.errors import ConfigError
from internvideo.report.axes import Axis, log_ticks, nice_ticks, short_number, stretches, thin


@given(low=floats(-1e6, 1e6), length=floats(1e-3, 1e6))
def test_ticks_are_few_increasing_and_within_the_axis(low, length):
    ticks = nice_ticks(low, low + length)

    assert 2 <= len(ticks) <= 12
    assert all(a < b for a, b in pairwise(ticks))
    assert ticks[0] >= low - 1e-6 * length - 1e-9
    assert ticks[-1] <= low + length + 1e-6 * length + 1e-9


def test_ticks_are_round_numbers():
    assert nice_ticks(0.0, 0.06) == [0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06]
    assert nice_ticks(0, 3000) == [0, 500, 1000, 1500, 2000, 2500, 3000]


def test_a_single_value_has_one_tick():
    assert nice_ticks(3.0, 3.0) == [3.0]


@given(exponent=floats(-6, 6), decades=floats(0.05, 12))
def test_logarithmic_ticks_are_few_and_within_the_axis(exponent, decades):
    low, high = 10**exponent, 10 ** (exponent + decades)
    ticks = log_ticks(low, high)

    assert 2 <= len(ticks) <= 10
    assert low * 0.999 <= ticks[0] < ticks[-1] <= high * 1.001


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.25, "0.25"),
        (0.0005, "0.0005"),
        (0.00002, "2e-5"),
        (59.987, "59.99"),
        (1500.0, "1,500"),
        (1_000_000, "1M"),
        (2.5e9, "2.5G"),
        (-0.5, "-0.5"),
        (math.nan, "nan"),
        (math.inf, "inf"),
    ],
)
def test_numbers_are_short(value, text):
    assert short_number(value) == text


def test_an_axis_places_its_ends_at_its_ends():
    axis = Axis(low=2, high=4, start_px=100, end_px=0)

    assert [axis.place(v) for v in (2, 3, 4)] == [100, 50, 0]


def test_a_logarithmic_axis_gives_every_decade_the_same_room():
    axis = Axis(low=0.01, high=1, start_px=0, end_px=100, log=True)

    assert axis.place(0.1) == pytest.approx(50)


def test_a_logarithmic_axis_refuses_zero():
    with pytest.raises(ConfigError, match="cannot begin at 0; it must be positive"):
        Axis(low=0, high=1, start_px=0, end_px=1, log=True)


@given(values=lists(floats(-1e9, 1e9), min_size=1, max_size=5))
def test_an_axis_holds_all_its_values(values):
    axis = Axis.over(values, 10, 90)

    assert all(10 - 1e-6 <= axis.place(value) <= 90 + 1e-6 for value in values)


def test_missing_values_split_a_curve():
    parts = stretches([0, 1, 2, 3, 4, 5], [1.0, math.nan, 2.0, 3.0, math.inf, math.nan])

    assert parts == [[(0, 1.0)], [(2, 2.0), (3, 3.0)]]


def test_values_below_zero_are_missing_where_asked():
    assert stretches([0, 1, 2], [1.0, 0.0, 2.0], positive=True) == [[(0, 1.0)], [(2, 2.0)]]


def test_thinning_keeps_spikes_and_order():
    points = [(float(i), 0.0) for i in range(10_000)]
    points[5_003], points[7_001] = (5_003.0, 9.0), (7_001.0, -9.0)

    kept = thin(points, most=100)

    assert len(kept) <= 100
    assert kept == sorted(kept)
    assert {(5_003.0, 9.0), (7_001.0, -9.0)} <= set(kept)


def test_short_curves_are_kept_whole():
    points = [(0.0, 1.0), (1.0, 2.0)]

    assert thin(points, most=2) == points
