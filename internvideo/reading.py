"""Files from outside: what may be opened at all, and JSON that cannot end the program.

A pipe or device is not opened, since reading it may never end. JSON of any depth and numbers of any
length become a value or a `ValueError`.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

# Documents beside weights: configurations, class names, vocabularies.
MOST_DOCUMENT_BYTES = 64 << 20


def why_no_file(path: Path) -> str | None:
    """Say why a path is no regular file that can be read; None where it is one."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    if stat.S_ISDIR(mode):
        return "Is a directory"
    if not stat.S_ISREG(mode):
        return "is a pipe, socket or device, not a file"
    return None if os.access(path, os.R_OK) else "Permission denied"


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; whatever is wrong with it is a `ValueError`, as of `json.loads`."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json_document(path: Path, *, most_bytes: int = MOST_DOCUMENT_BYTES) -> Any:
    """Read a small JSON file.

    Raises:
        ValueError: It is no regular file, larger than `most_bytes`, not UTF-8, or no JSON.
    """
    if (why := why_no_file(path)) is not None:
        raise ValueError(why)
    if (size := path.stat().st_size) > most_bytes:
        raise ValueError(f"{size} bytes, expected at most {most_bytes}")
    try:
        return parse_json(path.read_bytes())
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
