"""Videos in tar shards become records, each one range read away from its bytes.

A set is a folder, or an address such as `s3://bucket/set`, of tar files in the layout of
WebDataset (`KEY.json`, `KEY.mp4`, then the next key) beside an index. Samples are found by the
index, never by reading a shard from its start, so any order costs the same and a run goes on from
its step number alone.
Differs from the webdataset library: reads single samples and not streams, resumes exactly.
"""

from __future__ import annotations

import fnmatch
import io
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from internvideo.data.annotations import files
from internvideo.data.shard_index import FORMAT, INDEX_NAME, Shard, ShardIndex, parse_index
from internvideo.data.shard_scan import media_suffix, says_the_same, scan_shards
from internvideo.errors import AnnotationError
from internvideo.reading import parse_json, why_no_file
from internvideo.values import Annotations, Member, Record
from internvideo.video import storage
from internvideo.writing import replace_text

_log = logging.getLogger(__name__)

_GLOB = re.compile(r"[*?\[]")
_MOST_SHARDS = 1_000_000
_MOST_COMPARED = 32


@files.reader
def read_shards(
    path: str | Path, *, root: str | Path | None = None, index: str | Path | None = None
) -> Annotations:
    """Read the records of a set of shards; without an index its tar files are looked through.

    Args:
        path: Folder or address of the set, or one of its tar files, or a pattern of their names
            such as `train-{000000..000012}.tar` or `*.tar`.
        root: Not used: the videos lie in the shards.
        index: The index, where it lies elsewhere.

    Raises:
        AnnotationError: If there is no shard, or the index is of other shards.
    """
    folder, only = _split(str(path))
    sizes = _sizes(folder)
    has_index = index is not None or INDEX_NAME in sizes
    if not has_index:
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
    shards = [shard for shard in found.shards if _is_meant(shard.name, only)]
    records = tuple(
        record for shard in shards for record in _records(folder, shard, len(found.classes))
    )
    if not records:
        raise AnnotationError(f"{path}: holds no sample with a video or picture")
    if has_index and not storage.is_url(folder):
        _compare_texts(folder, shards, sizes, found.classes)
    return Annotations(records=records, classes=found.classes)


def index_shards(path: str | Path, index: str | Path | None = None) -> ShardIndex:
    """Look through tar files and write their index, beside them or to a local file `index`."""
    folder, only = _split(str(path))
    place = index_place(path, index)
    if place is None:
        raise AnnotationError(f"{folder}: is not a local folder; name a local file for the index")
    found = scan_shards(folder, _tars(folder, _sizes(folder), only))
    replace_text(place, found.text())
    return found


def index_place(path: str | Path, index: str | Path | None = None) -> Path | None:
    """Where the index of tar files is written; None where that needs to be said."""
    folder, _ = _split(str(path))
    if index is None and storage.is_url(folder):
        return None
    return Path(index or f"{folder}/{INDEX_NAME}")


def is_index(path: Path) -> bool:
    """Whether a file begins like an index of shards."""
    if why_no_file(path) is not None:
        return False
    try:
        with path.open(encoding="utf-8") as file:
            return parse_json(file.readline(1 << 20)).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return False


def _split(path: str) -> tuple[str, tuple[str, ...]]:
    """Tell the folder and, where the path is a tar file or a pattern of such, the names meant."""
    if not path.endswith(".tar"):
        return path.rstrip("/"), ("*",)
    # Braces may hold a slash of no folder only: `{a,b}.tar`, `{000..007}.tar`.
    folder, _, name = path.rpartition("/")
    return folder or ".", tuple(_braces(name))


