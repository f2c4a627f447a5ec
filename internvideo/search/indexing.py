"""Keeping an index in step with its folder: new, changed, renamed and removed videos.

What other processes have made ready is taken in (`prepared`); the rest is embedded here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.processes import sole_use
from internvideo.search.changes import VideoFile, compare
from internvideo.search.decoding import Begin, End, Unit, Window, decoded_ahead
from internvideo.search.facts import NewVideo
from internvideo.search.index import Index
from internvideo.search.model import SearchModel
from internvideo.search.vectors import decode_rows, encode_rows
from internvideo.tasks import FailedVideo
from dataclasses import dataclass, field

import numpy as np

from internvideo.errors import ConfigError
from internvideo.jobs import Unit
from internvideo.processes import sole_use
from internvideo.search.embedding import Advance, Broken, Embedder, VideoFile
from internvideo.search.index import Index, IndexedVideo, NewVideo, decode_rows, encode_rows
from internvideo.search.model import SearchModel
from internvideo.search.prepared import Prepared
from internvideo.tasks import FailedVideo
from internvideo.video import find_videos
from internvideo.weights import sha256_of

_log = logging.getLogger(__name__)

# Vectors by which the loss of int8 is measured.
_NUM_KEPT = 5_000
# Videos made ready elsewhere that are committed together.
_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """What an update did; `failed` holds all broken files of the folder, also those of before.

    `int8_recall` is the share of the ten nearest that vectors in int8 keep, among new ones.
    """

    num_new: int
    num_changed: int
    num_renamed: int
    num_removed: int
    num_unchanged: int
    failed: tuple[FailedVideo, ...]
    num_videos: int
    num_windows: int
    num_bytes: int
    hours: float
    elapsed_s: float
    int8_recall: float | None = None

    @property
    def has_changed(self) -> bool:
        return bool(self.num_new + self.num_changed + self.num_renamed + self.num_removed)


@dataclass(slots=True)
class _Changes:
    pending: list[VideoFile] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    moves: list[tuple[str, str, int]] = field(default_factory=list)
    num_changed: int = 0
    num_unchanged: int = 0


def update_index(
    index: Index,
    model: SearchModel,
    *,
    batch_size: int | None = None,
    settle_s: float | int = 0.0,
    progress: Callable[[Advance], None] | None = None,
    prepare: Callable[[Sequence[Unit]], object] | None = None,
) -> Update:
    """Bring an index in step with its folder; what is there and unchanged is not read again.

    Args:
        index: Of this model.
        model: That the index was made with.
        batch_size: Clips or frames at a time; default 8 clips or 32 frames.
        settle_s: Leave files alone that changed within so many seconds: somebody still writes them.
        progress: Called after every video.
        prepare: Has the videos that are new made ready elsewhere (`PrepareWork`) before they are
            taken in.

    Raises:
        ConfigError: The model is another one, the folder is gone or empty, or a second process
            is at work on this index.
        CheckpointError: The index cannot be written.
    """
    if model.sha256 != index.settings.model_sha256:
        raise ConfigError(
            f"{index.folder}: was made with other weights ({index.settings.model}); give that "
            "model, or another --out for a new index"
        )
    started_s = time.monotonic()
    with sole_use(index.folder):
        changes = compare(index, settle_s)
        if changes.moves:
            index.relocate(changes.moves)
        if changes.removed:
            index.remove(changes.removed)
        intake = _Intake(index)
        embedder = Embedder(
            index.root,
            index.settings.plan,
            model,
            intake.add,
            batch_size=batch_size,
            progress=progress,
        )
        if prepare is not None:
            prepare(_units(index, changes.pending))
        intake.take(changes.pending, embedder)
        index.compact()
    windows = index.windows()
    num_new = len(changes.pending) - changes.num_changed - intake.num_failed
    return Update(
        num_new=max(0, num_new),
        num_changed=changes.num_changed,
        num_renamed=sum(old != new for old, new, _ in changes.moves),
        num_removed=len(changes.removed),
        num_unchanged=changes.num_unchanged,
        failed=tuple(FailedVideo(path=path, reason=why) for path, why in index.failed()),
        num_videos=len(index.videos()),
        num_windows=len(windows),
        num_bytes=sum(path.stat().st_size for path in index.folder.iterdir() if path.is_file()),
        hours=intake.seconds / 3600,
        elapsed_s=time.monotonic() - started_s,
        int8_recall=int8_recall(intake.kept) if intake.kept else None,
    )


def pending_units(index: Index) -> list[Unit]:
    """A unit for each video that the next update would embed; reads the index alone."""
    return _units(index, _compare(index, 0.0).pending)


def _units(index: Index, files: Sequence[VideoFile]) -> list[Unit]:
    prepared = Prepared(index.folder, index.settings)
    return [prepared.unit(index.root, file.path) for file in files]


class _Intake:
    """Puts videos into an index, and counts them."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.num_failed, self.seconds = 0, 0.0
        self.kept: list[np.ndarray] = []  # vectors before they became int8

    def take(self, files: Sequence[VideoFile], embedder: Embedder) -> None:
        """Put in, in order, what was made ready elsewhere, and embed the others."""
        prepared = Prepared(self._index.folder, self._index.settings)
        ready: dict[str, NewVideo | Broken] = {}
        others: list[VideoFile] = []
        for file in files:
            found = prepared.find(file)
            if found is None:
                self._take_ready(ready, prepared)
                others.append(file)
                continue
            if others:
                embedder.run(others)
                others = []
            ready[file.path] = found
            if len(ready) == _AT_ONCE:
                self._take_ready(ready, prepared)
        self._take_ready(ready, prepared)
        if others:
            embedder.run(others)

    def _take_ready(self, ready: dict[str, NewVideo | Broken], prepared: Prepared) -> None:
        videos = [one for one in ready.values() if isinstance(one, NewVideo)]
        if not ready:
            return
        self.add(videos, [one for one in ready.values() if not isinstance(one, NewVideo)])
        prepared.forget(ready)
        ready.clear()

    def add(self, videos: Sequence[NewVideo], broken: Sequence[Broken]) -> None:
        self._index.add(videos, broken)
        self.num_failed += len(broken)
        self.seconds += sum(video.duration_s for video in videos)
        if self._index.settings.vectors == "int8" and len(self.kept) < _NUM_KEPT:
            self.kept += [row for video in videos for row in video.vectors]


