"""Calling a function on many items in processes that may crash or hang.

Unlike the pools of the standard library, which end or wait for ever with a process that dies in
native code, each item here is given to one known process, so the item that broke it is known too.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

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


class _Worker:
    """One process that answers one item at a time; it says `_READY` once it has started."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self.start()

    def start(self) -> None:
        self.rest()
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
            if isinstance(answer, Exception):
                raise answer
            return answer, None
        if time.monotonic() > self.deadline:
            return None, f"decoding took longer than {limit_s:g} s"
        return None, None

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
