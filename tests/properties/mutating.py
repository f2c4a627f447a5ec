"""Damaged copies of a file, and a reader tried on them in a process with limits.

A reader may give something or raise one of our errors in one line. Anything else, more than 10 s or
more than 1 GiB beyond what the process had, is a fault.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import signal
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from internvideo.errors import InternVideoError

LIMIT_S = 10
LIMIT_BYTES = 1 << 30
# Of each reader; a fraction unless all are asked for.
NUM_MUTATIONS = 2000 if os.environ.get("INTERNVIDEO_ALL_MUTATIONS") else 60

Reader = Callable[[Path], object]
# What may stand in the place of any file: other documents, none, absurdly deep or long ones.
HOSTILE: tuple[bytes | None, ...] = (
    *(b"", b"\n", bytes(100), b"null", b"[]", b"{}", b"3", b'"x"', b"NaN", b"[[]]", b"[{}]"),
    *(b'{"": null}', b"[null]", b"[1e999]", b"\xff\xfe{\0}\0", b"\xef\xbb\xbf{}", b"x" * 100_000),
    *(b"[" * 200_000, b'{"a":' * 200_000, b"9" * 5000, b"[" + b"9" * 5000 + b"]", b"\x1f\x8b"),
    *(
        b"a\0b",
        b"\r\r\n",
        b",,,,,,,\n" * 3,
        b"\x80\x04.",
        b"PK\x05\x06" + bytes(18),
        b"<a>" * 20_000,
    ),
    b'recipe = "mae_tiny_videos"\n[' + b".".join([b"a"] * 5000) + b"]\nb = 1\n",
    None,  # a pipe that nobody writes to
)
_ODD = (b"-1", b"1e999", b"NaN", b"99999999999999999999", b"null", b"[]", b"{}", b'"x"', b"\xff")


def mutated(data: bytes, generator: np.random.Generator) -> bytes:
    """Change, cut or repeat bytes, of the head more often, or put something odd for a digit."""
    changed, kind = bytearray(data), generator.integers(6)
    place = int(generator.integers(len(data)))
    if kind == 0:
        return bytes(changed[:place])
    length = int(generator.integers(1, 64))
    if kind == 1:
        del changed[place : place + length]
    elif kind == 2:
        changed[place:place] = changed[place : place + length] * int(generator.integers(1, 5))
    elif kind == 3:
        digits = [i for i in range(min(len(data), 4000)) if 48 <= data[i] < 58]
        place = digits[int(generator.integers(len(digits)))] if digits else place
        changed[place : place + 1] = _ODD[int(generator.integers(len(_ODD)))]
    else:
        reach = len(data) if kind == 4 else min(len(data), 1200)
        for at in generator.integers(reach, size=generator.integers(1, 16)):
            changed[at] = generator.integers(256)
    return bytes(changed)


def faults(
    read: Reader,
    whole: Mapping[str, bytes],
    folder: Path,
    *,
    count: int = 0,
    contents: Sequence[bytes | None] = (),
    seed: int = 0,
) -> list[str]:
    """Try a reader on damaged copies of files, in a process of its own; say what went wrong.

    Args:
        read: Called with the folder in which each time one of the files is damaged.
        whole: Contents of the files, by their names in it.
        folder: Where to put them.
        count: How many damaged copies.
        contents: What else to put in the place of each file; None for a pipe.
        seed: Of the damage.
    """
    context = multiprocessing.get_context("fork")
    said = context.SimpleQueue()
    process = context.Process(target=_try, args=(read, whole, folder, count, contents, seed, said))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside idle threads
        process.start()
    found = []
    while (message := said.get()) is not None:
        found.append(message)
    process.join()
    if process.exitcode:
        found.append(f"the process ended with {process.exitcode}")
    return found


def _try(read, whole, folder, count, contents, seed, said) -> None:
    try:
        _try_all(read, whole, folder, count, contents, seed, said)
    finally:
        said.put(None)


def _try_all(read, whole, folder, count, contents, seed, said) -> None:
    signal.signal(signal.SIGALRM, _too_slow)
    for path, data in whole.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    read(folder)  # what is whole can be read
    gc.collect()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT_BYTES, resource.RLIM_INFINITY))
    generator, names = np.random.default_rng(seed), sorted(whole)
    for number in range(count):
        name = names[number % len(names)]
        _try_one(read, whole, folder, name, mutated(whole[name], generator), number, said)
    for number, data in enumerate(contents):
        for name in names:
            _try_one(read, whole, folder, name, data, number, said)


def _try_one(read, whole, folder, name, data, number, said) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name) if data is None else (folder / name).write_bytes(data)
    signal.alarm(LIMIT_S)
    try:
        read(folder)
    except InternVideoError as error:
        if "\n" in str(error):
            said.put(f"{name}, mutation {number}: several lines: {str(error)[:200]}")
    except BaseException:
        if data is not None:
            (folder / f"fault-{number}-{Path(name).name}").write_bytes(data)
        said.put(f"{name}, mutation {number}: {traceback.format_exc(limit=-4)}")
    finally:
        signal.alarm(0)
        for path, whole_data in whole.items():  # a reader may mend or replace others
            (folder / path).unlink(missing_ok=True)
            (folder / path).write_bytes(whole_data)


class _TooSlow(BaseException):
    """Not one of the errors that readers expect of a slow disk and go on after."""


def _too_slow(*unused: object) -> None:
    raise _TooSlow(f"took more than {LIMIT_S} s")
