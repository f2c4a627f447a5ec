from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvideo.search.moments import find_spans


def spans_of(scores, *, window_s=2.0, stride_s=1.0, shots=None, **options):
    scores = np.array(scores, dtype=float)
    start_s = np.arange(len(scores)) * stride_s
    shot = np.zeros(len(scores), dtype=np.int64) if shots is None else np.array(shots)
    return find_spans(start_s, start_s + window_s, shot, scores, background=0.0, **options)


def test_neighbours_above_half_the_peak_are_one_moment():
    (span,) = spans_of([0, 0, 0.9, 1.0, 0.9, 0, 0], most=1)

    assert span.score == 1
    assert span.start_s == pytest.approx(2.5, abs=0.5)
    assert span.end_s == pytest.approx(5.5, abs=0.5)


def test_two_peaks_are_two_moments_and_the_better_is_first():
    first, second = spans_of([0, 0.8, 0, 0, 0, 0, 1.0, 0, 0], most=2)

    assert first.peak == 6
    assert second.peak == 1


def test_a_boundary_lies_where_the_score_crosses_the_middle():
    window, stride, begin, end = 4.0, 0.5, 7.3, 13.9
    starts = np.arange(40) * stride
    overlap = np.minimum(starts + window, end) - np.maximum(starts, begin)
    scores = np.clip(overlap, 0, None) / window

    (span,) = find_spans(
        starts, starts + window, np.zeros(40, np.int64), scores, background=0.0, most=1
    )

    assert span.start_s == pytest.approx(begin, abs=0.5)
    assert span.end_s == pytest.approx(end, abs=0.5)


def test_a_boundary_at_a_cut_is_the_cut():
    start_s, end_s = np.array([0.0, 2.0, 4.0, 6.0]), np.array([2.0, 4.0, 6.0, 8.0])
    scores, shot = np.array([0.0, 1.0, 0.9, 0.0]), np.array([0, 1, 1, 2])

    (span,) = find_spans(start_s, end_s, shot, scores, background=0.0, most=1)

    assert (span.start_s, span.end_s) == (2, 6)


@given(
    scores=st.lists(st.floats(-1, 1), min_size=1, max_size=30),
    background=st.floats(-1, 1),
)
def test_moments_lie_in_the_video_and_share_no_time(scores, background):
    start_s = np.arange(len(scores)) * 1.0

    spans = find_spans(
        start_s,
        start_s + 2.0,
        np.zeros(len(scores), np.int64),
        np.array(scores),
        background=background,
    )

    assert spans[0].score == max(scores)
    for span in spans:
        assert 0 <= span.start_s < span.end_s <= len(scores) + 1
    ordered = sorted(spans, key=lambda span: span.start_s)
    for one, other in pairwise(ordered):
        assert one.end_s <= other.start_s + 1.0  # both lie between the middles of two pieces
