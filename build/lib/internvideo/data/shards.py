"""Videos in tar shards become records, each one range read away from its bytes.

A set is a folder, or an address such as `s3://bucket/set`, of tar files in the layout of
WebDataset (`KEY.json`, `KEY.mp4`, then the next key) beside an index. Samples are found by the
index, never by reading a shard from its start, so any order costs the same and a run goes on from
its step number alone.
Differs from the webdataset library: reads single samples and not streams, resumes exactly.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from internvideo.data.shard_index import INDEX_NAME, Shard, ShardIndex, parse_index
from internvideo.data.shard_scan import media_suffix, scan_shards
from internvideo.errors import AnnotationError
from internvideo.values import Annotations, Member, Record
from internvideo.video import storage

_log = logging.getLogger(__name__)


def read_shards(
    path: str | Path, *, root: str | Path | None = None, index: str | Path | None = None
) -> Annotations:
    """Read the records of a set of shards; without an index its tar files are looked through.

    Args:
        path: Folder or address of the set, or one of its tar files.
        root: Not used: the videos lie in the shards.
        index: The index, where it lies elsewhere.

    Raises:
        AnnotationError: If there is no shard, or the index is of other shards.
    """
    folder, only = _split(str(path))
    sizes = _sizes(folder)
    if index is None and INDEX_NAME not in sizes:
        found = scan_shards(folder, _tars(folder, sizes, only))
        _log.info(
            "%s has no %s; looked through %d shards. To be quicker next time: internvideo data "
            "shards --index",
            folder,
            INDEX_NAME,
            len(found.shards),
        )
    else:
        file = f"{folder}/{INDEX_NAME}" if index is None else str(index)
        found = _read_index(file)
        _compare(file, found.shards, sizes)
    shards = [shard for shard in found.shards if only in (None, shard.name)]
    records = tuple(record for shard in shards for record in _records(folder, shard))
    if not records:
        raise AnnotationError(f"{path}: holds no sample with a video or picture")
    return Annotations(records=records, classes=found.classes)


def index_shards(path: str | Path, index: str | Path | None = None) -> ShardIndex:
    """Look through tar files and write their index, beside them or to a local file `index`."""
    folder, only = _split(str(path))
    if index is None and storage.is_url(folder):
        raise AnnotationError(f"{folder}: is not a local folder; name a local file for the index")
    found = scan_shards(folder, _tars(folder, _sizes(folder), only))
    replace_file(Path(index or f"{folder}/{INDEX_NAME}"), found.text())
    return found


def replace_file(path: Path, text: str) -> None:
    """Write a text; the old file stays whole until the new one is."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf-8", newline="")
    beside.replace(path)


def _split(path: str) -> tuple[str, str | None]:
    """Tell the folder and, where the path is one tar file, its name."""
    if not path.endswith(".tar"):
        return path.rstrip("/"), None
    folder, _, name = path.rpartition("/")
    return folder or ".", name


def _sizes(folder: str) -> dict[str, int]:
    try:
        return storage.sizes(folder)
    except FileNotFoundError:
        raise AnnotationError(f"{folder}: there is no such folder of shards") from None
    except OSError as error:
        raise AnnotationError(f"{folder}: cannot be listed ({error}); expected shards") from None


def _tars(folder: str, sizes: dict[str, int], only: str | None) -> list[str]:
    names = sorted(name for name in sizes if name.endswith(".tar") and only in (None, name))
    if not names:
        raise AnnotationError(f"{folder}: holds no {only or 'file NAME.tar'}; expected shards")
    return names


def _read_index(file: str) -> ShardIndex:
    try:
        with storage.opened(file) as raw:
            text = io.TextIOWrapper(raw, encoding="utf-8")
            return parse_index(file, text)
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{file}: is not UTF-8 ({error.reason}); get it again") from None
    except OSError as error:
        raise AnnotationError(f"{file}: cannot be read ({error})") from None


def _compare(file: str, shards: Sequence[Shard], sizes: dict[str, int]) -> None:
    """Refuse an index of other shards; say how many samples are missing of cut ones."""
    missing = total = 0
    short = []
    for shard in shards:
        size = sizes.get(shard.name, 0)
        if size > shard.size:
            raise AnnotationError(
                f"{file}: {shard.name} has {size} bytes and should have {shard.size}; it is the "
                "index of other shards, write it again with `internvideo data shards --index`"
            )
        total += len(shard.samples)
        if size < shard.size:
            short.append(shard.name)
            ends = (max(start + size for start, size in s.members.values()) for s in shard.samples)
            missing += sum(end > size for end in ends)
    if short:
        _log.warning(
            "%d of %d shards are cut off or missing, such as %s; %d of %d samples lie in what is "
            "not there and count as broken",
            len(short),
            len(shards),
            short[0],
            missing,
            total,
        )


def _records(folder: str, shard: Shard) -> Iterator[Record]:
    file = f"{folder}/{shard.name}"
    for sample in shard.samples:
        suffix = media_suffix(sample.members)
        if suffix is None:
            continue
        start, size = sample.members[suffix]
        place = {
            "video": Path(file) / _harmless(f"{sample.key}.{suffix}"),
            "member": Member(shard=file, start=start, size=size),
        }
        for facts in sample.records:
            try:
                yield _RECORD.validate_python({**facts, **place})
            except ValidationError as error:
                problem = error.errors()[0]
                where = ".".join(map(str, problem["loc"]))
                raise AnnotationError(
                    f"{place['video']}: {where} of its annotations is wrong: {problem['msg']}"
                ) from None


def _harmless(name: str) -> str:
    """Keep the name of a member from leading out of its shard, should anyone take it as a path."""
    return "/".join(part for part in name.split("/") if part not in ("", ".."))


_RECORD = TypeAdapter(Record)
