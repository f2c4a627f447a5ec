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

    @property
    def written(self) -> tuple[Path, ...]:
        """Files that answering writes, besides what is printed."""
        return ()


@dataclass(frozen=True, kw_only=True)
class VideoRequest(TaskRequest):
    """A video, or a folder of them; raises `ConfigError` where it is missing."""

    takes_folders: ClassVar[bool] = False

    video: Path
    """A video or image, or a folder of them."""
    more: tuple[Path, ...] = ()
    """Further videos, images or folders."""

    def __post_init__(self) -> None:
        for path in (self.video, *self.more):
            if not path.exists():
                raise ConfigError(f"{path}: no such file or folder")

    def each(self) -> list[VideoRequest]:
        """The request for every video named or below a folder; a task may take folders whole."""
        if not self.more and (not self.video.is_dir() or self.takes_folders):
            return [self]
        named = (self.video, *self.more)
        found = [video for path in named for video in self._videos_at(path)]
        return [replace(self, video=video, more=()) for video in found]

    def _videos_at(self, path: Path) -> list[Path]:
        if not path.is_dir() or self.takes_folders:
            return [path]
        found = find_videos(path)
        if not found:
            raise ConfigError(f"{path}: holds no video file")
        return list(found)

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
