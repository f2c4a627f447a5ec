"""What is asked of an index, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from internvideo.errors import ConfigError
from internvideo.search.facts import IndexedVideo


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """Which videos are searched; what is None does not count.

    `folder` is relative to the indexed one; lengths are those of videos, in seconds; `after` and
    `before` are days, as 2026-11-30, of the last change of the file.
    """

    folder: str | None = None
    longer_than_s: float | int | None = None
    shorter_than_s: float | int | None = None
    after: str | None = None
    before: str | None = None

    def __post_init__(self) -> None:
        for day in (self.after, self.before):
            if day is not None:
                _day_ns(day)

    def allow(self, videos: Sequence[IndexedVideo]) -> Bool[np.ndarray, " v"]:
        """Which of these videos pass."""
        folder = (self.folder or "").strip("/")
        after = -(2**63) if self.after is None else _day_ns(self.after)
        before = 2**63 if self.before is None else _day_ns(self.before)
        longer = -1.0 if self.longer_than_s is None else self.longer_than_s
        shorter = float("inf") if self.shorter_than_s is None else self.shorter_than_s
        return np.array(
            [
                (folder in ("", ".") or video.path.startswith(f"{folder}/"))
                and longer < video.duration_s < shorter
                and after <= video.time_ns < before
                for video in videos
            ],
            dtype=bool,
        )


def _day_ns(day: str) -> int:
    try:
        at = datetime.fromisoformat(day)
    except ValueError as error:
        raise ConfigError(f"{day!r} is no day; write it as 2026-11-30") from error
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e9)


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """A question: exactly one of `text`, `example` (a picture or clip) and `like` (a moment).

    `like` is the id of a moment or FILE@START-END, FILE relative to the indexed folder. `without`
    are words for what should not be there. With `track`, `text` is looked for among the names of
    that track. `least_confidence` is by default 0.8 for words, and 0, which shows whatever is
    nearest, for examples and moments; `duplicates` is the cosine from which two moments count as
    one, above 1 for none.
    """

    text: str | None = None
    example: Path | None = None
    like: str | None = None
    without: tuple[str, ...] = ()
    track: str | None = None
    filters: Filters = Filters()
    limit: int = 10
    per_video: int = 3
    least_confidence: float | int | None = None
    duplicates: float | int = 0.98

    def __post_init__(self) -> None:
        asked = [x for x in (self.text, self.example, self.like) if x is not None]
        if len(asked) != 1:
            raise ConfigError(
                "ask one thing: words, a picture or clip, or a moment of the index; "
                f"{len(asked) or 'none'} of them is given"
            )
        if self.text is not None and not self.text.strip():
            raise ConfigError("the text to search for is empty; give it words")
        if any(not words.strip() for words in self.without):
            raise ConfigError("one of the texts to leave out is empty; give it words")
        if min(self.limit, self.per_video) < 1:
            raise ConfigError(f"limit {self.limit} and per_video {self.per_video} must be positive")
        if self.least_confidence is not None and not 0 <= self.least_confidence <= 1:
            raise ConfigError(f"least_confidence is {self.least_confidence}; it lies in 0..1")
        if self.track is not None and self.text is None:
            raise ConfigError("names of a track are searched by words; give a text")

    @property
    def threshold(self) -> float:
        """Least confidence of an answer."""
        if self.least_confidence is not None:
            return float(self.least_confidence)
        return 0.0 if self.text is None else 0.8


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """A part of a video that answers a query.

    `id` names it in later queries and stays the same when the file is renamed. `score` is the
    cosine of its best window with the query, less what `without` takes; `confidence` the share of
    unrelated questions that this index answers with a lower score (see `calibration`).
    `row` is that of its best window, of which the index has a thumbnail; `same` are near-duplicates
    that were folded into it.
    """

    id: str
    video: int
    path: str
    start_s: float
    end_s: float
    score: float
    confidence: float
    row: int
    name: str | None = None
    same: tuple[Moment, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Moments, best first; where none is sure enough, `best_unsure` tells what was nearest."""

    moments: tuple[Moment, ...]
    best_unsure: Moment | None
    num_searched: int
    notes: tuple[str, ...]
    elapsed_s: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def moment_id(sha256: str, start_s: float | int, end_s: float | int) -> str:
    """Name a moment by the content of its video and its times."""
    return f"{sha256[:16]}@{start_s:.2f}-{end_s:.2f}"


def parse_moment(text: str) -> tuple[str, float, float]:
    """Split FILE@START-END or an id; times are seconds, or minutes and hours before colons.

    Raises:
        ConfigError: If it is neither.
    """
    name, at, times = text.rpartition("@")
    start, dash, end = times.partition("-")
    try:
        start_s, end_s = _seconds(start), _seconds(end)
    except ValueError:
        start_s = end_s = -1.0
    if not (name and at and dash) or not 0 <= start_s < end_s:
        raise ConfigError(
            f"{text!r} is no moment; give an id as search prints it, or FILE@START-END in seconds "
            "or as 1:05-1:10"
        )
    return name, start_s, end_s


def _seconds(text: str) -> float:
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def without_same(moment: Moment, same: Sequence[Moment]) -> Moment:
    """The moment with these folded into it."""
    return replace(moment, same=tuple(same))
