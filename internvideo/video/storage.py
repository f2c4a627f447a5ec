"""Bytes wherever they lie: a range of a local file or of an object store, a member of a tar shard.

Local paths are read directly; anything with `://` goes through fsspec, which finds the file system
of an address (`s3://`, `gs://`, `https://`, `memory://`, also chained: `filecache::s3://`).
"""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from internvideo.errors import ConfigError, DecodeError
from internvideo.reading import why_no_file
from internvideo.values import Member

_log = logging.getLogger(__name__)

# An object store fails now and then; what is not there stays so.
_PAUSES_S = (0.5, 2.0)
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)

Result = TypeVar("Result")

# A name that fills its field may be the beginning of a longer one.
_HEADER_NAME_BYTES = 98
# Of a member with what PAX and GNU write before it: names of up to 3,000 bytes.
_HEADERS_BYTES = 16 * tarfile.BLOCKSIZE

# FFmpeg's protocols; what they name is never read (see `container.py`).
_SCHEMES = frozenset(
    (
        *("async", "bluray", "cache", "concat", "concatf", "crypto", "data", "dtls", "dvd", "fd"),
        *("ffrtmpcrypt", "ffrtmphttp", "file", "ftp", "ftps", "gopher", "gophers", "gs", "hls"),
        *("http", "httpproxy", "https", "icecast", "ipfs", "ipns", "libamqp", "librist", "librtmp"),
        *("libsmbclient", "libsrt", "libssh", "libzmq", "md5", "mmsh", "mmst", "pipe", "prompeg"),
        *("rtmp", "rtmpe", "rtmps", "rtmpt", "rtmpte", "rtmpts", "rtp", "rtsp", "s3", "sctp"),
        *("sftp", "smb", "srt", "srtp", "subfile", "tcp", "tee", "tls", "udp", "udplite", "unix"),
    )
)
# A protocol may have options behind a comma (`subfile,,start,0,end,9,,:name`).
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)(?:,[^:]*)?:", re.IGNORECASE)


def is_url(file: str | Path) -> bool:
    """Tell an address from a local path."""
    return "://" in str(file)


def address_scheme(name: str) -> str | None:
    """Tell the protocol in front of a name, such as `http` or `concat`; None for local names.

    A colon alone makes no address: `10:30 clip.mp4` is a local name.
    """
    said = _SCHEME.match(name)
    if said is None:
        return None
    is_address = said[1].lower() in _SCHEMES or name.startswith("//", said.end())
    return said[1] if is_address else None


def read_member(member: Member, name: str | Path) -> bytes:
    """Read what a shard holds for the video `name`, in one range, and check that it is that.

    The header before a tar member tells its size, so an index of other shards is noticed.
    """
    expected_name = _name_inside(member.shard, name)
    header_bytes = min(member.start, _bytes_of_headers(expected_name))
    expected = header_bytes + member.size
    where = f"bytes {member.start} to {member.start + member.size} of {member.shard}"
    try:
        found = read_range(member.shard, member.start - header_bytes, expected)
    except OSError as error:
        raise DecodeError(f"{name}: cannot read {where} ({error}); get the shard again") from error
    if len(found) < expected:
        raise DecodeError(
            f"{name}: should be {where}, which ends {expected - len(found)} bytes too early; get "
            "the shard again"
        )
    try:
        last = found[max(0, header_bytes - tarfile.BLOCKSIZE) : header_bytes]
        header = tarfile.TarInfo.frombuf(last, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        header = None
    if header is None or header.size != member.size:
        raise DecodeError(
            f"{name}: is not at {where}; the index is of other shards, write it again"
        )
    found_name = _whole_name(found[:header_bytes]) or header.name
    if expected_name is not None and not _may_be_called(found_name, expected_name):
        raise DecodeError(
            f"{name}: at {where} lies {escaped(found_name)}; the shard was written anew in "
            "another order, write its index again"
        )
    return found[header_bytes:]


def _name_inside(shard: str, name: str | Path) -> str | None:
    """The name of a member in its shard, where `name` is that of a file below the shard."""
    path, around = Path(name), Path(shard)
    return path.relative_to(around).as_posix() if path.is_relative_to(around) else None


def _bytes_of_headers(name: str | None) -> int:
    """How much before a member to read for its name: more where one header does not hold it."""
    fits = name is None or (name.isascii() and len(name) < _HEADER_NAME_BYTES)
    return tarfile.BLOCKSIZE if fits else _HEADERS_BYTES


def _whole_name(headers: bytes) -> str | None:
    """The name in a further header before the last (PAX's or GNU's); None where there is none."""
    block = tarfile.BLOCKSIZE
    for start in range(len(headers) - 3 * block, -1, -block):
        try:
            further = tarfile.TarInfo.frombuf(headers[start : start + block], "utf-8", "replace")
            is_name = further.type in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME)
            end = start + block + -(-further.size // block) * block
            if is_name and end == len(headers) - block:
                with tarfile.open(
                    fileobj=io.BytesIO(headers[start:]), mode="r:", errors="surrogateescape"
                ) as opened:
                    member = opened.next()
                    return None if member is None else member.name
        except (tarfile.TarError, ValueError):  # bytes of the member before, or damaged
            continue
    return None


def _may_be_called(found: str, expected: str) -> bool:
    """Compare the name found with the one expected.

    A header cuts names to 100 bytes, and to ASCII, where no further one was found with the whole.
    """
    is_cut = len(found.encode("utf-8", "surrogateescape")) >= _HEADER_NAME_BYTES
    found = "".join(sign for sign in harmless_name(found) if is_text(sign))
    names = (expected, expected.encode("ascii", "replace").decode())
    return any(name.startswith(found) if is_cut else name == found for name in names)


def harmless_name(name: str) -> str:
    """Keep the name of a member from leading out of its shard, should anyone take it as a path."""
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))


