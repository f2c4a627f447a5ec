"""What a task is evaluated on: annotations in a file, of the split for testing."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any

from internvideo.data import VideoData
from internvideo.errors import ConfigError, unknown_name
from internvideo.values import Annotations

_log = logging.getLogger(__name__)

# Share of the videos without which there is no score unless it is asked for.
MOST_MISSING = 0.5


@dataclass(frozen=True, kw_only=True)
class EvaluationSource(ABC):
    """Options that say what a task is evaluated on."""

    @abstractmethod
    def read(self) -> Any:
        """Read what the task's `evaluate` takes."""


@dataclass(frozen=True, kw_only=True)
class EvaluationData(EvaluationSource):
    """Annotations to evaluate on; a task that needs further data adds options and reads them."""

    data: str
    """Annotation file or folder, looked for below --root first."""
    format: str = "manifest"
    """Its format; `internvideo list formats` names all."""
    root: str | None = None
    """Folder that the paths of videos start from; default that of the annotations."""
    columns: dict[str, str] = field(default_factory=dict)
    """Other names of a manifest's columns, as in: --columns path file label class."""
    label_separator: str = ""
    """What stands between the labels of a manifest's video that has several, such as "|"."""
    split: str | None = None
    """Only the records of this split; default "test" where the file names one, else all."""
    only_existing: bool = False
    """Leave out records whose video is not there, as of a part of a data set."""

    def read(self) -> Any:
        """Read what the task's `evaluate` takes; here the annotations.

        Raises:
            AnnotationError: The file cannot be read.
            ConfigError: It has no such split.
        """
        return self.annotations(self.data, split=self.split)

    def annotations(
        self, source: str, *, split: str | None = None, usual_split: str = "test"
    ) -> Annotations:
        """Read annotations of this format: of the split named, else of the usual one, else all."""
        return self.selected(self.read_all(source), source, split=split, usual_split=usual_split)

    def read_all(self, source: str) -> Annotations:
        """Read annotations of this format, of all splits."""
        options = {"label_separator": self.label_separator} if self.label_separator else {}
        return VideoData(
            source=source,
            format=self.format,
            root=self.root,
            columns=self.columns,
            options=options,
        ).read()

    def selected(
        self, read: Annotations, source: str, *, split: str | None, usual_split: str = "test"
    ) -> Annotations:
        """Keep the split named, else the usual one, else all."""
        splits = sorted({record.split for record in read.records if record.split})
        split = split or (usual_split if usual_split in splits else None)
        if split is not None and split not in splits:
            raise unknown_name(f"split of {source}", split, splits or ["(none)"])
        return self._found(source, read if split is None else read.of_split(split))

    def _found(self, source: str, annotations: Annotations) -> Annotations:
        """Say which videos are not there; a score on a small part of them is no score."""
        records = annotations.records
        is_there = {r.video: r.member is not None or r.video.exists() for r in records}
        missing = [str(video) for video, there in is_there.items() if not there]
        if not missing:
            return annotations
        said = (
            f"{source}: {len(missing)} of {len(is_there)} videos are not there, such as "
            f"{', '.join(missing[:3])}"
        )
        if self.only_existing:
            kept = tuple(record for record in records if is_there[record.video])
            if not kept:
                raise ConfigError(f"{said}; give their folder with --root")
            _log.warning("%s; the score is of the others alone", said)
            return replace(annotations, records=kept)
        if len(missing) > MOST_MISSING * len(is_there):
            raise ConfigError(
                f"{said}; give their folder with --root, or score those that are there with "
                "--only-existing"
            )
        _log.warning("%s; they count as failed", said)
        return annotations
