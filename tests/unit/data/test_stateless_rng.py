"""Draws are functions of their counters."""

from __future__ import annotations

import numpy as np

from internvideo.data.stateless_rng import (
    Purpose,
    draw,
    permutation,
    permutation_in_blocks,
    sample_seed,
)


def test_a_draw_equals_splitmix64_written_with_python_integers():
    def mixed(bits):
        bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) % 2**64
        return bits ^ (bits >> 31)

    # The reference implementation's first output from state 0.
    assert mixed(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF

    state = int(Purpose.WINDOW)
    for counter in (5, 2**63 + 1):
        state = mixed((state + 0x9E3779B97F4A7C15) % 2**64) ^ counter
    expected = mixed((state + 0x9E3779B97F4A7C15) % 2**64)

    assert int(draw(Purpose.WINDOW, 5, 2**63 + 1)) == expected


def test_draws_for_an_array_equal_draws_one_by_one():
    together = draw(Purpose.ORDER, 3, np.arange(50))

    assert together.tolist() == [int(draw(Purpose.ORDER, 3, i)) for i in range(50)]


def test_equal_counters_give_unrelated_draws_for_other_purposes():
    assert len({int(draw(purpose, 1, 2, 3)) for purpose in Purpose}) == len(Purpose)


def test_the_order_of_counters_matters():
    assert int(draw(Purpose.ORDER, 1, 2)) != int(draw(Purpose.ORDER, 2, 1))


def test_the_order_of_an_epoch_is_fixed_for_good():
    # A stored value: runs that are resumed after an update of anything rely on it.
    assert permutation(7, 3, 12).tolist() == [11, 8, 7, 9, 4, 6, 10, 5, 0, 2, 3, 1]


def test_sample_seeds_fit_a_non_negative_int64_and_differ():
    seeds = [sample_seed(0, e, i, v) for e in range(5) for i in range(50) for v in range(4)]

    assert min(seeds) >= 0
    assert max(seeds) < 2**63
    assert len(set(seeds)) == len(seeds)


def test_orders_are_uniform():
    first = np.array([permutation(0, epoch, 5)[0] for epoch in range(2000)])

    counts = np.bincount(first, minlength=5)

    assert abs(counts - 400).max() < 5 * np.sqrt(2000 * 0.2 * 0.8)


def test_an_order_in_blocks_finishes_some_before_it_begins_others():
    blocks = np.repeat(np.arange(6), 50)

    order = permutation_in_blocks(0, 0, blocks, together=2)

    assert sorted(order) == list(range(300))
    pairs = blocks[order].reshape(3, 100)
    assert sorted(len(set(pair)) for pair in pairs) == [2, 2, 2]
    assert (np.diff(pairs, axis=1) != 0).sum(axis=1).min() > 30
    assert not np.array_equal(order, permutation_in_blocks(0, 1, blocks, together=2))
