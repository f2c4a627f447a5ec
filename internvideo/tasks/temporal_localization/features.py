"""Features of annotated videos: which files they are in, and what they must have been made with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from internvideo.data import described
from internvideo.data.feature_sequences import (
    FeatureSequence,
    FeatureSource,
    ReleasedFeatures,
    read_extracted,
    read_released,
)
from internvideo.errors import ConfigError, DecodeError
from internvideo.values import Record
from internvideo.video import VIDEO_SUFFIXES

_SUFFIXES = (".safetensors", ".npy")


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSets:
    """One or several feature sets of the same videos, joined on channels.

    `extracted` are folders that `internvideo extract` wrote; `released` are those of others, where
    with `resized_to_first` each set is stretched to the length of the first.
    """

    extracted: tuple[str, ...] = ()
    released: tuple[ReleasedFeatures, ...] = ()
    resized_to_first: bool = False

    def __post_init__(self) -> None:
        if self.extracted and self.released:
            raise ConfigError(
                "features are either extracted or released; extract with all encoders, or leave "
                "one of features.extracted and features.released empty"
            )

    def in_folders(self, folders: Sequence[str]) -> FeatureSets:
        """The same sets in other folders, or where they were without any.

        Raises:
            ConfigError: If there is not one folder for each set.
        """
        if not folders:
            return self
        expected = len(self.released) or len(self.extracted) or len(folders)
        if len(folders) != expected:
            raise ConfigError(
                f"{len(folders)} folders of features for a detector of {expected} feature sets; "
                "give --features once for each"
            )
        if self.released:
            moved = zip(self.released, folders, strict=True)
            return replace(
                self, released=tuple(replace(one, folder=Path(folder)) for one, folder in moved)
            )
        return replace(self, extracted=tuple(folders))

    def below(self, root: str | None) -> FeatureSets:
        """The same sets; relative folders that are not here are looked for in `root`."""
        folders = self.extracted or [str(one.folder) for one in self.released]
        found = [
            str(Path(root) / folder)
            if root and not Path(folder).is_dir() and (Path(root) / folder).is_dir()
            else folder
            for folder in folders
        ]
        return self.in_folders(found)


class FeatureReader:
    """Finds and reads the features of records.

    Args:
        sets: What to read.
        expected: What each extracted set must have been made with; what the first file was made
            with where it is empty.
    """

    def __init__(self, sets: FeatureSets, *, expected: Sequence[FeatureSource] = ()) -> None:
        if not sets.extracted and not sets.released:
            raise ConfigError(
                "no features are named; give the folder that `internvideo extract` wrote "
                "(--features, stage.features.extracted)"
            )
        self.sets, self.sources = sets, tuple(expected)
        for folder in sets.extracted or [str(one.folder) for one in sets.released]:
            if not Path(folder).is_dir():
                raise ConfigError(
                    f"{folder}: there is no such folder of features; write it with `internvideo "
                    f"extract VIDEOS --model ENCODER --out {folder}`"
                )

    def paths(self, record: Record) -> list[Path]:
        """Where the features of a record are, one file for each set.

        Raises:
            DecodeError: If a file is missing, or several have the name of the video.
        """
        if self.sets.released:
            paths = [one.path(video_id(record)) for one in self.sets.released]
        else:
            paths = [self._find(place, record) for place in range(len(self.sets.extracted))]
        for path in paths:
            if not path.is_file():
                raise DecodeError(f"{path}: there are no features of {record.video.name}")
        return paths

    def read(self, record: Record) -> FeatureSequence:
        """Read the features of a video with its annotated segments.

        Raises:
            DecodeError: If a file is missing, damaged or not finite, or two do not agree.
            ConfigError: If a file was made with another model or other windows than expected.
        """
        paths = self.paths(record)
        if self.sets.released:
            if record.duration_s is None:
                raise ConfigError(
                    f"{record.video}: its annotation has no duration, which released features "
                    "need; add it (a column duration_s in a csv)"
                )
            return read_released(
                self.sets.released,
                video_id(record),
                duration_s=record.duration_s,
                rate_fps=record.rate_fps,
                segments=record.segments,
                resized_to_first=self.sets.resized_to_first,
            )
        sequence, sources = read_extracted(
            paths, segments=record.segments, expected=self.sources or None
        )
        self.sources = self.sources or sources
        return sequence

    def check(self, record: Record) -> None:
        """Find the files of a record and compare what they were made with, without their arrays."""
        for place, path in enumerate(self.paths(record)):
            document = described(path) if self.sets.extracted else None
            if self.sources and document is not None:
                FeatureSource.of_document(path, document).check(path, self.sources[place])

    def encoders(self, record: Record) -> tuple[str, ...]:
        """Names of the models that extracted the features of a record."""
        if self.sets.released:
            return ()
        documents = [described(path) or {} for path in self.paths(record)]
        return tuple(str(document.get("model_name", "")) for document in documents)

    def _find(self, place: int, record: Record) -> Path:
        folder, name = Path(self.sets.extracted[place]), record.video.name
        index = self._files[place]
        found = index.get(name) or index.get(video_id(record)) or []
        if not found:
            raise DecodeError(f"{folder}: holds no features of {name}; extract the video")
        if len(found) == 1:
            return found[0]
        # Sub-folders are those of the videos: the file whose folders fit for longest is meant.
        parents = record.video.parent.parts[::-1]
        fits = [_num_equal(parents, path.parent.parts[::-1]) for path in found]
        if fits.count(max(fits)) > 1:
            raise DecodeError(
                f"{folder}: {len(found)} files have the name of {name}, such as {found[0]} and "
                f"{found[1]}; keep one format and give videos different names"
            )
        return found[fits.index(max(fits))]

    @cached_property
    def _files(self) -> list[dict[str, list[Path]]]:
        """For each set its files by the whole name of their video, and by that without suffix."""
        indices = []
        for folder in self.sets.extracted:
            index: dict[str, list[Path]] = {}
            for path in sorted(Path(folder).rglob("*")):
                if path.suffix in _SUFFIXES:
                    for name in {path.stem, _without_suffix(path.stem)}:
                        index.setdefault(name, []).append(path)
            indices.append(index)
        return indices


def video_id(record: Record) -> str:
    """Name of a video without the suffix of its file."""
    return _without_suffix(record.video.name)


def _without_suffix(name: str) -> str:
    path = Path(name)
    return path.stem if path.suffix.lower() in VIDEO_SUFFIXES else name


def _num_equal(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts agree from the start on."""
    for count, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return count
    return min(len(one), len(other))
