"""What is expected of a folder of a data set: the table's facts, or those of a stand-in.

A stand-in says in `stand_in.json` what is expected of it, in place of the table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from internvideo.data.catalogue.entry import DataSet, Split
from internvideo.data.catalogue.report import Problem
from internvideo.errors import ConfigError
from internvideo.reading import read_json_document

STAND_IN_FILE = "stand_in.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectation:
    """What is expected of a folder: counts by split, hashes of files, classes in order."""

    splits: Mapping[str, Split]
    hashes: Mapping[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    num_classes: int | None = None
    is_stand_in: bool = False


def expectation_of(entry: DataSet, root: Path) -> Expectation:
    path = root / STAND_IN_FILE
    if not path.exists():
        hashes = {file.pattern: file.sha256 for file in entry.files if file.sha256}
        return Expectation(splits=entry.splits, hashes=hashes, num_classes=entry.num_classes)
    try:
        told = read_json_document(path)
        expected = Expectation(
            splits={name: Split(count=int(count)) for name, count in told["splits"].items()},
            hashes={str(name): str(value) for name, value in told["sha256"].items()},
            classes=tuple(map(str, told["classes"])),
            num_classes=len(told["classes"]) or None,
            is_stand_in=True,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: is no description of a stand-in ({error})") from error
    if told.get("data_set") != entry.name:
        raise ConfigError(f"{root}: is a stand-in for {told.get('data_set')}, not {entry.name}")
    return expected


def check_files(entry: DataSet, root: Path, expected: Expectation) -> list[Problem]:
    problems = []
    for file in entry.files:
        known = [name for name in expected.hashes if fnmatch(name, file.pattern)]
        lacking = [name for name in known if not (root / name).is_file()] if known else []
        if not known and file.required and not any(root.glob(file.pattern)):
            lacking = [file.pattern]
        problems += [
            Problem(kind="missing file", where=str(root / name), what=file.what) for name in lacking
        ]
    for name, sha256 in expected.hashes.items():
        path = root / name
        if path.is_file() and (found := sha256_of(path)) != sha256:
            what = f"sha256 is {found[:12]}..., expected {sha256[:12]}..."
            problems.append(Problem(kind="other hash", where=str(path), what=what))
    return problems


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wrong_counts(counts: Mapping[str, int], expected: Expectation, what: str) -> Iterable[Problem]:
    for name, split in expected.splits.items():
        count = counts.get(name, 0)
        near = abs(count - split.count) <= 0.05 * split.count
        if count == 0:
            yield Problem(kind="empty split", where=name, what=f"expected {split.count} {what}")
        elif count != split.count and (split.is_exact or not near):
            told = f"{count} {what}, expected {'' if split.is_exact else 'about '}{split.count}"
            yield Problem(kind="other count", where=name, what=told)
