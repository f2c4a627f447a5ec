"""Mixtures: whose turn it is, and batches of several loaders in turn."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from fractions import Fraction
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from internvideo.data import ClipLoader
from internvideo.data.mixture import MixedLoader, SourceSchedule
from internvideo.errors import ConfigError
from internvideo.values import Share
from tests.unit.data.numbered import Numbered, keys

weights = st.lists(
    st.one_of(st.integers(1, 30), st.sampled_from([0.1, 0.25, 0.7, 1 / 3])), min_size=1, max_size=5
).map(lambda values: {f"source {place}": value for place, value in enumerate(values)})


def mixed(sizes=(5, 3), batch_sizes=(4, 2), share=None, weights=None, **options):
    loaders = {
        f"source {place}": ClipLoader(
            Numbered(size, seed=place), batch_size=batch_size, share=share, **options
        )
        for place, (size, batch_size) in enumerate(zip(sizes, batch_sizes, strict=True))
    }
    return MixedLoader(loaders, weights)


def seen(loader, num_steps, first_step=0):
    return [keys(step) for step in islice(loader.batches(first_step), num_steps)]


@given(weights=weights, num_steps=st.integers(0, 100))
def test_after_any_number_of_steps_each_source_had_its_share(weights, num_steps):
    schedule = SourceSchedule(weights)
    exact = {name: Fraction(str(weight)) for name, weight in weights.items()}

    before = schedule.steps_before(num_steps)

    for name, count in before.items():
        assert abs(count - num_steps * exact[name] / sum(exact.values())) < 1
    assert before == dict.fromkeys(weights, 0) | Counter(map(schedule.source_of, range(num_steps)))


@given(weights=weights, steps=st.lists(st.integers(0, 99), max_size=5))
@settings(deadline=None)
def test_a_turn_depends_on_its_step_alone(weights, steps):
    row = [SourceSchedule(weights).source_of(step) for step in range(100)]
    asked = SourceSchedule(weights)

    assert [asked.source_of(step) for step in steps] == [row[step] for step in steps]


def test_equal_weights_alternate_and_the_first_begins():
    schedule = SourceSchedule({"video": 0.3, "image": 0.3})

    assert [schedule.source_of(step) for step in range(5)] == [*["video", "image"] * 2, "video"]


def test_a_far_step_of_simple_weights_is_found_at_once():
    assert SourceSchedule({"a": 0.7, "b": 0.3}).steps_before(10**12) == {
        "a": 7 * 10**11,
        "b": 3 * 10**11,
    }


@given(
    sizes=st.tuples(st.integers(1, 23), st.integers(1, 3)),
    first_step=st.integers(0, 9),
    ratio=st.sampled_from([1, 3, 0.5]),
)
@settings(deadline=None, max_examples=20)
def test_a_resumed_mixture_goes_on_as_if_never_stopped(sizes, first_step, ratio):
    loader = mixed(sizes, weights={"source 0": ratio, "source 1": 1})

    assert seen(loader, first_step + 4)[first_step:] == seen(loader, 4, first_step)


def test_each_source_goes_through_its_own_steps():
    loader = mixed()

    steps = seen(loader, 6)

    for place, name in enumerate(loader.loaders):
        alone = loader.loaders[name]
        assert steps[place::2] == [keys(step) for step in islice(alone.batches(), 3)]


def test_ranks_take_the_same_source_and_share_its_batch():
    ranks = [mixed(share=Share(index=rank, count=2)) for rank in range(2)]

    parts = [seen(loader, 5) for loader in ranks]

    assert seen(mixed(), 5) == [one + other for one, other in zip(*parts, strict=True)]
    assert [ranks[0].source_of(s) for s in range(5)] == [ranks[1].source_of(s) for s in range(5)]


def test_closing_a_mixture_ends_all_workers():
    before = set(multiprocessing.active_children())
    stream = mixed(num_workers=1).batches()
    list(islice(stream, 2))
    assert len(set(multiprocessing.active_children()) - before) >= 2

    stream.close()

    assert not set(multiprocessing.active_children()) - before


def test_a_failure_in_one_source_ends_the_workers_of_the_others():
    loaders = {
        "good": ClipLoader(Numbered(4), batch_size=4, num_workers=1),
        "bad": ClipLoader(Numbered(4, trouble="bug"), batch_size=4, num_workers=1),
    }

    before = set(multiprocessing.active_children())

    with pytest.raises(KeyError, match="a bug"):
        list(islice(MixedLoader(loaders).batches(), 2))

    # The traceback may still hold the stream that failed.
    assert len(set(multiprocessing.active_children()) - before) <= 1


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(ConfigError, match=r"weight of 'a' is .*, expected a positive number"):
        SourceSchedule({"a": weight})


def test_a_mixture_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="a mixture of nothing"):
        MixedLoader({})


def test_weights_and_sources_must_agree():
    with pytest.raises(ConfigError, match="unknown source of a mixture 'sourc 1'; did you mean"):
        mixed(weights={"source 0": 1, "sourc 1": 1})
    with pytest.raises(ConfigError, match="no weight for 'source 1'"):
        mixed(weights={"source 0": 1})
