"""Processes that end with the one that started them, and folders that one process works on.

Python's own workers outlive a parent that is killed with SIGKILL: nothing is run in it any more. So
a worker watches for its parent itself.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import IO

from internvideo.errors import ConfigError

_log = logging.getLogger(__name__)

LOCK_NAME = ".lock"


def end_with_parent(*unused: object) -> None:
    """Kill this process of `multiprocessing` as soon as the process that started it has ended.

    Called once, in the process itself; takes any arguments, as an initialiser of a pool or loader.
    """
    parent = parent_process()
    if parent is not None:
        watch = threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True)
        watch.start()


def end_with_agent() -> None:
    """Kill this process as soon as the `torchrun` that started it has ended.

    A worker whose agent was killed would go on computing beside the ones that took its place.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        watch = threading.Thread(target=_end_after_agent, args=(os.getppid(),), daemon=True)
        watch.start()


def _end_after_agent(agent: int) -> None:
    while os.getppid() == agent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def _end_after(sentinel: int) -> None:
    connection.wait([sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def sole_use(folder: Path, *, patience_s: float | int = 0) -> Iterator[None]:
    """Keep a folder from a second process that works on it, as long as the block runs.

    The lock is one of the file system (flock) on `.lock`, so that it ends with its process, however
    that ends; the file says who holds it. Storage without such locks is used without one.
    Another process is given `patience_s` to end.

    Raises:
        ConfigError: If another process holds it; the message names process, machine and since when.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK_NAME, of=folder, patience_s=patience_s):
        yield


@contextmanager
def locked(path: Path, *, of: Path, patience_s: float | int = 0) -> Iterator[None]:
    """Hold the lock file `path`, which stands for `of`; see `sole_use`."""
    with _lock_file(path, of, time.monotonic() + patience_s) as file:
        file.truncate(0)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        held = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        file.write(json.dumps(held) + "\n")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _lock_file(path: Path, what: Path, until: float) -> IO[str]:
    """Open a file that nobody else has locked, and lock it."""
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:
                file.close()
                time.sleep(0.2)
                continue
            with file:
                raise ConfigError(
                    f"{what}: another process works on it ({_holder(file)}); wait for it, stop it, "
                    "or choose another place"
                ) from None
        except OSError as error:
            _log.warning("%s: cannot be locked (%s); start nothing else on it", what, error)
            return file
        # Whoever had it may have deleted it in between; that lock is of no use any more.
        if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
        file.close()


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        held = json.loads(file.read())
        return f"process {held['pid']} on {held['host']} since {held['since']}"
    except (ValueError, KeyError, TypeError):  # it has the lock and has not written yet
        return "it has just begun"
