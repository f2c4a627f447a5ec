"""Random choices as pure functions of where they are needed, not of what was drawn before.

A chain of counters (run seed, epoch, sample, view, ...) is hashed to 64 bits, so any worker, rank
or resumed process draws the same numbers for the same sample, in any order.
Source: the finaliser of SplitMix64, Steele et al. 2014, "Fast Splittable Pseudorandom Number
Generators", figure 16. Written out, and not taken from NumPy's generators, because their streams
may change with a version and would then change the order of a run resumed later.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Bits = np.uint64 | NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_STEPS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


class Purpose(IntEnum):
    """What a draw is for, so that equal counters give unrelated draws."""

    ORDER = 1
    REPLACEMENT = 2
    WINDOW = 3
    AUGMENTATION = 4
    AFTER_LOADING = 5
    HELD_BACK = 6
    CAPTION = 7
    BLOCK_ORDER = 8
    MIRROR = 9


def draw(purpose: Purpose, *counters: int | NDArray[np.int64]) -> Bits:
    """Hash counters to uniform 64-bit numbers, element by element over arrays."""
    state: Bits = np.uint64(purpose)
    with np.errstate(over="ignore"):
        for counter in counters:
            state = _mixed(state + _GOLDEN) ^ np.asarray(counter).astype(np.uint64)
        return _mixed(state + _GOLDEN)


def generator(purpose: Purpose, *counters: int) -> np.random.Generator:
    """Start a NumPy generator for the few draws that one sample needs."""
    return np.random.default_rng(int(draw(purpose, *counters)))


def permutation(seed: int, epoch: int, size: int) -> NDArray[np.int64]:
    """Order of the samples in an epoch."""
    keys = draw(Purpose.ORDER, seed, epoch, np.arange(size))
    return np.argsort(keys, kind="stable")


def permutation_in_blocks(
    seed: int, epoch: int, blocks: NDArray[np.int64], together: int
) -> NDArray[np.int64]:
    """Order of the samples in an epoch that goes through few blocks of them at a time.

    Args:
        seed: Of the run.
        epoch: From 0.
        blocks: The number of each sample's block.
        together: How many blocks, drawn anew in every epoch, are mixed with one another.
    """
    keys = draw(Purpose.BLOCK_ORDER, seed, epoch, np.arange(blocks.max() + 1))
    place = np.argsort(np.argsort(keys, kind="stable"))
    samples = draw(Purpose.ORDER, seed, epoch, np.arange(len(blocks)))
    return np.lexsort((samples, place[blocks] // together))


def sample_seed(seed: int, epoch: int, index: int, view: int) -> int:
    """Seed for whatever is drawn for a view after loading; fits a non-negative int64."""
    return int(draw(Purpose.AFTER_LOADING, seed, epoch, index, view) >> np.uint64(1))


def _mixed(bits: Bits) -> Bits:
    for shift, factor in _STEPS:
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits ^ (bits >> np.uint64(31))
