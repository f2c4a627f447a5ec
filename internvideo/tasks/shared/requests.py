"""What a prediction is about: one video, with texts or a question; an episode."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from internvideo.errors import ConfigError
from internvideo.video import find_videos


@dataclass(frozen=True, kw_only=True)
class TaskRequest:
    """What a task is asked about."""

    def to_json(self) -> dict[str, Any]:
        """What an answer in JSON says of its question."""
        return {}

    def each(self) -> list[Any]:
        """The requests that it stands for."""
        return [self]


@dataclass(frozen=True, kw_only=True)
class VideoRequest(TaskRequest):
    """A video, or a folder of them; raises `ConfigError` where it is missing."""

    takes_folders: ClassVar[bool] = False

    video: Path
    """A video or image, or a folder of them."""

    def __post_init__(self) -> None:
        if not self.video.exists():
            raise ConfigError(f"{self.video}: no such file or folder")

    def each(self) -> list[VideoRequest]:
        """The request for every video below a folder; a task that searches one takes it whole."""
        if not self.video.is_dir() or self.takes_folders:
            return [self]
        found = find_videos(self.video)
        if not found:
            raise ConfigError(f"{self.video}: holds no video file")
        return [replace(self, video=video) for video in found]

    def to_json(self) -> dict[str, Any]:
        return {"video": str(self.video)}


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
