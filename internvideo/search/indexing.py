"""Keeping an index in step with its folder: new, changed, renamed and removed videos.

What other processes have made ready is taken in (`prepared`); the rest is embedded here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from internvideo.errors import ConfigError
from internvideo.jobs import Unit
from internvideo.processes import sole_use
from internvideo.search.changes import VideoFile, compare
from internvideo.search.embedding import Advance, Broken, Embedder
from internvideo.search.facts import NewVideo
from internvideo.search.index import Index
from internvideo.search.model import SearchModel
from internvideo.search.prepared import Prepared
from internvideo.search.vectors import decode_rows, encode_rows
from internvideo.tasks import FailedVideo

# Vectors by which the loss of int8 is measured.
_NUM_KEPT = 5_000
# Videos made ready elsewhere that are committed together.
_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """What an update did; `failed` holds all broken files of the folder, also those of before.

    `decoding_s` and `tower_s` are what decoding and the visual tower took of a thread each; they
    work side by side, so neither can make an update quicker than the other allows.
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
    decoding_s: float
    tower_s: float
    int8_recall: float | None = None

    @property
    def has_changed(self) -> bool:
        return bool(self.num_new + self.num_changed + self.num_renamed + self.num_removed)


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
        decoding_s=embedder.decoding_s,
        tower_s=embedder.tower_s,
        int8_recall=int8_recall(intake.kept) if intake.kept else None,
    )


def pending_units(index: Index) -> list[Unit]:
    """A unit for each video that the next update would embed; reads the index alone."""
    return _units(index, compare(index, 0.0).pending)


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
