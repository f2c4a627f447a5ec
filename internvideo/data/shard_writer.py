"""Records of any reader become a set of tar shards with an index; `shards.py` reads them.

A file that several records are about is stored once. Same annotations, same bytes: headers hold no
times or owners, keys are numbers, names of files are kept relative to the folder they share.
Every shard is written beside its name and renamed, then noted in a journal, which becomes the index
at the end; so a writer that was cut off goes on behind the last whole shard.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import IO

from internvideo.data.shard_index import (
    INDEX_NAME,
    Shard,
    ShardIndex,
    ShardSample,
    facts_of,
    parse_index,
    shard_line,
)
from internvideo.data.shard_scan import media_suffix
from internvideo.data.stateless_rng import permutation
from internvideo.errors import AnnotationError, ConfigError, DecodeError
from internvideo.processes import sole_use
from internvideo.values import Annotations, Member, Record
from internvideo.video import open_video, storage
from internvideo.video.container import check_is_file
from internvideo.writing import naming

_END = tarfile.NUL * (2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardSummary:
    """What a set holds; `left_out` are videos that cannot be opened, with reasons."""

    num_shards: int
    num_samples: int
    num_records: int
    num_bytes: int
    left_out: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return (
            f"{self.num_shards} shards, {self.num_bytes / 1e6:.1f} MB: {self.num_samples} videos "
            f"or pictures, {self.num_records} records; {len(self.left_out)} left out"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    """A file to store; `source` is its name below the folder that all files share."""

    source: str
    records: tuple[Record, ...]


def write_shards(
    annotations: Annotations,
    out: str | Path,
    *,
    max_shard_mb: int = 256,
    seed: int | None = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> ShardSummary:
    """Write records with their videos or pictures as shards, or go on where this was cut off.

    Args:
        annotations: What any reader gives; folders of frames cannot be stored.
        out: A new folder, or the one of an interrupted or finished call with the same arguments.
        max_shard_mb: Most millions of bytes of a shard, unless one file alone is larger.
        seed: Of the order of files, so that a shard is a fair sample; None keeps their order.
        on_progress: Called with how many files are done and how many there are.

    Raises:
        ConfigError: If `out` holds another set, or another process writes to it.
    """
    if max_shard_mb < 1:
        raise ConfigError(f"max_shard_mb is {max_shard_mb}, expected 1 or more")
    items = _items(annotations.records, seed)
    begun = ShardIndex(
        classes=annotations.classes, origin=_origin(items, annotations.classes, max_shard_mb, seed)
    )
    out = Path(out)
    with sole_use(out), naming(out):
        return _write(items, begun, out, max_shard_mb, on_progress)


def _write(
    items: Sequence[_Item],
    begun: ShardIndex,
    out: Path,
    max_shard_mb: int,
    on_progress: Callable[[int, int], None] | None,
) -> ShardSummary:
    journal = out / f"{INDEX_NAME}.part"
    shards = _earlier(out, journal, begun)
    with journal.open("w", encoding="utf-8", newline="") as lines:
        lines.write(begun.head() + "".join(map(shard_line, shards)))
        lines.flush()
        position = sum(_num_done(shard) for shard in shards)
        while position < len(items):
            path = out / f"shard-{len(shards):06}.tar"
            shards.append(_write_shard(path, items, position, max_shard_mb * 10**6, begun.classes))
            lines.write(shard_line(shards[-1]))
            lines.flush()
            position += _num_done(shards[-1])
            if on_progress is not None:
                on_progress(position, len(items))
        lines.write(ShardIndex(shards=tuple(shards)).end())
    left_out = tuple(entry for shard in shards for entry in shard.left_out)
    if len(left_out) == len(items):
        raise AnnotationError(f"none of {len(items)} files can be stored; {left_out[0][1]}")
    journal.replace(out / INDEX_NAME)
    return ShardSummary(
        num_shards=len(shards),
        num_samples=sum(len(shard.samples) for shard in shards),
        num_records=sum(len(s.records) for shard in shards for s in shard.samples),
        num_bytes=sum(shard.size for shard in shards),
        left_out=left_out,
    )


def _num_done(shard: Shard) -> int:
    return len(shard.samples) + len(shard.left_out)


def _items(records: Sequence[Record], seed: int | None) -> list[_Item]:
    about: dict[tuple[Path, Member | None], list[Record]] = {}
    for record in records:
        if record.frame_template is not None:
            raise ConfigError(
                f"{record.video}: is a folder of frames; shards hold files, so encode it first"
            )
        about.setdefault((record.video, record.member), []).append(record)
    if not about:
        raise ConfigError("no records to write")
    home = os.path.commonpath([video.absolute().parent for video, _ in about])
    items = [
        _Item(source=os.path.relpath(video, home).replace(os.sep, "/"), records=tuple(records))
        for (video, _), records in about.items()
    ]
    return items if seed is None else [items[place] for place in permutation(seed, 0, len(items))]


def _origin(items: Sequence[_Item], classes: tuple[str, ...], *options: int | None) -> str:
    digest = hashlib.sha256(json.dumps([classes, options], ensure_ascii=False).encode())
    for item in items:
        said = [item.source, [facts_of(record) for record in item.records]]
        digest.update(json.dumps(said, ensure_ascii=False).encode())
    return digest.hexdigest()


def _earlier(out: Path, journal: Path, begun: ShardIndex) -> list[Shard]:
    """Find the whole shards of an earlier call; its annotations must have been the same."""
    finished = out / INDEX_NAME
    file = finished if finished.exists() else journal
    if not file.exists():
        if any(out.glob("*.tar")):
            raise ConfigError(f"{out}: holds tar files of another origin; choose another folder")
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        found = parse_index(file, lines, may_be_cut=file == journal)
    if found.shards and found.origin != begun.origin:
        raise ConfigError(
            f"{out}: holds shards of other annotations, or of another size or order; choose "
            "another folder, or delete this one"
        )
    sizes = storage.sizes(str(out))
    return list(takewhile(lambda shard: sizes.get(shard.name) == shard.size, found.shards))


def _write_shard(
    path: Path, items: Sequence[_Item], first: int, max_bytes: int, classes: tuple[str, ...]
) -> Shard:
    """Write items from `first` on until the shard is full."""
    samples, left_out = [], []
    beside = path.with_name(f".{path.name}.part")
    with beside.open("wb") as file:
        tar = _Tar(file)
        for number in range(first, len(items)):
            item = items[number]
            video, member = item.records[0].video, item.records[0].member
            if samples and tar.size + _size(video, member) > max_bytes:
                break
            try:
                data = _contents(video, member)
            except DecodeError as error:
                left_out.append((item.source, str(error)))
                continue
            key, suffix = f"{number:08}", video.suffix.lstrip(".").lower()
            # A name that says nothing does no harm: what the bytes are is found out from them.
            suffix = suffix if media_suffix({suffix: (0, 0)}) else "mp4"
            contents = {"json": _told(item, classes), suffix: data}
            members = {name: tar.add(f"{key}.{name}", what) for name, what in contents.items()}
            facts = tuple(facts_of(record) for record in item.records)
            samples.append(ShardSample(key=key, members=members, records=facts))
        tar.write(_END)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    return Shard(
        name=path.name,
        size=tar.size,
        samples=tuple(samples),
        sha256=tar.sha256.hexdigest(),
        left_out=tuple(left_out),
    )


class _Tar:
    """Appends members and keeps the hash and the size of all that was written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = 0
        self.sha256 = hashlib.sha256()

    def add(self, name: str, data: bytes) -> tuple[int, int]:
        """Write a file; return where its bytes start and how many they are."""
        header = tarfile.TarInfo(name)
        header.size = len(data)
        self.write(header.tobuf(tarfile.USTAR_FORMAT))
        start = self.size
        self.write(data)
        self.write(tarfile.NUL * (-len(data) % tarfile.BLOCKSIZE))
        return start, len(data)

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.sha256.update(data)
        self.size += len(data)


