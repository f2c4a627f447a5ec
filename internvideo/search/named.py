"""Searching what tracks say: parts of videos whose name holds the words of a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from internvideo.errors import ConfigError
from internvideo.search.facts import IndexedVideo, Name, WindowTable
from internvideo.search.index import Index
from internvideo.search.query import Moment, Query, moment_id


def find_named(
    index: Index, windows: WindowTable, places: Mapping[int, np.ndarray], query: Query
) -> tuple[list[Moment], int]:
    """Moments that a track names so, best first, and how many names were looked at.

    `places` are those of `WindowTable.places_by_video`.

    Raises:
        ConfigError: The index has no such track.
    """
    tracks = index.tracks()
    if query.track not in tracks:
        raise ConfigError(
            f"{index.folder}: has no track {query.track!r}; it has {', '.join(tracks) or 'none'}"
        )
    videos = index.videos()
    allowed = query.filters.allow(videos)
    passed = {video.id: video for video, is_in in zip(videos, allowed, strict=True) if is_in}
    wanted = str(query.text).casefold()
    unwanted = [words.casefold() for words in query.without]
    names = [name for name in index.names(query.track) if name.video in passed]
    found = [
        _moment(passed[name.video], name, windows, places[name.video])
        for name in names
        if wanted in (said := name.name.casefold()) and not any(w in said for w in unwanted)
    ]
    return _joined(found), len(names)


def _moment(video: IndexedVideo, name: Name, windows: WindowTable, places: np.ndarray) -> Moment:
    middle = (name.start_s + name.end_s) / 2
    centres = (windows.start_s[places] + windows.end_s[places]) / 2
    return Moment(
        id=moment_id(video.sha256, name.start_s, name.end_s),
        video=video.id,
        path=video.path,
        start_s=name.start_s,
        end_s=name.end_s,
        score=name.score,
        confidence=name.score,
        row=int(windows.row[places[np.abs(centres - middle).argmin()]]),
        name=name.name,
    )


def _joined(moments: Sequence[Moment]) -> list[Moment]:
    """Neighbouring parts of one name become one moment, with the best score of them."""
    joined: list[Moment] = []
    for moment in sorted(moments, key=lambda m: (m.path, m.name or "", m.start_s)):
        last = joined[-1] if joined else None
        if (
            last is not None
            and (last.video, last.name) == (moment.video, moment.name)
            and moment.start_s <= last.end_s + 1e-6
        ):
            better = max(last, moment, key=lambda m: m.score)
            end_s = max(last.end_s, moment.end_s)
            joined[-1] = replace(
                better,
                id=f"{last.id.partition('@')[0]}@{last.start_s:.2f}-{end_s:.2f}",
                start_s=last.start_s,
                end_s=end_s,
            )
        else:
            joined.append(moment)
    return sorted(joined, key=lambda m: (-m.score, m.path, m.start_s))
