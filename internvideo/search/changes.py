"""What has changed in a folder since it was indexed: new, changed, renamed and removed videos."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from internvideo.errors import ConfigError
from internvideo.search.facts import IndexedVideo
from internvideo.search.index import Index
from internvideo.video import find_videos
from internvideo.weights import sha256_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A file of the indexed folder, by its path there."""

    path: str
    num_bytes: int
    time_ns: int


@dataclass(slots=True)
class Changes:
    """Files to index, paths that have left, and moves: old path, new path, time of change."""

    pending: list[VideoFile] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    moves: list[tuple[str, str, int]] = field(default_factory=list)
    num_changed: int = 0
    num_unchanged: int = 0


def compare(index: Index, settle_s: float) -> Changes:
    """Compare the folder with the index; contents are read only where times or sizes differ."""
    known = {video.path: video for video in index.videos()}
    failed = {path: (size, at) for path, size, at in index.failed_files()}
    files, resting_since_ns = _files(index), time.time_ns() - int(settle_s * 1e9)
    if not files and known:
        raise ConfigError(
            f"{index.root}: holds no video any more, but the index has {len(known)}; is the drive "
            f"there? If they are gone for good, remove {index.folder}"
        )
    changes = Changes()
    missing = {path: video for path, video in known.items() if path not in files}
    by_content: dict[str, list[IndexedVideo]] = {}
    for video in missing.values():
        by_content.setdefault(video.sha256, []).append(video)
    sizes_of_missing = {video.num_bytes for video in missing.values()}
    for path, file in files.items():
        before = known.get(path)
        stamp = (file.num_bytes, file.time_ns)
        if settle_s and file.time_ns > resting_since_ns:
            changes.num_unchanged += before is not None  # looked at again when it rests
        elif (before is not None and (before.num_bytes, before.time_ns) == stamp) or (
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


def _files(index: Index) -> dict[str, VideoFile]:
    if not index.root.is_dir():
        raise ConfigError(f"{index.root}: the folder of this index is not there; is its drive?")
    found, own = {}, index.folder.absolute()
    for path in find_videos(index.root):
        if path.absolute().is_relative_to(own):
            continue
        try:
            status = path.stat()
        except OSError as error:
            _log.warning("%s: left out (%s)", path, error.strerror)
            continue
        name = path.relative_to(index.root).as_posix()
        found[name] = VideoFile(name, status.st_size, status.st_mtime_ns)
    return found


def _content(index: Index, file: VideoFile) -> str | None:
    try:
        return sha256_of(index.root / file.path)
    except OSError:
        return None  # it is named when it is to be decoded