def int8_recall(vectors: Sequence[np.ndarray], *, count: int = 10) -> float:
    """Share of each vector's `count` nearest that are the same when all are stored in int8."""
    exact = np.stack(vectors)
    stored = decode_rows(encode_rows(exact, "int8"))
    count = min(count, len(exact))
    shared = 0
    for query in exact[:: max(1, len(exact) // 100)]:
        right = set(np.argsort(-(exact @ query), kind="stable")[:count].tolist())
        shared += len(right.intersection(np.argsort(-(stored @ query), kind="stable")[:count]))
    return shared / (count * len(exact[:: max(1, len(exact) // 100)]))


class _Worker:
    """Embeds what the decoding thread gives and commits groups of videos."""

    def __init__(
        self,
        index: Index,
        model: SearchModel,
        batch_size: int,
        progress: Callable[[Advance], None] | None,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}, expected 1 or more")
        self._index, self._model, self._size = index, model, batch_size
        self._progress = progress
        self.num_failed, self.seconds = 0, 0.0
        self.kept: list[np.ndarray] = []  # vectors before they became int8
        self._clear()

    def _clear(self) -> None:
        self._waiting: list[tuple[list[np.ndarray | None], int, Tensor]] = []
        self._num_units = 0
        self._done: list[tuple[Begin, list[Window], list[np.ndarray | None]]] = []
        self._broken: list[tuple[str, int, int, str]] = []

    def run(self, pending: Sequence[VideoFile]) -> None:
        started_s, num_done = time.monotonic(), 0
        begin, windows, vectors = None, [], []
        for event in decoded_ahead(self._index, self._model, pending):
            match event:
                case Begin():
                    begin, windows, vectors = event, [], []
                case Unit(prepared=prepared):
                    vectors.append(None)
                    self._waiting.append((vectors, len(vectors) - 1, prepared))
                    self._num_units += 1
                    if len(self._waiting) == self._size:
                        self._embed()
                case Window():
                    windows.append(event)
                case End(file=file, reason=reason):
                    if reason is None and begin is not None:
                        self._done.append((begin, windows, vectors))
                        self.seconds += begin.facts[0]
                    else:
                        _log.warning("left out: %s", reason)
                        self._broken.append((file.path, file.num_bytes, file.time_ns, str(reason)))
                        self.num_failed += 1
                    begin, num_done = None, num_done + 1
                    if self._num_units >= self._size or num_done == len(pending):
                        self._commit()
                    if self._progress is not None:
                        elapsed_s = time.monotonic() - started_s
                        self._progress(
                            Advance(
                                num_done=num_done,
                                num_total=len(pending),
                                hours_done=self.seconds / 3600,
                                elapsed_s=elapsed_s,
                            )
                        )

    def _embed(self) -> None:
        if not self._waiting:
            return
        rows = self._model.embed(torch.stack([unit for _, _, unit in self._waiting])).numpy()
        for (vectors, place, _), row in zip(self._waiting, rows, strict=True):
            vectors[place] = row
        self._waiting.clear()

    def _commit(self) -> None:
        self._embed()
        videos = []
        for begin, windows, vectors in self._done:
            rows = np.stack([_mean([vectors[i] for i in window.units]) for window in windows])
            if not np.isfinite(rows).all():
                reason = f"{begin.file.path}: its vectors are not finite; is the model damaged?"
                file = begin.file
                self._broken.append((file.path, file.num_bytes, file.time_ns, reason))
                self.num_failed += 1
                continue
            duration_s, rate_fps, width, height = begin.facts
            videos.append(
                NewVideo(
                    path=begin.file.path,
                    sha256=begin.sha256,
                    num_bytes=begin.file.num_bytes,
                    time_ns=begin.file.time_ns,
                    duration_s=duration_s,
                    rate_fps=rate_fps,
                    width=width,
                    height=height,
                    windows=[(w.start_s, w.end_s, w.shot, w.thumbnail) for w in windows],
                    vectors=rows,
                )
            )
        self._index.add(videos, self._broken)
        if self._index.settings.vectors == "int8" and len(self.kept) < _NUM_KEPT:
            self.kept += [row for video in videos for row in video.vectors]
        self._clear()


def _mean(vectors: list[Any]) -> np.ndarray:
    """Mean of unit vectors, of length 1 again."""
    mean = np.mean(vectors, axis=0, dtype=np.float64)
    return (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
def _compare(index: Index, settle_s: float) -> _Changes:
    """Compare the folder with the index; contents are read only where times or sizes differ."""
    known = {video.path: video for video in index.videos()}
    failed = {path: (size, at) for path, size, at in index.failed_files()}
    files = _files(index, settle_s)
    if not files and known:
        raise ConfigError(
            f"{index.root}: holds no video any more, but the index has {len(known)}; is the drive "
            f"there? If they are gone for good, remove {index.folder}"
        )
    changes = _Changes()
    missing = {path: video for path, video in known.items() if path not in files}
    by_content: dict[str, list[IndexedVideo]] = {}
    for video in missing.values():
        by_content.setdefault(video.sha256, []).append(video)
    sizes_of_missing = {video.num_bytes for video in missing.values()}
    for path, file in files.items():
        before = known.get(path)
        stamp = (file.num_bytes, file.time_ns)
        if (before is not None and (before.num_bytes, before.time_ns) == stamp) or (
            before is None and failed.get(path) == stamp
        ):
            changes.num_unchanged += 1
        elif (
            before is not None
            and before.num_bytes == file.num_bytes
            and (_content(index, file) == before.sha256)
        ):
            changes.moves.append((path, path, file.time_ns))
        elif file.num_bytes in sizes_of_missing and (
            same := by_content.get(_content(index, file) or "")
        ):
            changes.moves.append((same.pop(0).path, path, file.time_ns))
            if before is not None:
                changes.num_changed += 1
        else:
            changes.pending.append(file)
            changes.num_changed += before is not None
    moved = {old for old, _, _ in changes.moves}
    gone = [path for path in (*missing, *failed) if path not in files and path not in moved]
    changes.removed = sorted(gone)
    return changes


def _files(index: Index, settle_s: float) -> dict[str, VideoFile]:
    if not index.root.is_dir():
        raise ConfigError(f"{index.root}: the folder of this index is not there; is its drive?")
    found, own = {}, index.folder.absolute()
    newest_ns = time.time_ns() - int(settle_s * 1e9) if settle_s else None
    for path in find_videos(index.root):
        if path.absolute().is_relative_to(own):
            continue
        try:
            status = path.stat()
        except OSError as error:
            _log.warning("%s: left out (%s)", path, error.strerror)
            continue
        if newest_ns is not None and status.st_mtime_ns > newest_ns:
            continue
        name = path.relative_to(index.root).as_posix()
        found[name] = VideoFile(name, status.st_size, status.st_mtime_ns)
    return found


def _content(index: Index, file: VideoFile) -> str | None:
    try:
        return sha256_of(index.root / file.path)
    except OSError:
        return None  # it is named when it is to be decoded
