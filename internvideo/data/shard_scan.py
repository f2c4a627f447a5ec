"""Tar shards without an index, such as those of other tools, are looked through once.

Source: the layout of WebDataset, github.com/webdataset/webdataset: files that follow one another
and share their name up to its first dot are one sample. Known parts of it are a video or picture,
`json` (with `caption`, `captions` or `text`, and `label`), `txt`, `text` or `caption` (a caption)
and `cls` (a label); only the last part of a suffix counts (`input.mp4`, `outputs.txt`).
Only headers and texts are read. Names are labels and never paths: nothing is unpacked.
"""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from internvideo.data.annotations import files
from internvideo.data.shard_index import Shard, ShardIndex, ShardSample
from internvideo.errors import AnnotationError
from internvideo.reading import parse_json
from internvideo.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES, storage
from internvideo.video.finding import is_mac_file

_log = logging.getLogger(__name__)

_VIDEOS = frozenset(suffix.lstrip(".") for suffix in VIDEO_SUFFIXES)
_PICTURES = frozenset(suffix.lstrip(".") for suffix in IMAGE_SUFFIXES)
_CAPTIONS = ("txt", "text", "caption")
_TEXTS = frozenset({"json", "cls", *_CAPTIONS})
_MOST_TEXT_BYTES = 16 << 20
# What stands before a member: long names and further facts about it.
_HEADERS = frozenset(
    (
        *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
        *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    )
)
_MOST_HEADER_BYTES = 1 << 20


@dataclass(slots=True)
class _Found:
    """A sample while its members are met, and the name of its label, if any."""

    key: str
    members: dict[str, tuple[int, int]] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    label: str = ""


