"""What a prediction is about: one video, with texts or a question."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from internvideo.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class VideoRequest:
    """A video; raises `ConfigError` where it is missing, or is a folder and a task takes none."""

    takes_folders: ClassVar[bool] = False

    video: Path
    """A video or image."""

    def __post_init__(self) -> None:
        if not self.video.exists():
            raise ConfigError(f"{self.video}: no such file or folder")
        if self.video.is_dir() and not self.takes_folders:
            raise ConfigError(f"{self.video} is a folder; this task takes one video")


@dataclass(frozen=True, kw_only=True)
class RankingRequest(VideoRequest):
    """A video, and how many of the ranked answers are shown."""

    top: int = 5
    """How many answers to show."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top < 1:
            raise ConfigError(f"top is {self.top}, which shows nothing; give 1 or more")


@dataclass(frozen=True, kw_only=True)
class TextRequest(RankingRequest):
    """A video, and texts to match it with."""

    text: tuple[str, ...] = ()
    """A class name, sentence or option to choose from; give it once for each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.text:
            raise ConfigError("this task chooses among texts; give them with --text, one each")
        if not all(text.strip() for text in self.text):
            raise ConfigError("one --text is empty; give it words or leave it out")