def _size(video: Path, member: Member | None) -> int:
    if member is not None:
        return member.size
    return video.stat().st_size if video.exists() else 0


def _contents(video: Path, member: Member | None) -> bytes:
    """Read a file and see that it can be opened as a video or picture."""
    if member is None:
        check_is_file(video)
    try:
        data = video.read_bytes() if member is None else storage.read_member(member, video)
    except OSError as error:
        raise DecodeError(f"{video}: cannot be read ({error.strerror}); check the path") from error
    with open_video(video, data=data) as opened:
        opened.info  # noqa: B018 - reads the first frame, or the head of a picture
    return data


def _told(item: _Item, classes: tuple[str, ...]) -> bytes:
    """Say in a sample's `json` what the index says, and what other readers of shards look for."""
    first = item.records[0]
    facts = [facts_of(record) for record in item.records]
    told = {
        "source": item.source,
        **({"caption": first.captions[0]} if first.captions else {}),
        **({"label": classes[first.labels[0]]} if first.labels and classes else {}),
        "records": facts,
        "classes": {str(number): classes[number] for number in _labels(item) if classes},
    }
    return json.dumps(told, ensure_ascii=False).encode()


def _labels(item: _Item) -> list[int]:
    found = {
        label
        for record in item.records
        for part in (record, *record.boxes)
        for label in part.labels
    }
    segments = (s.label for record in item.records for s in record.segments)
    return sorted(found | {label for label in segments if label is not None})
