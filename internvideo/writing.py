"""Files and folders that are complete or absent, and errors of writing that name them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from internvideo.errors import ConfigError
from internvideo.processes import LOCK_NAME, locked


def replace_text(path: Path, text: str) -> None:
    """Write a UTF-8 file beside its place and rename it; the old one stays whole until then.

    What is not UTF-8 in a name becomes an escape.

    Raises:
        ConfigError: It cannot be written; the message names it.
    """
    beside = path.with_name(f".{path.name}.part")
    with naming(path):
        try:
            beside.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise


@contextmanager
def written_beside(target: Path) -> Iterator[Path]:
    """Give an empty folder beside `target` for writing it, so that it is complete or absent.

    What is done is moved out of it; the folder is removed in the end, and what a process that was
    killed left of it is removed by the next one.

    Raises:
        ConfigError: If another process writes the same target.
    """
    beside = target.with_name(f".writing-{target.name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.with_name(f".{target.name}{LOCK_NAME}"), of=target):
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        try:
            yield beside
        finally:
            shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn an error of writing, which on a full disk names no file, into one that names `path`."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror or error})") from error
