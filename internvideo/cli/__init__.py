"""The `internvideo` command: parses, calls, and says what went wrong in one line.

Exit status: 0 done, 1 cut short or failed on the way, 2 something the caller can put right.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import tyro
from tyro.conf import FlagCreatePairsOff

from internvideo.cli.allocator import keep_freed_memory
from internvideo.cli.terminal import show_log
from internvideo.cli.verbs import OF_TASKS, VERBS, command_line
from internvideo.errors import ConfigError, InternVideoError, unknown_name
from internvideo.ranges import check_ranges

__all__ = ["main"]

_NO_WRAPPING = "100000"
_DEPTH_OF_OPTIONS = 5  # columns within the parser's box
# Options that had another name before.
_RENAMED = {"--averaged": "--ema"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    arguments = arguments or ["--help"]
    try:
        if arguments[0] == "--version":
            return _print_version()
        if not arguments[0].startswith("-") and arguments[0] not in VERBS:
            raise unknown_name("verb", arguments[0], VERBS)
        _refuse_renamed(arguments)
        verb = _parse(arguments)
        if isinstance(verb, int):
            return verb
        check_ranges(verb)
        keep_freed_memory()
        show_log()
        status = verb.run()
        sys.stdout.flush()  # what cannot be written should fail here and not at exit
        return status
    except InternVideoError as error:
        return _complain(str(error), status=error.exit_status)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        # On a full disk what is left in the buffer would fail once more at exit.
        if error.filename is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _complain(f"{error.filename or 'the output'}: {error.strerror}")
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        return _complain(
            f"there is not enough memory ({str(error)[:200]}); take smaller batches or sizes, or "
            "fewer workers",
            status=1,
        )
    except KeyboardInterrupt:
        return _complain("interrupted", status=1)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether Python, numpy or torch (which need not be imported) found no memory."""
    is_named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return is_named or "can't allocate memory" in str(error)


def _refuse_renamed(arguments: list[str]) -> None:
    for word in arguments:
        if (new := _RENAMED.get(word.partition("=")[0])) is not None:
            raise ConfigError(f"{word} is now called {new}; write that instead")


def _parse(arguments: list[str]) -> Any:
    """The verb asked for, or the exit status where there is nothing to run."""
    if arguments[0] in OF_TASKS:
        from internvideo.cli.tasks import task_first

        arguments = task_first(arguments)
    complaint = io.StringIO()
    for width in (None, _NO_WRAPPING):
        try:
            with contextlib.redirect_stderr(complaint), _columns(width):
                return tyro.cli(
                    command_line(arguments[0]),
                    prog="internvideo",
                    description="Pretrain, inspect and use video encoders.",
                    args=arguments,
                    config=(FlagCreatePairsOff,),
                )
        except SystemExit as stop:
            if not stop.code:
                return 0
            if width is None:  # what it said is wrapped at the width of the terminal
                complaint.truncate(complaint.seek(0))
    said = _in_one_line(complaint.getvalue())
    for word in arguments:
        if word.startswith("-") and os.path.lexists(word):
            said += f"; if you mean the file of that name, write ./{word}"
    return _complain(said)


def _in_one_line(box: str) -> str:
    """What the parser says in a box: one line is what a script and a log want."""
    parts: list[str] = []
    before = 0
    for line in box.splitlines()[1:]:
        inside = line.strip("│╭╮╰╯─").rstrip()
        words = inside.strip("─ ")
        if not words.strip("-+|"):
            continue
        depth = len(inside) - len(inside.lstrip())
        # A help text goes on where it is as deep as the line before; options stand less deep.
        if depth == before > _DEPTH_OF_OPTIONS and not words.startswith("in internvideo"):
            parts[-1] += f" {words}"
        else:
            parts.append(words)
        before = depth
    return "; ".join(parts).replace(":;", ":")


@contextlib.contextmanager
def _columns(width: str | None) -> Iterator[None]:
    """Let the parser take the terminal for so many columns wide."""
    before = os.environ.get("COLUMNS")
    if width is not None:
        os.environ["COLUMNS"] = width
    try:
        yield
    finally:
        os.environ.pop("COLUMNS", None)
        if before is not None:
            os.environ["COLUMNS"] = before


def _print_version() -> int:
    from importlib.metadata import version

    print(f"internvideo {version('internvideo')}")
    return 0


def _complain(message: str, status: int = 2) -> int:
    print(f"internvideo: {' '.join(message.split())}", file=sys.stderr)
    return status
