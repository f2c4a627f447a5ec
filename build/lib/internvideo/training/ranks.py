"""Further processes of this machine that share a run's steps with this one, as torchrun's would.

Small networks use several cores better so: a thread is too much for their matrices, a rank is not.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from typing import Any

import torch

from internvideo.errors import InternVideoError, TrainingError

# How long other ranks are waited for after this one's work, and after a failure of the group.
_SECONDS_TO_END, _SECONDS_TO_FAIL = 60.0, 5.0


@contextlib.contextmanager
def sharing(count: int, work: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """Make this process the first of `count` ranks, the others of which call `work(*arguments)`.

    Threads are shared out evenly. With a count of 1, or under torchrun, nothing is started.

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
    try:
        for other in others:
            other.start()
        yield
        for other in others:
            other.join(_SECONDS_TO_END)
    except RuntimeError as error:  # of a group that lost a member
        for other in others:
            other.join(_SECONDS_TO_FAIL)
        if failed := [other for other in others if other.exitcode]:
            why = "see above" if said.empty() else said.get()
            raise TrainingError(
                f"{len(failed)} of the {count} processes of the run ended early: {why}"
            ) from error
        raise
    finally:
        _end(others)
        torch.set_num_threads(threads)
        for name in own:
            os.environ.pop(name)


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
    try:
        work(*arguments)
    except InternVideoError as error:  # told by the first rank, which most often met it too
        said.put(str(error))
        raise SystemExit(2) from None


def _end(others: list[BaseProcess]) -> None:
    for other in others:
        if other.is_alive():
            other.terminate()
            other.join()
