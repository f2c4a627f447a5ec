"""Laws of the order of samples: epochs, ranks, micro-batches, resuming, workers."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from internvideo.data import ClipLoader
from internvideo.values import Share
from tests.unit.data.numbered import Numbered, keys

sizes = st.integers(1, 23)
seeds = st.integers(0, 2**63)
ranks = st.integers(1, 4)
accumulations = st.integers(1, 3)
views = st.integers(1, 3)
broken = st.sets(st.integers(0, 22), max_size=3)


def clips_of(dataset, *, first_step=0, num_steps, **options):
    steps = ClipLoader(dataset, **options).batches(first_step)
    return [keys(step) for step in islice(steps, num_steps)]


@given(size=sizes, per_step=st.integers(1, 9), seed=seeds)
@settings(deadline=None, max_examples=40)
def test_every_record_comes_once_in_every_epoch(size, per_step, seed):
    num_epochs = 3
    steps = clips_of(
        Numbered(size, seed=seed), batch_size=per_step, num_steps=-(-size * num_epochs // per_step)
    )

    row = [source for step in steps for source, _ in step]

    for epoch in range(num_epochs):
        assert len(set(row[epoch * size : (epoch + 1) * size])) == size


@given(
    size=sizes,
    ranks=ranks,
    accumulation=accumulations,
    views=views,
    videos=st.integers(1, 3),
    seed=seeds,
    first_step=st.integers(0, 9),
    broken=broken,
)
@settings(deadline=None, max_examples=40)
def test_ranks_and_micro_batches_divide_the_batch_of_one_rank(
    size, ranks, accumulation, views, videos, seed, first_step, broken
):
    broken = {i for i in broken if i < size - 1}
    dataset = Numbered(size, num_views=views, seed=seed, broken=broken, max_broken_share=0.999)
    options = {
        "batch_size": videos * ranks * accumulation * views,
        "first_step": first_step,
        "num_steps": 3,
    }

    whole = clips_of(dataset, **options)
    parts = [
        clips_of(dataset, share=Share(index=r, count=ranks), accumulation=accumulation, **options)
        for r in range(ranks)
    ]

    assert whole == [[key for part in parts for key in part[step]] for step in range(3)]


@given(
    size=sizes, per_step=st.integers(1, 9), seed=seeds, resumed=st.integers(0, 12), broken=broken
)
@settings(deadline=None, max_examples=40)
def test_resuming_at_any_step_goes_on_as_if_never_stopped(size, per_step, seed, resumed, broken):
    dataset = Numbered(
        size, seed=seed, broken={i for i in broken if i < size - 1}, max_broken_share=0.999
    )

    unstopped = clips_of(dataset, batch_size=per_step, num_steps=resumed + 3)
    after = clips_of(dataset, batch_size=per_step, first_step=resumed, num_steps=3)

    assert unstopped[resumed:] == after


@given(size=sizes, ranks=ranks, batch=st.integers(1, 5))
@settings(deadline=None, max_examples=40)
def test_ranks_evaluate_every_record_once(size, ranks, batch):
    dataset = Numbered(size, training=False)

    parts = [
        keys(
            ClipLoader(dataset, batch_size=batch * ranks, share=Share(index=r, count=ranks)).once()
        )
        for r in range(ranks)
    ]

    assert [key for part in parts for key in part] == keys(
        ClipLoader(dataset, batch_size=batch).once()
    )


@pytest.mark.parametrize("first_step", [0, 4])
def test_workers_change_neither_order_nor_replacements(first_step):
    dataset = Numbered(11, num_views=2, broken={2, 7}, seed=5)
    options = {"batch_size": 4, "accumulation": 2, "first_step": first_step, "num_steps": 8}

    assert clips_of(dataset, **options) == clips_of(dataset, num_workers=2, **options)
