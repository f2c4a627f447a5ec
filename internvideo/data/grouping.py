"""Clips of one recording, person or scene look alike: no split should divide them.

Groups come from a column of a csv, from a pattern for the paths of videos, or from the names
that data sets give their files: UCF101 (`v_JumpRope_g04_c02.avi`, clip 2 of group 4) and Kinetics
(an id and its span, `abcdefghijk_000010_000020.mp4`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from internvideo.data.annotations import files
from internvideo.errors import ConfigError
from internvideo.values import Annotations, Record

_PUBLISHED = (re.compile(r"(.+_g\d+)_c\d+"), re.compile(r"(.{11})_\d{6}_\d{6}"))


def grouped(
    annotations: Annotations,
    groups: str | None,
    *,
    source: Path,
    root: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Annotations:
    """Give every record its group.

    Args:
        annotations: As read from `source`.
        groups: A column of the csv `source`; a pattern with parentheses around what names the group
            in a path; "none"; or None, for published names where all files have them.
        source: The annotations' file or folder.
        root: What paths of the csv are relative to; default its folder.
        columns: Other names of its columns, of which "path" is used.

    Raises:
        ConfigError: There is no such column, the pattern is none, or a path does not match it.
    """
    if groups == "none":
        return annotations
    if groups is None:
        of = _published(annotations)
    elif "(" in groups:
        of = _matching(groups)
    else:
        of = _in_column(source, groups, root, dict(columns or {}).get("path", "path"))
    records = tuple(replace(record, group=of(record)) for record in annotations.records)
    return replace(annotations, records=records)


def _published(annotations: Annotations) -> Callable[[Record], str | None]:
    for pattern in _PUBLISHED:
        found = [pattern.fullmatch(record.video.stem) for record in annotations.records]
        if all(found):
            return lambda record: pattern.sub(r"\1", record.video.stem)
    return lambda record: None


def _matching(groups: str) -> Callable[[Record], str]:
    try:
        pattern = re.compile(groups)
    except re.error as error:
        raise ConfigError(f"--groups {groups}: is no regular expression ({error})") from None
    if not pattern.groups:
        raise ConfigError(f"--groups {groups}: put parentheses around what names the group")

    def of(record: Record) -> str:
        found = pattern.search(record.video.as_posix())
        if found is None:
            raise ConfigError(f"--groups {groups}: does not match {record.video}")
        return "/".join(part or "" for part in found.groups())

    return of


def _in_column(
    source: Path, column: str, root: str | None, path_column: str
) -> Callable[[Record], str | None]:
    if source.suffix.lower() != ".csv":
        raise ConfigError(
            f"--groups {column}: {source} has no columns; give a pattern for paths instead, with "
            "parentheses around what names the group"
        )
    rows = files.csv_rows(source)
    _, header = next(rows)
    for name in (column, path_column):
        if name not in header:
            raise ConfigError(
                f"--groups: {source} has no column {name!r}, but {', '.join(header)}"
                f"{files.nearest(name, header)}"
            )
    home = source.parent if root is None else Path(root)
    path_at, group_at = header.index(path_column), header.index(column)
    found = {
        files.local_video(source, line, home, row[path_at]): row[group_at] for line, row in rows
    }
    return lambda record: found.get(record.video) or None
