"""Files from outside: what may be opened at all, and JSON and pickles that cannot end the program.

A pipe or device is not opened, since reading it may never end. JSON of any depth and numbers of any
length become a value or a `ValueError`. What is packed is unpacked to a stated size at most.
Pickles are looked through before anything reads them: Python hashes a tuple by walking through all
of it, which crashes on deep ones and never ends on those that contain one another many times.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickletools
import stat
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

# What documents of another shape than expected lead to: a list for an object, a text for a number.
OTHER_SHAPE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
# All that numpy has been seen to raise at a damaged array or archive of arrays.
BROKEN_ARRAY = (
    *(OSError, ValueError, EOFError, KeyError, TypeError, OverflowError, MemoryError),
    *(RuntimeError, SyntaxError),  # and what is derived from them, such as too deep a nesting
    *(struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)

# Documents beside weights: configurations, class names, vocabularies.
MOST_DOCUMENT_BYTES = 64 << 20
# How many times its own size a packed text may have.
_MOST_TIMES, _ALLOWANCE_BYTES = 64, 1 << 20
# Of tuples in a pickle: levels, and items counted as often as they are reached.
_MOST_LEVELS, _MOST_REACHED = 100, 1 << 20
# Operations of a pickle, and what waits on its stack: it is written in pieces of a thousand.
_MOST_OPERATIONS, _MOST_WAITING = 1 << 22, 1 << 18


class TooDeepError(ValueError):
    """A pickle has tuples that Python cannot hash."""


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


def read_bytes(path: Path, *, most_bytes: int | None = None) -> bytes:
    """Read a file that is one.

    Raises:
        ValueError: It is no regular file, larger than `most_bytes`, or cannot be read.
    """
    if (why := why_no_file(path)) is not None:
        raise ValueError(why)
    if most_bytes is not None and (size := path.stat().st_size) > most_bytes:
        raise ValueError(f"{size} bytes, expected at most {most_bytes}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error


def read_document_text(path: Path, *, most_bytes: int = MOST_DOCUMENT_BYTES) -> str:
    """Read a small text of UTF-8, with or without a byte-order mark; raises as `read_bytes`."""
    return read_bytes(path, most_bytes=most_bytes).decode("utf-8-sig")


def unpacked(data: bytes) -> bytes:
    """Unpack gzip; what is none stays as it is.

    Raises:
        ValueError: It is cut short or damaged, or unpacks to many times its size.
    """
    if data[:2] != b"\x1f\x8b":
        return data
    most = _MOST_TIMES * len(data) + _ALLOWANCE_BYTES
    try:
        with gzip.open(io.BytesIO(data)) as packed:
            found = packed.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"cut off or not gzip: {error}") from error
    if len(found) > most:
        raise ValueError(f"unpacks to more than {most} bytes, {_MOST_TIMES} times its own size")
    return found


def check_inflation(file: IO[bytes]) -> None:
    """Raise `ValueError` where a zip archive inflates to many times its size."""
    with zipfile.ZipFile(file) as archive:
        inflated = sum(member.file_size for member in archive.infolist())
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if inflated > _MOST_TIMES * size + _ALLOWANCE_BYTES:
        raise ValueError(f"inflates to {inflated} bytes, more than {_MOST_TIMES} times its size")


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
    return parse_json(read_bytes(path, most_bytes=most_bytes))


def check_pickle(stream: io.BufferedIOBase) -> None:
    """Read one pickle to its end, without making its objects, and refuse tuples as above.

    Raises:
        TooDeepError: It has tuples that cannot be hashed.
        ValueError: It is no pickle, or is cut short.
    """
    stack: list[tuple[int, int] | None] = []  # (levels, items reached); None for a mark
    memo: dict[int, tuple[int, int]] = {}
    plain = (0, 1)
    for number, (code, argument, _) in enumerate(pickletools.genops(stream)):
        if number > _MOST_OPERATIONS or len(stack) > _MOST_WAITING:
            raise TooDeepError(f"it has more than {_MOST_OPERATIONS} operations or open lists")
        name = code.name
        if name == "MARK":
            stack.append(None)
        elif name == "MEMOIZE":
            memo[len(memo)] = _top(stack)
        elif name.endswith("PUT"):
            memo[int(argument or 0)] = _top(stack)
        elif name.endswith("GET"):
            stack.append(memo.get(int(argument or 0), plain))
        elif name == "DUP":
            stack.append(_top(stack))
        else:
            taken = _take(stack, code)
            if name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
                levels = 1 + max((inner[0] for inner in taken), default=0)
                reached = 1 + sum(inner[1] for inner in taken)
                if levels > _MOST_LEVELS or reached > _MOST_REACHED:
                    raise TooDeepError("its tuples are nested too deeply")
                stack.append((levels, reached))
            elif name == "REDUCE":  # a function may give back what it was given
                stack.append(max(taken))
            else:
                stack.extend(plain for _ in code.stack_after)


def _top(stack: list[tuple[int, int] | None]) -> tuple[int, int]:
    if not stack or stack[-1] is None:
        raise ValueError("it stores what it does not have")
    return stack[-1]


def _take(
    stack: list[tuple[int, int] | None], code: pickletools.OpcodeInfo
) -> list[tuple[int, int]]:
    """Take from the stack what an operation takes: a number of objects, or those up to a mark."""
    before, taken = code.stack_before, []
    if pickletools.markobject in before:
        while stack and (one := stack.pop()) is not None:
            taken.append(one)
        before = before[: before.index(pickletools.markobject)]
    if len(before) > len(stack):
        raise ValueError("it takes what it does not have")
    below = [stack.pop() for _ in before]
    return taken + [one for one in below if one is not None]