class _Member(tarfile.TarInfo):
    """A member whose header is bounded; damage beyond that is told by `tarfile`."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        found = super().frombuf(buf, encoding, errors)
        if found.size < 0:
            raise ValueError(f"a member has {found.size} bytes")
        if found.type in _HEADERS and found.size > _MOST_HEADER_BYTES:
            raise ValueError(
                f"a header has {found.size} bytes, expected at most {_MOST_HEADER_BYTES}"
            )
        return found

    def _proc_gnusparse_10(self, *unused: object) -> None:
        raise ValueError("a member has holes")  # its map is read on beyond the end of the file


def media_suffix(members: dict[str, tuple[int, int]]) -> str | None:
    """Choose the member that is seen: a video before a picture."""
    for known in (_VIDEOS, _PICTURES):
        for suffix in members:
            if suffix.rsplit(".", 1)[-1].lower() in known:
                return suffix
    return None


def scan_shards(folder: str, names: Sequence[str]) -> ShardIndex:
    """Build the index of tar files by reading their headers and texts."""
    shards, labels, own_classes = [], [], {}
    for name in names:
        samples, found_labels = [], []
        size, all_found = _scan(folder, name)
        for found in all_found:
            records, classes = _records(f"{folder}/{name}", found)
            own_classes |= classes
            found_labels.append(found.label)
            samples.append(ShardSample(key=found.key, members=found.members, records=records))
        shards.append(Shard(name=name, size=size, samples=tuple(samples)))
        labels.append(found_labels)
    if own_classes:
        names_by_id = _numbered(folder, own_classes)
        count = 1 + max(names_by_id)
        classes = tuple(names_by_id.get(number, str(number)) for number in range(count))
        return ShardIndex(shards=tuple(shards), classes=classes)
    flat = [(0, label) for found_labels in labels for label in found_labels]
    classes, ids = files.resolve_labels(Path(folder), flat)
    numbers = iter(ids)
    return ShardIndex(
        shards=tuple(
            replace(shard, samples=tuple(_labelled(s, next(numbers)) for s in shard.samples))
            for shard in shards
        ),
        classes=classes,
    )


def says_the_same(shard: str, sample: ShardSample, classes: Sequence[str]) -> bool:
    """Whether the texts of a sample in its shard say what the index says of it.

    Raises:
        OSError: If they cannot be read.
    """
    found = _Found(sample.key, sample.members)
    for suffix, (start, size) in sample.members.items():
        kind = suffix.rpartition(".")[2].lower()
        if kind in _TEXTS and size <= _MOST_TEXT_BYTES:
            found.texts[kind] = storage.read_range(shard, start, size)
    if not found.texts:
        return True
    try:
        records, _ = _records(shard, found)
    except AnnotationError:
        return False
    if not found.label:
        return records == sample.records
    told = tuple({k: v for k, v in facts.items() if k != "labels"} for facts in sample.records)
    labels = [label for facts in sample.records for label in facts.get("labels", ())]
    return told == records and all(_names(found.label, label, classes) for label in labels)


def _names(text: str, label: int, classes: Sequence[str]) -> bool:
    is_id = text.isdecimal() and len(text) < 20 and int(text) == label
    return is_id or text in classes[label : label + 1]


def _numbered(folder: str, own_classes: dict[str, str]) -> dict[int, str]:
    """Read the class names that samples bring along, by their ids."""
    for number, name in own_classes.items():
        is_id = number.isdecimal() and len(number) < 20 and int(number) < files.MOST_CLASSES
        if not is_id or not isinstance(name, str):
            raise AnnotationError(
                f"{folder}: a sample says that class {number!r:.40} is {name!r:.40}; expected an "
                f"id below {files.MOST_CLASSES} and a name"
            )
    return {int(number): name for number, name in own_classes.items()}


def _labelled(sample: ShardSample, labels: tuple[int, ...]) -> ShardSample:
    if not labels:
        return sample
    return replace(sample, records=tuple({**facts, "labels": labels} for facts in sample.records))


def _scan(folder: str, name: str) -> tuple[int, list[_Found]]:
    """Find the samples of one tar and its size; a last one that is cut off is left out."""
    found: list[_Found] = []
    try:
        with storage.opened(f"{folder}/{name}") as file:
            size = file.seek(0, 2)
            file.seek(0)
            tar = tarfile.TarFile(fileobj=file, tarinfo=_Member)  # pyrefly: ignore[bad-argument-type]
            try:
                for key, suffix, info in _members(tar):
                    if not found or found[-1].key != key or suffix in found[-1].members:
                        found.append(_Found(key))
                    found[-1].members[suffix] = (info.offset_data, info.size)
                    kind = suffix.rpartition(".")[2].lower()
                    if kind in _TEXTS:
                        if info.size > _MOST_TEXT_BYTES:
                            raise ValueError(
                                f"the text {info.name!r:.80} has {info.size} bytes, expected at "
                                f"most {_MOST_TEXT_BYTES}"
                            )
                        found[-1].texts[kind] = tar.extractfile(info).read()
            except tarfile.ReadError:
                pass  # told below: no end mark follows
            file.seek(tar.offset)
            is_whole = file.read(tarfile.BLOCKSIZE) == tarfile.NUL * tarfile.BLOCKSIZE
    except tarfile.ReadError as error:
        raise AnnotationError(
            f"{folder}/{name}: is not a tar file that can be read in parts ({error}); unpack it if "
            "it is compressed"
        ) from None
    except RecursionError:
        raise AnnotationError(
            f"{folder}/{name}: cannot be read (header follows header without end)"
        ) from None
    except (OSError, ValueError, OverflowError) as error:
        raise AnnotationError(f"{folder}/{name}: cannot be read ({error})") from None
    if not is_whole and found:
        last = found.pop()
        _log.warning("%s/%s is cut off; left out its last sample, %s", folder, name, last.key)
    return size, _seen(f"{folder}/{name}", found)


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, str, tarfile.TarInfo]]:
    """Yield (key, suffix, header) of the files of a tar."""
    num_unnamed = 0
    for info in tar:
        if info.size < 0:  # as a header before it said
            raise ValueError(f"the member {info.name!r:.80} has {info.size} bytes")
        if not storage.is_text(info.name):
            num_unnamed += 1
            if num_unnamed == 1:
                _log.warning(
                    "%s: left out what has a name that is not UTF-8, such as %s",
                    *(tar.name or "a shard", storage.escaped(info.name)),
                )
            continue
        if is_mac_file(info.name):
            continue
        folder, _, base = info.name.rpartition("/")
        stem, _, suffix = base.partition(".")
        if info.isreg() and not info.issparse() and stem and suffix:
            yield f"{folder}/{stem}" if folder else stem, suffix, info


def _seen(shard: str, found: Sequence[_Found]) -> list[_Found]:
    """Keep the samples that hold something to see; say what is odd about the others."""
    seen = [sample for sample in found if media_suffix(sample.members)]
    if len(seen) < len(found):
        first = next(sample.key for sample in found if not media_suffix(sample.members))
        _log.warning(
            "%s: %d of %d samples hold neither video nor picture, such as %s",
            shard,
            len(found) - len(seen),
            len(found),
            first,
        )
    repeated = len(seen) - len({sample.key for sample in seen})
    if repeated:
        _log.warning("%s: %d samples have the key of another; all are kept", shard, repeated)
    return seen


def _records(shard: str, found: _Found) -> tuple[tuple[dict[str, Any], ...], dict[str, str]]:
    """Read what the texts of a sample say: the facts of its records, and names of classes."""
    try:
        said = parse_json(found.texts.get("json", b"{}"))
        text = next((found.texts[kind] for kind in _CAPTIONS if kind in found.texts), b"")
        text = text.decode().strip()
        found.label = found.texts.get("cls", b"").decode().strip()
    except ValueError as error:
        raise AnnotationError(
            f"{shard}: the texts of {found.key} cannot be read ({error})"
        ) from None
    if not isinstance(said, dict):
        said = {}
    if isinstance(said.get("records"), list):  # written by us
        found.label = ""
        classes = said.get("classes", {})
        is_right = isinstance(classes, dict) and all(isinstance(r, dict) for r in said["records"])
        if not is_right:
            raise AnnotationError(f"{shard}: records or classes of {found.key} are no objects")
        return tuple(said["records"]), classes
    found.label = found.label or str(said.get("label", ""))
    captions = next(
        (said[name] for name in ("captions", "caption", "text") if said.get(name)), text
    )
    captions = [captions] if isinstance(captions, str) else captions
    if not (isinstance(captions, list) and all(isinstance(c, str) for c in captions)):
        raise AnnotationError(f"{shard}: the captions of {found.key} are no texts")
    return ({"captions": [caption for caption in captions if caption]},), {}
