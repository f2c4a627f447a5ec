"""The index of a set of tar shards: where every sample lies and what its annotations say.

One JSON object a line: a head with the class names, a line for each shard, an end with the number
of samples, by which a cut-off index is known. Lines without the end are the journal of a writer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from internvideo.errors import AnnotationError
from internvideo.reading import parse_json
from internvideo.values import Record

INDEX_NAME = "index.jsonl"
FORMAT = "internvideo shards 1"
# Where the bytes are is the business of the shard, and frames in folders are not stored in shards.
_PLACE = {"video", "member", "first_frame", "num_frames", "frame_template", "line"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardSample:
    """A video or picture with the records that are about it, as `facts_of` gives them.

    `members` maps the suffix of each of its files to their (start, size) in bytes.
    """

    key: str
    members: dict[str, tuple[int, int]]
    records: tuple[dict[str, Any], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One tar file; `left_out` are the videos, with reasons, that a writer passed on its way."""

    name: str
    size: int
    samples: tuple[ShardSample, ...]
    sha256: str | None = None
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardIndex:
    """All shards of a set; `origin` is a hash of the annotations that it was written from."""

    shards: tuple[Shard, ...] = ()
    classes: tuple[str, ...] = ()
    origin: str | None = None

    @property
    def num_samples(self) -> int:
        return sum(len(shard.samples) for shard in self.shards)

    def head(self) -> str:
        """Give the first line."""
        return _line({"format": FORMAT, "classes": self.classes, "origin": self.origin})

    def end(self) -> str:
        """Give the last line."""
        return _line({"num_samples": self.num_samples})

    def text(self) -> str:
        """Give the whole file."""
        return self.head() + "".join(map(shard_line, self.shards)) + self.end()


def shard_line(shard: Shard) -> str:
    """Give the line of one shard."""
    return _line(asdict(shard))


def facts_of(record: Record) -> dict[str, Any]:
    """Give what a record says about its video, without what it does not say."""
    said = asdict(record).items()
    return {name: value for name, value in said if name not in _PLACE and value not in (None, ())}


def parse_index(file: str | Path, lines: Iterable[str], *, may_be_cut: bool = False) -> ShardIndex:
    """Read an index; with `may_be_cut` only as far as it was written.

    Raises:
        AnnotationError: If it is cut off or something else; the message names the line.
    """
    head, shards, num_samples = None, [], None
    for number, line in enumerate(lines, 1):
        if may_be_cut and not line.endswith("\n"):
            break
        try:
            entry = parse_json(line)
            if head is None:
                head = entry
                if head["format"] != FORMAT:
                    raise ValueError(f"format {head['format']!r}, expected {FORMAT!r}")
                _CLASSES.validate_python(head.get("classes", []))
            elif "num_samples" in entry:
                num_samples = int(entry["num_samples"])
            else:
                shards.append(_SHARD.validate_python(entry))
                _check_places(shards[-1])
        except (ValueError, KeyError, TypeError) as error:
            problem = f"misses {error}" if isinstance(error, KeyError) else _first(error)
            raise AnnotationError(
                f"{file}, line {number}: is no line of an index of shards ({problem}); write it "
                "again with `internvideo data shards --index`"
            ) from None
    head = head or {}
    index = ShardIndex(
        shards=tuple(shards), classes=tuple(head.get("classes", ())), origin=head.get("origin")
    )
    if num_samples != index.num_samples and not may_be_cut:
        raise AnnotationError(
            f"{file}: tells of {index.num_samples} samples, its end of {num_samples or 'none'}; it "
            "is cut off, get it again"
        )
    return index


def _check_places(shard: Shard) -> None:
    """Refuse a shard outside the folder of its index, and bytes outside their shard."""
    if "/" in shard.name or "\\" in shard.name or shard.name in ("", ".", ".."):
        raise ValueError(f"name {shard.name!r:.80} leads out of the folder of the index")
    for sample in shard.samples:
        for start, size in sample.members.values():
            if start < 0 or size < 0 or start + size > shard.size:
                raise ValueError(
                    f"{sample.key!r:.80} lies at bytes {start} to {start + size} of {shard.size}"
                )


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n"


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        found = error.errors()[0]
        return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"
    return str(error)


_SHARD = TypeAdapter(Shard)
# A text is no list of names, though it is one of letters.
_CLASSES = TypeAdapter(list[str])
