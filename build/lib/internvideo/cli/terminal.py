"""What the verbs show while they work: one console, progress bars, or plain lines in a file."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

# Outside a terminal a line at most this often tells that work goes on.
_LINE_EVERY_S = 5.0


@cache
def console() -> Console:
    """The console of stderr, shared so that log lines and progress bars do not overwrite each
    other; results go to stdout."""
    return Console(stderr=True)


def show_log() -> None:
    """Send the package's log to the terminal, or as plain lines to wherever stderr goes."""
    log = logging.getLogger("internvideo")
    log.setLevel(logging.INFO)
    for handler in [h for h in log.handlers if getattr(h, "of_terminal", False)]:
        log.removeHandler(handler)
    handler: logging.Handler
    if console().is_terminal:
        handler = RichHandler(console=console(), show_path=False, log_time_format="%H:%M:%S")
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    handler.of_terminal = True
    log.addHandler(handler)


@contextlib.contextmanager
def progress(what: str, *, plain_lines: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Give a function to call with (done, total); draws a bar, or prints a line now and then."""
    if console().is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console()) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if plain_lines and (done == total or time.monotonic() - last >= _LINE_EVERY_S):
            last = time.monotonic()
            print(f"{what}: {done}/{total}", file=sys.stderr, flush=True)

    yield tell


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))
