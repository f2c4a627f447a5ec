"""Further processes of this machine that share a run's steps with this one, as torchrun's would.

Small networks use several cores better so: a thread is too much for their matrices, a rank is not.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from typing import Any

import torch
from torch.distributed import DistError

from internvideo.errors import InternVideoError, TrainingError
from internvideo.processes import end_with_parent

_log = logging.getLogger(__name__)

# How long other ranks are waited for after this one's work, after a failure of the group for their
# own words, and how long this rank may sit in its collective operation once another one has failed.
_SECONDS_TO_END, _SECONDS_TO_FAIL, _SECONDS_TO_NOTICE = 20.0, 5.0, 15.0


@contextlib.contextmanager
def sharing(count: int, work: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """Make this process the first of `count` ranks, the others of which call `work(*arguments)`.

    Threads are shared out evenly. With a count of 1, or under torchrun, nothing is started.
    Whichever rank fails, and however, all end within half a minute: a rank that cannot go on is
    told of first, the others are waited for only so long, then killed.

    Args:
        count: Ranks in all.
        work: A function of a module, which joins the run; what it returns is lost.
        arguments: Of `work`; they are pickled.

    Raises:
        TrainingError: If another rank ended before this one.
    """
    if count == 1 or "WORLD_SIZE" in os.environ:
        yield
        return
    threads = torch.get_num_threads()
    each = max(1, threads // count)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    context = multiprocessing.get_context("spawn")
    said = context.SimpleQueue()
    others = [
        context.Process(target=_follow, args=(_ranked(common, rank), each, said, work, arguments))
        for rank in range(1, count)
    ]
    own = _ranked(common, 0)
    os.environ.update(own)
    torch.set_num_threads(each)
    watch = _Watch(others, said)
    try:
        for other in others:
            other.start()
        watch.start()
        yield
        watch.end()
        for other in others:
            other.join(_SECONDS_TO_END)
    except RuntimeError as error:  # of a group that lost a member
        watch.end()
        # A rank that failed says so, but takes its time where the machine is busy.
        is_lost = "onnection" in str(error) or isinstance(error, DistError)
        watch.wait_for_failure(_SECONDS_TO_NOTICE if is_lost else _SECONDS_TO_FAIL)
        if num_failed := watch.num_failed():
            raise TrainingError(
                f"{num_failed} of the {count} processes of the run ended early: {watch.why()}"
            ) from error
        raise
    finally:
        watch.end()
        _end(others)
        torch.set_num_threads(threads)
        for name in own:
            os.environ.pop(name)


class _Watch:
    """Ends this process where another rank failed and this one does not notice.

    It may sit in a collective operation or wait for its data, where nothing in Python reaches it.
    """

    def __init__(self, others: list[BaseProcess], said: SimpleQueue[str]) -> None:
        self._others, self._said = others, said
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._wait, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """This rank is past its work, or on its way out."""
        self._is_over.set()

    def wait_for_failure(self, limit_s: float) -> None:
        """Give another rank time to end or to say what went wrong with it."""
        until = time.monotonic() + limit_s
        while not self.num_failed() and time.monotonic() < until:
            time.sleep(0.1)

    def num_failed(self) -> int:
        """How many other ranks ended with an error, or have at least told of one."""
        ended = sum(bool(other.exitcode) for other in self._others)
        return ended or int(not self._said.empty())

    def why(self) -> str:
        """What the rank that failed said."""
        if not self._said.empty():
            return self._said.get()
        killed = [-other.exitcode for other in self._others if (other.exitcode or 0) < 0]
        if killed:
            name = signal.Signals(killed[0]).name
            return f"killed by {name}, often for want of memory (SIGKILL)"
        return "see above"

    def _wait(self) -> None:
        while not self._is_over.wait(0.5):
            if any(other.exitcode for other in self._others):
                break
        else:
            return
        if self._is_over.wait(_SECONDS_TO_FAIL):
            return  # noticed, and told by the exception that the group's failure became
        _log.error("a process of the run ended early: %s; this one is stopped", self.why())
        if not self._is_over.wait(_SECONDS_TO_NOTICE):
            _end(self._others)
            os._exit(1)


def _ranked(common: dict[str, str], rank: int) -> dict[str, str]:
    return {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}


def _follow(
    environment: dict[str, str],
    num_threads: int,
    said: SimpleQueue[str],
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    os.environ.update(environment)
    torch.set_num_threads(num_threads)
    end_with_parent()
    try:
        work(*arguments)
    except InternVideoError as error:  # told by the first rank, which most often met it too
        said.put(str(error))
        raise SystemExit(2) from None
    except Exception as error:
        said.put(f"{type(error).__name__}: {error}")
        raise


def _end(others: list[BaseProcess]) -> None:
    """Kill what is left: a rank without its group can do nothing, and notes SIGTERM for later."""
    for other in others:
        if other.is_alive():
            other.kill()
    for other in others:
        if other.pid is not None:
            other.join()
