"""The border of a video: whatever decoding raises becomes a `DecodeError` that names the file.

FFmpeg, Pillow and their wrappers raise a great many things on odd files (AttributeError for a
stream without a decoder, IndexError, OSError 95, ...). One odd video may not end a job, so every
public method of a reader passes through here; the class, message and place of the cause stay in the
error's text, which is what reaches the log from loading workers.
"""

from __future__ import annotations

import functools
import inspect
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from internvideo.errors import DecodeError, InternVideoError

_log = logging.getLogger(__name__)

Method = TypeVar("Method", bound=Callable[..., Any])


@contextmanager
def named_failures(path: Path | str) -> Iterator[None]:
    """Turn every exception but our own into a `DecodeError` of the file at `path`."""
    try:
        yield
    except InternVideoError:
        raise
    except Exception as error:
        _log.debug("%s: decoding failed", path, exc_info=True)
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        raise DecodeError(
            f"{path}: cannot be decoded ({said}; {Path(last.filename).name}, line {last.lineno}); "
            "leave the file out"
        ) from error


def guarded(method: Method) -> Method:
    """Let a method, also a generator, of a reader that has a `path` raise our errors only."""

    @functools.wraps(method)
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        with named_failures(self.path):
            return method(self, *arguments, **options)

    @functools.wraps(method)
    def generate(self: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
        values = method(self, *arguments, **options)
        while True:
            # Not around `yield`: an exception of the caller is none of the file's.
            with named_failures(self.path):
                try:
                    value = next(values)
                except StopIteration:
                    return
            yield value

    # Unwrapped, for the test run wraps methods to check shapes.
    is_generator = inspect.isgeneratorfunction(inspect.unwrap(method))
    return cast("Method", generate if is_generator else call)
