"""What a task is evaluated on: annotations in a file, of the split for testing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from internvideo.data import VideoData
from internvideo.errors import unknown_name
from internvideo.values import Annotations


@dataclass(frozen=True, kw_only=True)
class EvaluationData:
    """Annotations to evaluate on; a task that needs further data adds options and reads them."""

    data: str
    """Annotation file or folder, looked for below --root first."""
    format: str = "manifest"
    """Its format; `internvideo list formats` names all."""
    root: str | None = None
    """Folder that the paths of videos start from; default that of the annotations."""
    columns: dict[str, str] = field(default_factory=dict)
    """Other names of a manifest's columns, as in: --columns path file label class."""
    split: str | None = None
    """Only the records of this split; default "test" where the file names one, else all."""

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
        return VideoData(
            source=source, format=self.format, root=self.root, columns=self.columns
        ).read()

    def selected(
        self, read: Annotations, source: str, *, split: str | None, usual_split: str = "test"
    ) -> Annotations:
        """Keep the split named, else the usual one, else all."""
        splits = sorted({record.split for record in read.records if record.split})
        split = split or (usual_split if usual_split in splits else None)
        if split is None:
            return read
        if split not in splits:
            raise unknown_name(f"split of {source}", split, splits or ["(none)"])
        return read.of_split(split)