def read_range(file: str, start: int, size: int) -> bytes:
    """Read up to `size` bytes from `start` on; fewer where the file ends before.

    Raises:
        OSError: If the file is missing or its storage fails again and again.
    """
    if is_url(file):
        return _ask(file, lambda system, path: system.cat_file(path, start=start, end=start + size))
    with _regular(file).open("rb") as local:
        local.seek(start)
        return local.read(size)


def sizes(folder: str) -> dict[str, int]:
    """Sizes of the files that lie directly in a folder, by name."""
    if is_url(folder):
        found = _ask(folder, lambda system, path: system.ls(path, detail=True))
        names = ((entry["name"].rstrip("/").rsplit("/", 1)[-1], entry) for entry in found)
        return {name: entry["size"] for name, entry in names if entry["type"] == "file"}
    with os.scandir(folder) as entries:
        return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}


def opened(file: str) -> io.IOBase:
    """Open for reading here and there; use as a context manager."""
    if is_url(file):
        # Small blocks: between the headers of a shard lie videos that nobody wants to fetch.
        return _ask(file, lambda system, path: system.open(path, "rb", block_size=1 << 16))
    return _regular(file).open("rb")


def _regular(file: str) -> Path:
    """A local path, unless it is a pipe or device, of which reading may never end."""
    path = Path(file)
    if path.exists() and not path.is_dir() and (why := why_no_file(path)) is not None:
        raise OSError(errno.EINVAL, why, file)
    return path


def _ask(url: str, request: Callable[[Any, str], Result]) -> Result:
    """Put a request to the file system of an address, several times where it fails."""
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{url}: nothing here can read such an address ({error})") from error
    for pause_s in (*_PAUSES_S, None):
        try:
            return request(system, path)
        except _FINAL:
            raise
        except Exception as error:  # each storage has errors of its own
            if pause_s is None:
                raise OSError(f"{url}: {type(error).__name__}: {error}") from error
            time.sleep(pause_s)
    raise AssertionError("the last attempt returns or raises")


def files_below(
    folder: str | Path, *, on_folder: Callable[[Path], object] | None = None
) -> Iterator[Path]:
    """Go through all files, also in linked folders; a link to a folder around it is left out.

    So are names that are not UTF-8, which no report or manifest can hold; the log names them.
    `on_folder` is called with each folder inside.
    """
    num_unnamed, first = 0, ""
    for home, folders, names in os.walk(folder, followlinks=True):
        here = Path(home)
        real = here.resolve()
        folders[:] = [
            name
            for name in folders
            if not (here / name).is_symlink() or not real.is_relative_to((here / name).resolve())
        ]
        if on_folder is not None:
            for name in folders:
                on_folder(here / name)
        for name in names:
            if is_text(file := here / name):
                yield file
            else:
                num_unnamed, first = num_unnamed + 1, first or escaped(file)
    if num_unnamed:
        _log.warning(
            "%s: left out %d files whose names are not UTF-8, such as %s; rename them",
            *(escaped(folder), num_unnamed, first),
        )


def is_text(name: str | Path) -> bool:
    """Whether a name is UTF-8 in the file system."""
    return not any("\ud800" <= sign <= "\udfff" for sign in str(name))


def escaped(name: str | Path) -> str:
    """Write a name so that it can be printed, its bytes that are not UTF-8 as `\\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