def _braces(pattern: str) -> list[str]:
    """Spell out `{000..002}` and `{a,b}` of a name, as shells and WebDataset do."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if found is None:
        return [pattern]
    before, after = pattern[: found.start()], _braces(pattern[found.end() :])
    ends = re.fullmatch(r"(\d+)\.\.(\d+)", found[1])
    if ends is None:
        middle = found[1].split(",")
    else:
        first, last = int(ends[1]), int(ends[2])
        if not 0 <= last - first < _MOST_SHARDS:
            raise AnnotationError(f"{pattern}: {found[0]} names no or too many shards")
        middle = [f"{number:0{len(ends[1])}}" for number in range(first, last + 1)]
    if len(middle) * len(after) > _MOST_SHARDS:
        raise AnnotationError(f"{pattern}: names more than {_MOST_SHARDS} shards")
    return [before + one + rest for one in middle for rest in after]


def _is_meant(name: str, patterns: tuple[str, ...]) -> bool:
    # A name in brackets is also itself.
    return name in patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _sizes(folder: str) -> dict[str, int]:
    try:
        return storage.sizes(folder)
    except FileNotFoundError:
        raise AnnotationError(f"{folder}: there is no such folder of shards") from None
    except OSError as error:
        raise AnnotationError(f"{folder}: cannot be listed ({error}); expected shards") from None


def _tars(folder: str, sizes: dict[str, int], only: tuple[str, ...]) -> list[str]:
    names = sorted(name for name in sizes if name.endswith(".tar") and _is_meant(name, only))
    if not names:
        wanted = "file NAME.tar" if only == ("*",) else " or ".join(only[:3])
        raise AnnotationError(f"{folder}: holds no {wanted}; expected shards")
    missing = [name for name in only if not _GLOB.search(name) and name not in sizes]
    if missing:
        _log.warning("%s: %d shards are missing, such as %s", folder, len(missing), missing[0])
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


def _compare_texts(
    folder: str, shards: Sequence[Shard], sizes: dict[str, int], classes: Sequence[str]
) -> None:
    """Refuse an index that says other things than its shards: of some, the first and last sample.

    Shards packed anew may have the sizes and names of the old ones.
    """
    whole = [s for s in shards if s.samples and sizes.get(s.name) == s.size]
    for shard in whole[:: 1 + len(whole) // _MOST_COMPARED]:
        file = f"{folder}/{shard.name}"
        for sample in {s.key: s for s in (shard.samples[0], shard.samples[-1])}.values():
            try:
                is_same = says_the_same(file, sample, classes)
            except OSError as error:
                raise AnnotationError(f"{file}: cannot be read ({error})") from None
            if not is_same:
                raise AnnotationError(
                    f"{file}: says other things of {sample.key} than the index; the shards were "
                    "written anew, write the index again with `internvideo data shards --index`"
                )


def _records(folder: str, shard: Shard, num_classes: int) -> Iterator[Record]:
    file = f"{folder}/{shard.name}"
    for sample in shard.samples:
        suffix = media_suffix(sample.members)
        if suffix is None:
            continue
        start, size = sample.members[suffix]
        place = {
            "video": Path(file) / storage.harmless_name(f"{sample.key}.{suffix}"),
            "member": Member(shard=file, start=start, size=size),
        }
        for facts in sample.records:
            try:
                record = _RECORD.validate_python({**facts, **place})
            except ValidationError as error:
                problem = error.errors()[0]
                where = ".".join(map(str, problem["loc"]))
                raise AnnotationError(
                    f"{place['video']}: {where} of its annotations is wrong: {problem['msg']}"
                ) from None
            _check_labels(record, num_classes)
            yield record


def _check_labels(record: Record, num_classes: int) -> None:
    """Refuse a label that names no class; without class names, one that no head has room for."""
    segments = (s.label for s in record.segments if s.label is not None)
    boxes = (label for box in record.boxes for label in box.labels)
    count = num_classes or files.MOST_CLASSES
    for label in (*record.labels, *segments, *boxes):
        if not 0 <= label < count:
            known = f"0 to {count - 1}, as the set has {count} classes"
            raise AnnotationError(
                f"{record.video}: label {label} is outside {known}; write the index again"
            )


_RECORD = TypeAdapter(Record)
