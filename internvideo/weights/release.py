"""What is known of a published file of weights; registry.py lists them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """One published file, or a folder of the hub (then `file` is None).

    It lies in a repository of the Hugging Face hub (`repo`), at an address (`url`), or is given to
    those who ask for it (`page`). `num_frames` and `side_px` are of the clips that it was trained
    on; `result` is what its authors report.
    """

    family: str
    size: str
    task: Literal[
        "pretraining", "recognition", "video-text", "image-text", "retrieval", "question-answering"
    ]
    repo: str | None = None
    file: str | None = None
    url: str | None = None
    page: str | None = None
    labels: str | None = None
    num_frames: int | None = None
    side_px: int | None = None
    sampling: Literal["dense", "segments"] | None = None
    num_bytes: int | None = None
    sha256: str | None = None
    license: str | None = None
    result: str | None = None

    @property
    def source(self) -> str:
        """Where a person finds it."""
        if self.repo is not None:
            where = f"https://huggingface.co/{self.repo}"
            return where if self.file is None else f"{where}/resolve/main/{self.file}"
        return self.url or f"{self.file}, on request: {self.page}"

    @property
    def file_name(self) -> str:
        """What it is called when it has been downloaded."""
        return (self.file or self.url or str(self.repo)).rsplit("/", 1)[-1]
