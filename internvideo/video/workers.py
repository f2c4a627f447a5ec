"""Calling a function in processes that may crash or hang.

Unlike the pools of the standard library, which end or wait for ever with a process that dies in
native code, each item here is given to one known process, so the item that broke it is known too:
many items at once with `map_in_processes`, one now and then with a `KeptProcess`.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from internvideo.errors import ConfigError
from internvideo.processes import end_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")

# Fresh interpreters: a fork of a process with threads may deadlock.
_SPAWN = multiprocessing.get_context("spawn")
_READY = "ready"


def map_in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    on_failure: Callable[[Item, str], Result],
    num_workers: int,
    limit_s: float | int,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Call `function` on each item; where its process dies or is too slow, `on_failure(item, why)`.

    `function` is importable by name. An exception it raises is raised here. `limit_s` holds for
    each item by itself.
    """
    results: dict[int, Result] = {}
    waiting = list(reversed(range(len(items))))
    workers = [_Worker(function) for _ in range(min(num_workers, len(items)))]
    try:
        while len(results) < len(items):
            slowest_s = max(0.0, min(worker.deadline for worker in workers) - time.monotonic())
            wait([worker.connection for worker in workers], min(slowest_s, 3600.0))
            for worker in workers:
                answer, why = worker.look(limit_s)
                if answer is None and why is None:
                    continue
                if worker.index is not None:
                    item = items[worker.index]
                    results[worker.index] = answer if why is None else on_failure(item, why)
                    if on_progress is not None:
                        on_progress(len(results), len(items))
                if why is not None:
                    worker.restart()
                elif waiting:
                    worker.give(index := waiting.pop(), items[index], limit_s)
                else:
                    worker.rest()
    finally:
        for worker in workers:
            worker.stop()
    return [results[index] for index in range(len(items))]


class KeptProcess(Generic[Item, Result]):
    """One process that is kept for the next item, and started anew where it died or was too slow.

    It starts with `start` or the first item; threads that ask at the same time wait their turn.
    """

    def __init__(self, function: Callable[[Item], Result], *, limit_s: float | int) -> None:
        """`function` is importable by name; `limit_s` holds for each item."""
        self._function, self._limit_s = function, limit_s
        self._turn = threading.Lock()
        self._worker: _Worker | None = None

    def start(self) -> None:
        """Start the process without waiting until it is ready."""
        with self._turn:
            self._started()

    def call(self, item: Item, *, on_failure: Callable[[Item, str], Result]) -> Result:
        """Call the function; where its process dies or is too slow, `on_failure(item, why)`.

        An exception that the function raises is raised here.
        """
        with self._turn:
            worker = self._started()
            if not worker.is_ready:
                _, why = worker.answered(self._limit_s)
                if why is not None:
                    worker.restart()  # raises: it ended before its first item
            worker.give(0, item, self._limit_s)
            answer, why = worker.answered(self._limit_s)
            if why is not None:
                worker.restart()
                return on_failure(item, why)
            worker.rest()
            return answer

    def close(self) -> None:
        """End the process; the next item would start another."""
        with self._turn:
            if self._worker is not None:
                self._worker.stop()
            self._worker = None

    def _started(self) -> _Worker:
        if self._worker is None:
            self._worker = _Worker(self._function)
        elif self._worker.is_ready and not self._worker.process.is_alive():
            self._worker.stop()  # killed while nobody asked
            self._worker.start()
        return self._worker


class _Worker:
    """One process that answers one item at a time; it says `_READY` once it has started."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self.start()

    def start(self) -> None:
        self.rest()
        self.is_ready = False
        self.connection, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_serve, args=(self._function, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def rest(self) -> None:
        self.index: int | None = None
        self.deadline = float("inf")

    def give(self, index: int, item: object, limit_s: float | int) -> None:
        self.index, self.deadline = index, time.monotonic() + limit_s
        self.connection.send(item)

    def look(self, limit_s: float | int) -> tuple[Any, str | None]:
        """Return (answer, None), (None, why there will be none), or two Nones while it works."""
        if self.connection.poll():
            try:
                answer = self.connection.recv()
            except EOFError:
                self.process.join()
                return None, f"the decoder crashed ({_ending(self.process.exitcode or 0)})"
            self.is_ready = True
            if isinstance(answer, Exception):
                self.rest()
                raise answer
            return answer, None
        if time.monotonic() > self.deadline:
            return None, f"decoding took longer than {limit_s:g} s"
        return None, None

    def answered(self, limit_s: float | int) -> tuple[Any, str | None]:
        """Return what `look` does once it is no longer at work."""
        while True:
            wait([self.connection], min(3600.0, max(0.0, self.deadline - time.monotonic())))
            answer, why = self.look(limit_s)
            if answer is not None or why is not None:
                return answer, why

    def restart(self) -> None:
        if self.index is None:
            raise ConfigError(
                "a worker process ended before its first item; in a script, call this below "
                'if __name__ == "__main__":'
            )
        self.stop()
        self.start()

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _ending(exit_code: int) -> str:
    return signal.Signals(-exit_code).name if exit_code < 0 else f"exit status {exit_code}"


def _serve(function: Callable[[Any], Any], connection: Connection) -> None:
    end_with_parent()
    connection.send(_READY)
    while True:
        try:
            item = connection.recv()
        except EOFError:  # nobody asks any more
            return
        try:
            answer = function(item)
        except Exception as error:  # raised again by the process that asked
            answer = error
        connection.send(answer)
