"""Answering: a query's vector against an index, moments out.

Scores are exact for every window of every video that can be among the answers, so that order and
scores are those of a comparison with all vectors. The level of a query's background is its median
over the index (over at most 20,000 windows).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from internvideo.errors import ConfigError
from internvideo.search.calibration import (
    BANK,
    Background,
    Level,
    measure_examples,
    measure_texts,
    sampled_rows,
)
from internvideo.search.facts import IndexedVideo, WindowTable
from internvideo.search.index import Index
from internvideo.search.model import SearchModel, image_clip
from internvideo.search.moments import find_spans
from internvideo.search.query import Answer, Moment, Query, moment_id, parse_moment, without_same
from internvideo.search.stores import ExactStore, VectorStore
from internvideo.search.windows import cut_video
from internvideo.video import IMAGE_SUFFIXES, ImageFile, VideoReader

# Candidates: the windows that are asked of a store, for each moment wanted.
_WINDOWS_A_MOMENT = 64


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Asked:
    """A query as vectors."""

    vector: Float[np.ndarray, " e"]
    without: tuple[Float[np.ndarray, " e"], ...]
    background: Background
    left_out: tuple[int, float, float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Timeline:
    """The scores of one video's windows under a query, for drawing."""

    start_s: Float[np.ndarray, " n"]
    end_s: Float[np.ndarray, " n"]
    score: Float[np.ndarray, " n"]
    confidence: Float[np.ndarray, " n"]


