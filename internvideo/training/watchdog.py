"""A watch over the steps of one rank: names a step that takes far too long, while it does.

A stuck decoder, a slow disk or a rank that others wait for look the same from outside: a run
that says nothing. A thread says which rank, step and clips it is, after ten times the median.
"""

from __future__ import annotations

import logging
import statistics
import threading
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any

logger = logging.getLogger(__name__)

_FACTOR = 10.0
_LEAST_STEPS = 5
_SHOWN = 3


class Watchdog:
    """Watches between `begin` and `end`; `least_s` is the shortest time worth a warning."""

    def __init__(
        self, rank: int, *, least_s: float | int = 10.0, every_s: float | int = 1.0
    ) -> None:
        self._rank, self._least_s, self._every_s = rank, least_s, every_s
        self._durations: deque[float] = deque(maxlen=100)
        self._step = 0
        self._began: float | None = None
        self._batches: Sequence[Any] = ()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def begin(self, step: int) -> None:
        """A step begins with waiting for its batches."""
        self._step, self._batches = step, ()
        self._began = time.monotonic()

    def got(self, batches: Sequence[Any]) -> None:
        """The batches of the step are there."""
        self._batches = batches

    def end(self) -> None:
        """The step is done; what follows (evaluation, a checkpoint) takes the time it takes."""
        if self._began is not None:
            self._durations.append(time.monotonic() - self._began)
        self._began = None

    def _watch(self) -> None:
        warned = -1
        while not self._is_over.wait(self._every_s):
            began, step = self._began, self._step
            if began is None or step == warned or len(self._durations) < _LEAST_STEPS:
                continue
            elapsed_s = time.monotonic() - began
            usual_s = statistics.median(list(self._durations))
            if elapsed_s > max(_FACTOR * usual_s, self._least_s):
                warned = step
                logger.warning(
                    "rank %d: step %d takes %.0f s already, the median is %.2g s; %s",
                    *(self._rank, step, elapsed_s, usual_s, self._doing()),
                )

    def _doing(self) -> str:
        if not self._batches:
            return "it waits for its data"
        names = [str(name) for batch in self._batches for name in getattr(batch, "sources", ())]
        if not names:
            return "it computes"
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return f"it computes on {', '.join(names[:_SHOWN])}{more}"
