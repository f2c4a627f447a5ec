"""Answering: a query's vector against an index, moments out.

Scores are exact for every window of every video that can be among the answers, so that order and
scores are those of a comparison with all vectors. The level of a query's background is its median
over the index (over at most 20,000 windows).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
from jaxtyping import Float

from internvideo.errors import CheckpointError, ConfigError
from internvideo.search.asking import Asked, direction, vector_of_file
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
from internvideo.search.model import SearchModel
from internvideo.search.moments import find_spans
from internvideo.search.named import find_named
from internvideo.search.query import Answer, Moment, Query, moment_id, parse_moment, without_same
from internvideo.search.stores import ExactStore, VectorStore

# Windows that a store is asked for at first, for each moment wanted.
_WINDOWS_AT_FIRST = 64
# By which two computations of one cosine may differ.
_ROUNDING = 1e-5


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
        if not self._place_of.keys() >= set(self.windows.video.tolist()):
            raise CheckpointError(
                f"{index.folder}: has windows of videos that it does not list; it was changed just "
                "now, or is damaged: search again, or remove the folder and index again"
            )
        self._windows_of = self.windows.places_by_video()
        numbers = np.array([video.id for video in self._videos], dtype=np.int64)
        by_number = np.argsort(numbers)
        self._video_places = by_number[
            np.searchsorted(numbers, self.windows.video, sorter=by_number)
        ]
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
            named, searched = find_named(self.index, self.windows, self._windows_of, query)
            return self._answer(named[: query.limit], None, searched, started_s)
        asked = self.ask(query)
        allowed = query.filters.allow(self._videos)[self._video_places]
        searched = int(allowed.sum())
        if not searched:
            return self._answer([], None, 0, started_s)
        level = self._level(asked)
        folded = self._fold(self._moments(asked, query, level, allowed), query)
        sure = [m for m in folded if m.confidence >= query.threshold][: query.limit]
        unsure = folded[0] if folded and not sure else None
        return self._answer(sure, unsure, searched, started_s)

    def ask(self, query: Query) -> Asked:
        """Embed a query."""
        left_out = None
        if query.text is not None:
            vector = self._texts([query.text])[0]
        elif query.like is not None:
            vector, left_out = self._of_moment(query.like)
        else:
            assert query.example is not None
            vector = vector_of_file(query.example, self.model, self.index.settings.plan)
        return Asked(
            vector=vector,
            without=tuple(self._texts(query.without)) if query.without else (),
            background=self._background("examples" if query.text is None else "texts"),
            left_out=left_out,
        )

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

    def _of_moment(self, text: str) -> tuple[Float[np.ndarray, " e"], tuple[int, float, float]]:
        video, start_s, end_s = self.find_moment(text)
        places = self._places_of_video(video.id)
        shared = np.minimum(self.windows.end_s[places], end_s) - np.maximum(
            self.windows.start_s[places], start_s
        )
        # A window that mostly shows something else would blur the answer.
        inside = places[shared >= 0.5 * shared.max()]
        vectors = self.store.vectors(self.windows.row[inside])
        return direction(vectors), (video.id, start_s, end_s)

    def _background(self, name: str) -> Background:
        found = self.index.meta(f"background_{name}")
        with self.index.reading():
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

    def _by_best_window(
        self, asked: Asked, query: Query, allowed: np.ndarray
    ) -> Iterator[tuple[int, float]]:
        """Videos by the cosine of their best window, as far down as anybody asks."""
        mask = None
        if not allowed.all():
            mask = np.zeros(len(self._window_at), bool)
            mask[self.windows.row[allowed]] = True
        told: set[int] = set()
        count = _WINDOWS_AT_FIRST * query.limit
        while True:
            rows, cosines = self.store.top(asked.vector, count, mask)
            videos = self.windows.video[self._window_at[rows]]
            for number, cosine in zip(videos.tolist(), cosines.tolist(), strict=True):
                if number not in told:
                    told.add(number)
                    yield number, cosine
            if len(rows) < count:
                return
            count *= 4

    def _moments(
        self,
        asked: Asked,
        query: Query,
        level: tuple[Level, tuple[Level, ...]],
        allowed: np.ndarray,
    ) -> Iterator[Moment]:
        """All moments, best first; a video is looked into when its best window can be next."""
        waiting: list[tuple[float, str, float, Moment]] = []
        for number, cosine in self._by_best_window(asked, query, allowed):
            # No moment scores above the best window of its video.
            while waiting and -waiting[0][0] > cosine + _ROUNDING:
                yield heappop(waiting)[-1]
            for one in self._in_video(asked, level, number, query.per_video):
                heappush(waiting, (-one.score, one.path, one.start_s, one))
        while waiting:
            yield heappop(waiting)[-1]

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
            if not asked.is_about(number, span.start_s, span.end_s)
        ]

    def _fold(self, moments: Iterator[Moment], query: Query) -> list[Moment]:
        """Put near-duplicates behind the best of them, as far down as answers are wanted."""
        kept: list[Moment] = []
        same: list[list[Moment]] = []
        chosen: list[np.ndarray] = []
        for moment in moments:
            vector = self.store.vectors(np.array([moment.row], dtype=np.int64))[0]
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
