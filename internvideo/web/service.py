"""What is asked of a served index, whoever asks: one thread owns it, so that answers never mix.

Videos are named by their numbers in the index, never by paths. When the index has grown on disk,
as under `internvideo index --watch`, the next question sees it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from internvideo.errors import ConfigError
from internvideo.search import Answer, Index, IndexedVideo, Query, Searcher, SearchModel
from internvideo.search.clips import CutClip, cut_clip

Result = TypeVar("Result")

LONGEST_CLIP_S = 600.0


class IndexService:
    """One index, opened for questions; close it in the end."""

    def __init__(self, folder: str | Path, open_model: Callable[[str], SearchModel]) -> None:
        self.folder = Path(folder)
        self._open_model = open_model
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="index")
        self._index: Index | None = None
        self._searcher: Searcher | None = None
        self._model: SearchModel | None = None
        self._clips = tempfile.TemporaryDirectory(prefix="internvideo-clips-")
        self._in_thread(self._current)  # fails here where there is no index

    def close(self) -> None:
        """Close the index and remove what was cut."""
        self._in_thread(self._close)
        self._thread.shutdown()
        self._clips.cleanup()

    def facts(self) -> dict[str, Any]:
        """Facts of the index as a JSON object."""
        return self._in_thread(self._facts)

    def search(self, query: Query) -> dict[str, Any]:
        """Moments that answer a query, as a JSON object; see `Answer`."""
        return self._in_thread(lambda: answer_document(self._current().search(query)))

    def timeline(self, query: Query, video: int) -> list[dict[str, float]]:
        """Score and confidence of each window of a video under a query, by time."""

        def scored() -> list[dict[str, float]]:
            self._video(video)
            line = self._current().timeline(query, video)
            columns = (line.start_s, line.end_s, line.score, line.confidence)
            names = ("start_s", "end_s", "score", "confidence")
            rows = zip(*(column.tolist() for column in columns), strict=True)
            return [dict(zip(names, row, strict=True)) for row in rows]

        return self._in_thread(scored)

    def video(self, number: int) -> dict[str, Any]:
        """Facts of one video and what its tracks say, as a JSON object."""

        def told() -> dict[str, Any]:
            video = self._video(number)
            names = self._current().index.names(video=number)
            return {**_video_document(video), "names": [asdict(name) for name in names]}

        return self._in_thread(told)

    def file(self, number: int) -> Path:
        """The file of a video of the index; `ConfigError` where it is gone."""

        def found() -> Path:
            self._video(number)
            index = self._current().index
            path, root = index.file_of(number).resolve(), index.root.resolve()
            if not path.is_relative_to(root) or not path.is_file():
                raise ConfigError(f"video {number}: its file is no longer there; index again")
            return path

        return self._in_thread(found)

    def thumbnail(self, row: int) -> bytes:
        """JPEG of a window."""
        return self._in_thread(lambda: self._current().index.thumbnail(row))

    def moment(self, name: str) -> dict[str, Any]:
        """Video, start and end of a moment's id, with what tracks say of that time."""

        def told() -> dict[str, Any]:
            video, start_s, end_s = self._current().find_moment(name)
            names = self._current().index.names(video=video.id)
            during = [asdict(n) for n in names if n.start_s < end_s and n.end_s > start_s]
            return {
                "video": _video_document(video),
                "start_s": start_s,
                "end_s": end_s,
                "names": during,
            }

        return self._in_thread(told)

    def clip(self, name: str) -> CutClip:
        """A moment as a file of its own, kept until the service is closed.

        Raises:
            ConfigError: There is no such moment, or it is longer than ten minutes.
        """
        told = self.moment(name)
        number, start_s, end_s = told["video"]["id"], told["start_s"], told["end_s"]
        if end_s - start_s > LONGEST_CLIP_S:
            raise ConfigError(
                f"{name}: lasts {end_s - start_s:.0f} s; clips have at most {LONGEST_CLIP_S:.0f} s"
            )
        stem = Path(self._clips.name) / f"{number}-{start_s:.2f}-{end_s:.2f}"
        return cut_clip(self.file(number), start_s, end_s, stem, overwrite=True)

    def encode_texts(self, texts: Sequence[str]) -> list[list[float]]:
        """Unit vectors of texts in the space of the index."""
        return self._in_thread(
            lambda: self._current().model.embed_texts(list(texts)).double().tolist()
        )

    def encode_file(self, path: Path) -> list[float]:
        """Unit vector of a picture or clip in the space of the index."""
        return self._in_thread(
            lambda: self._current().ask(Query(example=path)).vector.astype(float).tolist()
        )

    def predict(self, vector: Sequence[float], labels: Sequence[str]) -> list[dict[str, Any]]:
        """Labels by cosine with a picture, clip or moment, nearest first (zero-shot)."""
        texts = np.asarray(self.encode_texts(labels))
        scores = texts @ np.asarray(vector)
        order = np.argsort(-scores, kind="stable")
        return [{"label": labels[i], "score": float(scores[i])} for i in order]

    def vector_of(self, name: str) -> list[float]:
        """Unit vector of a moment of the index."""
        return self._in_thread(
            lambda: self._current().ask(Query(like=name)).vector.astype(float).tolist()
        )

    # In the thread of the index

    def _in_thread(self, call: Callable[[], Result]) -> Result:
        return self._thread.submit(call).result()

    def _current(self) -> Searcher:
        if self._index is None:
            self._index = Index(self.folder)
        if self._searcher is None or self._index.revision != self._searcher.revision:
            self._searcher = Searcher(self._index, self._model_once)
        return self._searcher

    def _model_once(self) -> SearchModel:
        if self._model is None:
            assert self._index is not None
            self._model = self._open_model(self._index.settings.model)
        return self._model

    def _close(self) -> None:
        if self._index is not None:
            self._index.close()

    def _video(self, number: int) -> IndexedVideo:
        found = {video.id: video for video in self._current().index.videos()}
        if number not in found:
            raise ConfigError(f"video {number} is not in this index")
        return found[number]

    def _facts(self) -> dict[str, Any]:
        searcher = self._current()
        index, videos = searcher.index, searcher.index.videos()
        return {
            "name": self.folder.name,
            "model": index.settings.model,
            "trained_on_generated": index.settings.trained_on_generated,
            "num_videos": len(videos),
            "num_windows": len(searcher.windows),
            "hours": sum(video.duration_s for video in videos) / 3600,
            "folders": sorted({str(Path(video.path).parent) for video in videos}),
            "tracks": index.tracks(),
            "failed": [{"path": path, "reason": reason} for path, reason in index.failed()],
        }


def answer_document(answer: Answer) -> dict[str, Any]:
    """An answer as a JSON object."""
    return answer.to_json()


def _video_document(video: IndexedVideo) -> dict[str, Any]:
    """Without the absolute place of the file, which is nobody's business."""
    return asdict(video)
