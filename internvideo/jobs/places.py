"""Files on this machine and in object stores, through one interface.

Paths are local; anything with `://` goes through fsspec. No address is ever handed to a decoder:
its bytes are fetched into a local file first, and results are written locally and then delivered.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from internvideo.errors import ConfigError, DecodeError
from internvideo.jobs.units import Unit, target_of
from internvideo.video.finding import find_videos, has_video_name
from internvideo.video.storage import is_url


def file_system(place: str | Path) -> tuple[Any, str]:
    """The file system of a path or address, and the path in it.

    Raises:
        ConfigError: If nothing here can read such an address.
    """
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    if not is_url(place):
        return LocalFileSystem(), str(Path(place).absolute())
    try:
        return fsspec.core.url_to_fs(str(place))
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{place}: nothing here can read such an address ({error})") from error


def video_units(place: str, out: str, suffix: str) -> list[Unit]:
    """One unit for each video at a path or below an address; whole names are kept.

    Raises:
        ConfigError: If there is no video.
    """
    if not is_url(place):
        root = Path(place)
        files = find_videos(root)
        names = [f.name if root.is_file() else f.relative_to(root).as_posix() for f in files]
        sources = [str(file) for file in files]
    else:
        system, path = file_system(place)
        root_path = path.rstrip("/")
        found = [path] if system.isfile(path) else sorted(system.find(path))
        found = [file for file in found if has_video_name(file)]
        sources = [system.unstrip_protocol(file) for file in found]
        names = [file.removeprefix(root_path).strip("/") or Path(file).name for file in found]
    if not names:
        raise ConfigError(f"{place}: holds no video file")
    return [
        Unit(name=name, source=source, target=target_of(out, name, suffix))
        for name, source in zip(names, sources, strict=True)
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalInput:
    """A unit's file on this machine, and what tells whether it has changed."""

    path: Path
    size_bytes: int
    time_ns: int | str


@contextlib.contextmanager
def local_input(source: str) -> Iterator[LocalInput]:
    """Give the local file of a source, fetched into a temporary folder where it lies elsewhere.

    Raises:
        DecodeError: If it is not there.
    """
    if not is_url(source):
        try:
            status = Path(source).stat()
        except OSError as error:
            raise DecodeError(f"{source}: {error.strerror}; check the path") from error
        yield LocalInput(path=Path(source), size_bytes=status.st_size, time_ns=status.st_mtime_ns)
        return
    size_bytes, changed = stamp(source)
    system, path = file_system(source)
    with tempfile.TemporaryDirectory(prefix="internvideo-") as folder:
        local = Path(folder) / Path(path).name
        system.get_file(path, str(local))
        yield LocalInput(path=local, size_bytes=size_bytes, time_ns=changed)


def stamp(source: str) -> tuple[int, int | str]:
    """Size of a file, and its time or what its store says instead of one.

    Raises:
        DecodeError: If it is not there.
    """
    if not is_url(source):
        status = Path(source).stat()
        return status.st_size, status.st_mtime_ns
    system, path = file_system(source)
    try:
        info = system.info(path)
    except FileNotFoundError as error:
        raise DecodeError(f"{source}: is not there; check the address") from error
    changed = next(
        (info[name] for name in ("ETag", "LastModified", "mtime", "created") if info.get(name)), ""
    )
    return int(info["size"]), str(changed)


@contextlib.contextmanager
def local_output(target: str) -> Iterator[Path]:
    """Give a local path for a target; files written beside it with its stem go along with it.

    Into an object store they are delivered when the block ends without an error, the largest first
    and each whole: what is there with its smallest, the description, is complete.
    """
    if not is_url(target):
        yield Path(target)
        return
    system, path = file_system(target)
    with tempfile.TemporaryDirectory(prefix="internvideo-") as folder:
        yield Path(folder) / Path(path).name
        parent = path.rsplit("/", 1)[0]
        written = sorted(Path(folder).iterdir(), key=lambda file: file.suffix == ".json")
        for file in written:
            system.pipe_file(f"{parent}/{file.name}", file.read_bytes())


def exists(place: str) -> bool:
    """Whether a file is there."""
    system, path = file_system(place)
    return bool(system.exists(path))


def write_whole(place: str | Path, data: bytes) -> None:
    """Write a file that is complete or absent."""
    system, path = file_system(place)
    if is_url(place):
        system.pipe_file(path, data)
        return
    beside = Path(f"{path}.{os.getpid()}.part")
    beside.parent.mkdir(parents=True, exist_ok=True)
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(place: str | Path, value: Any) -> None:
    """Write a JSON document that is complete or absent."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_whole(place, text.encode("utf-8", "backslashreplace"))
