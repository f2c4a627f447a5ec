"""Laws of retrieval metrics for all similarities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from internvideo.metrics import ranks, retrieval_metrics, tied_ranks


@st.composite
def retrievals(draw, *, levels=1000):
    """A similarity with few or many distinct values, and the video of each text."""
    num_videos = draw(st.integers(1, 12))
    extra = draw(st.lists(st.integers(0, num_videos - 1), max_size=10))
    videos = torch.tensor(draw(st.permutations([*range(num_videos), *extra])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = rng.integers(levels, size=(len(videos), num_videos)) * (10 / levels)
    return torch.from_numpy(scores).float(), videos


@settings(deadline=None)
@given(retrievals(levels=4))
def test_tied_ranks_are_the_places_of_equal_values_in_the_sorted_row(case):
    similarity, targets = case

    expected = [
        place
        for row, target in zip(similarity.tolist(), targets.tolist(), strict=True)
        for place, value in enumerate(sorted(row, reverse=True))
        if value == row[target]
    ]

    assert tied_ranks(similarity, targets).tolist() == expected


@settings(deadline=None)
@given(retrievals(levels=4))
def test_ranks_are_the_places_in_a_stable_sort(case):
    similarity, targets = case

    order = similarity.argsort(dim=1, descending=True, stable=True)

    expected = [
        row.index(target) for row, target in zip(order.tolist(), targets.tolist(), strict=True)
    ]
    assert ranks(similarity, targets).tolist() == expected


@settings(max_examples=50, deadline=None)
@given(retrievals(), st.data())
def test_metrics_follow_a_permutation_of_the_gallery(case, data):
    similarity, videos = case
    # Without ties, whose places depend on the gallery's order.
    similarity = similarity + torch.linspace(0, 1e-3, similarity.numel()).view_as(similarity)
    order = torch.tensor(data.draw(st.permutations(range(similarity.shape[1]))))

    moved = retrieval_metrics(similarity[:, order], order.argsort()[videos])

    assert moved == pytest.approx(retrieval_metrics(similarity, videos))


@settings(max_examples=50, deadline=None)
@given(retrievals(), st.data())
def test_losing_a_video_never_raises_the_number_of_found_videos(case, data):
    similarity, videos = case
    # By more than any score of the gallery's own, so that all were found before.
    similarity[torch.arange(len(videos)), videos] += 20
    gone = data.draw(st.integers(0, similarity.shape[1] - 1))
    present = torch.arange(similarity.shape[1]) != gone

    metrics = retrieval_metrics(similarity, videos, present=present)

    assert metrics["v2t/r10"] == pytest.approx(float(present.double().mean()))
    assert metrics["t2v/r10"] == pytest.approx(float((videos != gone).double().mean()))