class Searcher:
    """Searches one index; make a new one when `Index.revision` has grown.

    `open_model` is called once, when a query needs the model; moments of the index do not.
    """

    def __init__(
        self,
        index: Index,
        open_model: Callable[[], SearchModel],
        *,
        open_store: Callable[[Index], VectorStore] = ExactStore,
    ) -> None:
        self.index, self._open_model = index, open_model
        self.revision = index.revision
        self.windows: WindowTable = index.windows()
        self.store = open_store(index)
        self._model: SearchModel | None = None
        self._sampled: np.ndarray | None = None
        self._videos = index.videos()
        self._place_of = {video.id: place for place, video in enumerate(self._videos)}
        by_video = np.lexsort((self.windows.start_s, self.windows.video))
        numbers = self.windows.video[by_video]
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))
        parts = np.split(by_video, starts[1:]) if len(by_video) else []
        self._windows_of = {int(numbers[s]): part for s, part in zip(starts, parts, strict=True)}
        size = int(self.windows.row.max(initial=-1)) + 1
        self._window_at = np.full(size, -1)
        self._window_at[self.windows.row] = np.arange(len(self.windows))

    @property
    def model(self) -> SearchModel:
        if self._model is None:
            model = self._open_model()
            if model.sha256 != self.index.settings.model_sha256:
                raise ConfigError(
                    f"{self.index.folder}: was made with other weights than those of {model.name} "
                    f"({self.index.settings.model}); search with the same model, or index again"
                )
            self._model = model
        return self._model

    def search(self, query: Query) -> Answer:
        """Answer a query.

        Raises:
            ConfigError: It names what the index does not have, or the model is another one.
        """
        started_s = time.monotonic()
        if query.track is not None:
            return self._named(query, started_s)
        asked = self.ask(query)
        passed = query.filters.allow(self._videos)
        allowed = passed[[self._place_of[int(v)] for v in self.windows.video]]
        searched = int(allowed.sum())
        if not searched:
            return self._answer([], None, 0, started_s)
        level = self._level(asked)
        moments = self._moments(asked, query, level, allowed)
        folded = self._fold(moments, query)
        sure = [m for m in folded if m.confidence >= query.threshold][: query.limit]
        unsure = folded[0] if folded and not sure else None
        return self._answer(sure, unsure, searched, started_s)

    def ask(self, query: Query) -> Asked:
        """Embed a query."""
        without = tuple(self._texts(list(query.without))) if query.without else ()
        if query.text is not None:
            vector, background, left_out = (
                self._texts([query.text])[0],
                self._background("texts"),
                None,
            )
        elif query.like is not None:
            vector, left_out = self._of_moment(query.like)
            background = self._background("examples")
        else:
            assert query.example is not None
            vector, background, left_out = (
                self._of_file(query.example),
                self._background("examples"),
                None,
            )
        return Asked(vector=vector, without=without, background=background, left_out=left_out)

    def moments_of(self, query: Query, video: int) -> list[Moment]:
        """The moments of one video, however unsure, best first."""
        asked = self.ask(query)
        return self._in_video(asked, self._level(asked), video, query.per_video)

    def timeline(self, query: Query, video: int) -> Timeline:
        """The scores along one video."""
        asked = self.ask(query)
        places = self._places_of_video(video)
        level = self._level(asked)
        scores = self._scores(asked, level, self.windows.row[places])
        sure = [asked.background.confidence(level[0].deviations(float(s))) for s in scores]
        return Timeline(
            start_s=self.windows.start_s[places],
            end_s=self.windows.end_s[places],
            score=scores,
            confidence=np.array(sure),
        )

    def find_moment(self, text: str) -> tuple[IndexedVideo, float, float]:
        """The video and times of a moment's id or of FILE@START-END; `ConfigError` if unknown."""
        name, start_s, end_s = parse_moment(text)
        for video in self._videos:
            if video.path == name or (len(name) == 16 and video.sha256.startswith(name)):
                if start_s >= video.duration_s:
                    raise ConfigError(
                        f"{text}: {video.path} ends at {video.duration_s:.2f} s already"
                    )
                return video, start_s, min(end_s, video.duration_s)
        raise ConfigError(f"{text}: the index has no such video; paths are relative to its folder")

    def calibrate(self) -> None:
        """Measure the background (`calibration`) and keep it in the index; after every update."""
        if len(self.windows) < 2:
            return
        rows = self.windows.row
        texts = self.model.embed_texts(list(BANK)).numpy()
        found = {
            "texts": measure_texts(self.store, rows, texts),
            "examples": measure_examples(self.store, rows, self.windows.video),
        }
        with self.index.change():
            for name, one in found.items():
                self.index.set_meta(
                    f"background_{name}", {"location": one.location, "scale": one.scale}
                )
            self.index.set_meta("background_of_row", self.index.meta("next_row"))

    # Vectors of what is asked

    def _texts(self, sentences: Sequence[str]) -> Float[np.ndarray, "q e"]:
        return self.model.embed_texts(list(sentences)).numpy()

    def _of_file(self, path: Path) -> Float[np.ndarray, " e"]:
        model = self.model
        if path.suffix.lower() in IMAGE_SUFFIXES:
            with ImageFile(path) as image:
                frames = image.frames([0], short_side_px=model.short_side_px).frames
            clips = [model.prepare(image_clip(frames, model.num_frames))]
        else:
            with VideoReader(path) as video:
                cut = cut_video(
                    video,
                    self.index.settings.plan,
                    short_side_px=model.short_side_px,
                    single_frames=model.num_frames == 1,
                )
                clips = [model.prepare(window.spread(model.num_frames)) for window in cut]
        return _direction(model.embed(torch.stack(clips)).numpy())

    def _of_moment(self, text: str) -> tuple[Float[np.ndarray, " e"], tuple[int, float, float]]:
        video, start_s, end_s = self.find_moment(text)
        places = self._places_of_video(video.id)
        shared = np.minimum(self.windows.end_s[places], end_s) - np.maximum(
            self.windows.start_s[places], start_s
        )
        # A window that mostly shows something else would blur the answer.
        inside = places[shared >= 0.5 * shared.max()]
        vectors = self.store.vectors(self.windows.row[inside])
        return _direction(vectors), (video.id, start_s, end_s)

    def _background(self, name: str) -> Background:
        found = self.index.meta(f"background_{name}")
        return Background(**found) if found else Background(location=3.0, scale=0.5)

    def _places_of_video(self, video: int) -> np.ndarray:
        if video not in self._windows_of:
            raise ConfigError(f"{self.index.folder}: has no windows of video {video}")
        return self._windows_of[video]

    # Scores

    def _level(self, asked: Asked) -> tuple[Level, tuple[Level, ...]]:
        """Levels of the whole query and of each text to leave out."""
        if self._sampled is None:
            self._sampled = self.store.vectors(sampled_rows(self.windows.row))
        vectors = self._sampled
        without = tuple(Level.of(vectors @ one) for one in asked.without)
        scores = vectors @ asked.vector
        for one, level in zip(asked.without, without, strict=True):
            scores = scores - np.maximum(0.0, vectors @ one - level.median)
        return Level.of(scores), without

    def _scores(
        self, asked: Asked, level: tuple[Level, tuple[Level, ...]], rows: np.ndarray
    ) -> Float[np.ndarray, " n"]:
        """Cosines, less how far each text to leave out is above its median."""
        scores = self.store.scores(asked.vector, rows).astype(np.float64)
        for one, its in zip(asked.without, level[1], strict=True):
            scores -= np.maximum(0.0, self.store.scores(one, rows) - its.median)
        return scores

    def _candidates(self, asked: Asked, query: Query, allowed: np.ndarray) -> list[int]:
        """Videos that may hold an answer, by their best window."""
        mask = np.zeros(len(self._window_at), bool)
        mask[self.windows.row[allowed]] = True
        everything = None if allowed.all() else mask
        # Texts to leave out can bring down any number of the best, so all are looked at.
        count = len(mask) if asked.without else _WINDOWS_A_MOMENT * query.limit
        rows, _ = self.store.top(asked.vector, count, everything)
        return list(dict.fromkeys(self.windows.video[self._window_at[rows]].tolist()))

    def _moments(
        self,
        asked: Asked,
        query: Query,
        level: tuple[Level, tuple[Level, ...]],
        allowed: np.ndarray,
    ) -> list[Moment]:
        found = [
            moment
            for number in self._candidates(asked, query, allowed)
            for moment in self._in_video(asked, level, number, query.per_video)
        ]
        return sorted(found, key=lambda m: (-m.score, m.path, m.start_s))

    def _in_video(
        self, asked: Asked, level: tuple[Level, tuple[Level, ...]], number: int, most: int
    ) -> list[Moment]:
        places = self._places_of_video(number)
        scores = self._scores(asked, level, self.windows.row[places])
        video = self._videos[self._place_of[number]]
        spans = find_spans(
            self.windows.start_s[places],
            self.windows.end_s[places],
            self.windows.shot[places],
            scores,
            background=level[0].median,
            most=most,
        )
        return [
            Moment(
                id=moment_id(video.sha256, span.start_s, span.end_s),
                video=number,
                path=video.path,
                start_s=round(span.start_s, 3),
                end_s=round(span.end_s, 3),
                score=span.score,
                confidence=asked.background.confidence(level[0].deviations(span.score)),
                row=int(self.windows.row[places[span.peak]]),
            )
            for span in spans
            if not (asked.left_out and _overlaps(asked.left_out, number, span.start_s, span.end_s))
        ]

    def _fold(self, moments: Sequence[Moment], query: Query) -> list[Moment]:
        """Put near-duplicates behind the best of them, as far down as answers are wanted."""
        kept: list[Moment] = []
        same: list[list[Moment]] = []
        vectors = self.store.vectors(np.array([m.row for m in moments], dtype=np.int64))
        chosen: list[np.ndarray] = []
        for moment, vector in zip(moments, vectors, strict=True):
            like = np.array(chosen) @ vector if chosen else np.zeros(0)
            if len(like) and like.max() >= query.duplicates:
                same[int(like.argmax())].append(moment)
                continue
            if len(kept) == query.limit:
                break
            kept.append(moment)
            same.append([])
            chosen.append(vector)
        return [without_same(one, others) for one, others in zip(kept, same, strict=True)]

    def _named(self, query: Query, started_s: float) -> Answer:
        """Parts of videos whose name in a track holds the words."""
        tracks = self.index.tracks()
        if query.track not in tracks:
            raise ConfigError(
                f"{self.index.folder}: has no track {query.track!r}; "
                f"it has {', '.join(tracks) or 'none'}"
            )
        passed = query.filters.allow(self._videos)
        words = str(query.text).casefold()
        found, searched = [], 0
        for name in self.index.names(query.track):
            place = self._place_of[name.video]
            if not passed[place]:
                continue
            searched += 1
            if words not in name.name.casefold() or any(
                word.casefold() in name.name.casefold() for word in query.without
            ):
                continue
            found.append(self._of_name(self._videos[place], name))
        return self._answer(_joined(found)[: query.limit], None, searched, started_s)

    def _of_name(self, video: IndexedVideo, name) -> Moment:
        places = self._places_of_video(video.id)
        middle = (name.start_s + name.end_s) / 2
        centres = (self.windows.start_s[places] + self.windows.end_s[places]) / 2
        nearest = places[np.abs(centres - middle).argmin()]
        return Moment(
            id=moment_id(video.sha256, name.start_s, name.end_s),
            video=video.id,
            path=video.path,
            start_s=name.start_s,
            end_s=name.end_s,
            score=name.score,
            confidence=name.score,
            row=int(self.windows.row[nearest]),
            name=name.name,
        )

    def _answer(
        self, moments: Sequence[Moment], unsure: Moment | None, searched: int, started_s: float
    ) -> Answer:
        notes = []
        if self.index.settings.trained_on_generated:
            notes.append(
                f"{self.index.settings.model} was trained on generated videos; of real ones it "
                "knows nothing"
            )
        return Answer(
            moments=tuple(moments),
            best_unsure=unsure,
            num_searched=searched,
            notes=tuple(notes),
            elapsed_s=time.monotonic() - started_s,
        )


def _direction(vectors: Float[np.ndarray, "n e"]) -> Float[np.ndarray, " e"]:
    mean = vectors.mean(0, dtype=np.float64)
    return (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)


def _overlaps(
    left_out: tuple[int, float, float], video: int, start_s: float | int, end_s: float | int
) -> bool:
    """Whether a moment is mostly the one that was asked about."""
    if video != left_out[0]:
        return False
    shared = min(end_s, left_out[2]) - max(start_s, left_out[1])
    return shared > 0.5 * min(end_s - start_s, left_out[2] - left_out[1])


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
