"""Several sources of batches in turn: every step takes the whole of its batch from one of them.

Source: InternVideo, section 3.1, trains on a batch of videos and a batch of images alternately.
Which source a step uses depends on its number and the weights alone, so all ranks agree and a run
resumes from its step. The schedule follows Tijdeman 1980, "The chairman assignment problem": after
any number of steps each source has had its share to within less than one step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from fractions import Fraction
from math import gcd, lcm
from typing import Protocol, runtime_checkable

from internvideo.errors import ConfigError, unknown_name
from internvideo.values import ClipBatch


@runtime_checkable
class Batches(Protocol):
    """What can be mixed: a `ClipLoader` or another mixture."""

    def batches(self, first_step: int = 0) -> Generator[list[ClipBatch], None, None]:
        """Yield the micro-batches of every step from `first_step` on, without end."""
        ...


class SourceSchedule:
    """Which of several sources each step uses, in shares as given by positive weights.

    >>> schedule = SourceSchedule({"video": 2, "image": 1})
    >>> [schedule.source_of(step) for step in range(6)]
    ['video', 'image', 'video', 'video', 'image', 'video']
    """

    def __init__(self, weights: Mapping[str, float | int]) -> None:
        for name, weight in weights.items():
            if not 0 < weight < float("inf"):
                raise ConfigError(
                    f"the weight of {name!r} is {weight}, expected a positive number; leave out "
                    "what is not to be used"
                )
        if not weights:
            raise ConfigError("a mixture of nothing; give at least one source")
        self.names = tuple(weights)
        # Decimal fractions as written, so that 0.1 is a tenth and the schedule repeats soon.
        exact = [Fraction(str(weight)) for weight in weights.values()]
        common = lcm(*(weight.denominator for weight in exact))
        whole = [int(weight * common) for weight in exact]
        self._weights = [weight // gcd(*whole) for weight in whole]
        self._period = sum(self._weights)
        self._counts = [0] * len(whole)
        self._sources: list[int] = []  # the sources of the first steps, as far as asked for

    def source_of(self, step: int) -> str:
        """Name the source of a step."""
        place = step % self._period
        self._look_ahead(place + 1)
        return self.names[self._sources[place]]

    def steps_before(self, step: int) -> dict[str, int]:
        """Count the steps of each source before `step`."""
        periods, rest = divmod(step, self._period)
        self._look_ahead(rest)
        taken = Counter(self._sources[:rest])
        return {
            name: periods * weight + taken[place]
            for place, (name, weight) in enumerate(zip(self.names, self._weights, strict=True))
        }

    def _look_ahead(self, count: int) -> None:
        while len(self._sources) < count:
            turn = self._next()
            self._counts[turn] += 1
            self._sources.append(turn)

    def _next(self) -> int:
        """Choose, among the sources that are due, the one that would first be late."""
        slack = max(1, 2 * len(self._weights) - 2)
        step = len(self._sources) + 1
        # How much of a step each source lacks, in 1 / (slack * period).
        lacks = [
            slack * (weight * step - count * self._period)
            for weight, count in zip(self._weights, self._counts, strict=True)
        ]
        due = [place for place, lack in enumerate(lacks) if lack >= self._period]
        allowed = (slack - 1) * self._period
        return min(due, key=lambda place: Fraction(allowed - lacks[place], self._weights[place]))


class MixedLoader:
    """Batches of several loaders in turn; each loader goes through its own steps.

    Args:
        loaders: By name; the first has the first turn where weights are equal.
        weights: Share of the steps of each; equal without.
    """

    def __init__(
        self, loaders: Mapping[str, Batches], weights: Mapping[str, float | int] | None = None
    ) -> None:
        weights = dict.fromkeys(loaders, 1) if weights is None else weights
        for name in weights:
            if name not in loaders:
                raise unknown_name("source of a mixture", name, loaders)
        missing = [name for name in loaders if name not in weights]
        if missing:
            raise ConfigError(f"no weight for {missing[0]!r}; give one for each source")
        self.loaders = dict(loaders)
        self.schedule = SourceSchedule({name: weights[name] for name in loaders})

    def source_of(self, step: int) -> str:
        """Name the source of a step, the same on all ranks."""
        return self.schedule.source_of(step)

    def batches(self, first_step: int = 0) -> Generator[list[ClipBatch], None, None]:
        """Yield the micro-batches of every step from `first_step` on, without end.

        Closing the iterator ends the workers of all loaders.
        """
        before = self.schedule.steps_before(first_step)
        streams = {name: loader.batches(before[name]) for name, loader in self.loaders.items()}
        step = first_step
        try:
            while True:
                yield next(streams[self.source_of(step)])
                step += 1
        finally:
            for stream in streams.values():
                stream.close()
