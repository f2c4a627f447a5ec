"""Checks a folder of episodes to walk, which hold no videos, against the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from internvideo.data.catalogue.entry import DataSet
from internvideo.data.catalogue.expectation import check_files, expectation_of, wrong_counts
from internvideo.data.catalogue.report import CheckReport, Problem
from internvideo.errors import AnnotationError, ConfigError
from internvideo.values import Annotations


class Episode(Protocol):
    """An episode to walk, as far as it is checked."""

    @property
    def scene(self) -> str: ...


def check_episodes(
    entry: DataSet, root: str | Path, read: Callable[[Path], Sequence[Episode]]
) -> CheckReport:
    """Compare a folder of episodes, which hold no videos, with what the catalogue says of it.

    Args:
        entry: The row of the catalogue.
        root: Folder that `entry.source` lies below.
        read: Reads the file of a split; raises `AnnotationError` where it cannot.

    Raises:
        ConfigError: There is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise ConfigError(f"{root}: there is no such folder")
    expected = expectation_of(entry, root)
    problems = check_files(entry, root, expected)
    scenes: dict[str, set[str]] = {}
    counts = {}
    for split in entry.splits:
        path = root / entry.source.replace("{split}", split)
        episodes: Sequence[Episode] = ()
        if path.is_file():
            try:
                episodes = read(path)
            except AnnotationError as error:
                problems.append(Problem(kind="unreadable", where=str(path), what=str(error)))
        counts[split] = len(episodes)
        scenes[split] = {one.scene for one in episodes}
    problems += wrong_counts(counts, expected, entry.what)
    if both := sorted(scenes.get("train", set()) & scenes.get("val_unseen", set())):
        told = f"is in train and val_unseen, and so are {len(both) - 1} other scenes"
        problems.append(Problem(kind="in two splits", where=both[0], what=told))
    return CheckReport(
        name=entry.name,
        problems=tuple(problems),
        counts=counts,
        expected={name: split.count for name, split in expected.splits.items()},
        num_decoded=0,
        usable=Annotations(records=()),
        is_stand_in=expected.is_stand_in,
    )
