"""Pictures and clips that visitors send: limited while they arrive, opened in another process.

What arrives is written under a name of ours. A child process with limits of time and memory, kept
for the next upload, decodes it and writes the first seconds anew; only that clean copy is opened by
the server.
"""

from __future__ import annotations

import resource
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from internvideo.errors import DecodeError, InternVideoError
from internvideo.video import ImageFile, VideoReader, write_video
from internvideo.video.picture import open_picture
from internvideo.video.workers import KeptProcess

LIMIT_BYTES = 64 * 2**20
LIMIT_S = 60.0
_LIMIT_MEMORY = 4 * 2**30
_LONGEST_S = 30.0
_MOST_FRAMES = 300
_SHORT_SIDE_PX = 320


class TooLarge(InternVideoError):
    """More bytes arrived than are taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Upload:
    path: Path
    clean: Path


async def receive(stream: AsyncIterator[bytes], folder: Path, *, announced: int | None) -> Path:
    """Write what arrives under a random name.

    Raises:
        TooLarge: More is announced or arrives than `LIMIT_BYTES`; nothing of it is kept.
        DecodeError: Nothing arrives.
    """
    if announced is not None and announced > LIMIT_BYTES:
        raise TooLarge(_too_large())
    path = folder / secrets.token_hex(16)
    size = 0
    try:
        with path.open("wb") as file:
            async for part in stream:
                size += len(part)
                if size > LIMIT_BYTES:
                    raise TooLarge(_too_large())
                file.write(part)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    if not size:
        path.unlink()
        raise DecodeError("nothing was sent; send a picture or a clip")
    return path


def _too_large() -> str:
    return f"more than {LIMIT_BYTES // 2**20} MB were sent; send a shorter clip"


class Cleaner:
    """Opens uploads in one process of its own; close it in the end."""

    def __init__(self) -> None:
        self._process = KeptProcess(_clean, limit_s=LIMIT_S)

    def start(self) -> None:
        """Start the process now, so that the first upload need not wait for it."""
        self._process.start()

    def close(self) -> None:
        self._process.close()

    def cleaned(self, path: Path) -> Path:
        """Decode an upload; the clean copy's path, a picture or a clip. The upload is removed.

        Raises:
            DecodeError: It is neither, or takes too much time or memory.
        """
        upload = _Upload(path=path, clean=path.with_name(f"{path.name}-clean"))
        answer = self._process.call(upload, on_failure=_failed)
        path.unlink(missing_ok=True)
        if not Path(answer).is_absolute():
            raise DecodeError(answer)
        return Path(answer)


def _failed(upload: _Upload, why: str) -> str:
    return f"this file cannot be read: {why}"


def _clean(upload: _Upload) -> str:
    """In the child: write a copy and give its path, or say why not."""
    resource.setrlimit(resource.RLIMIT_AS, (_LIMIT_MEMORY, _LIMIT_MEMORY))
    try:
        open_picture(upload.path).close()
    except DecodeError:
        return _clean_clip(upload)
    try:
        with ImageFile(upload.path) as image:
            frame = image.frames([0], short_side_px=_SHORT_SIDE_PX).frames[0]
        from PIL import Image

        path = upload.clean.with_suffix(".png")
        Image.fromarray(frame.numpy()).save(path)
        return str(path)
    except (InternVideoError, OSError, MemoryError) as error:
        return f"this picture cannot be read: {_bare(error, upload)}"


def _clean_clip(upload: _Upload) -> str:
    path = upload.clean.with_suffix(".mp4")
    try:
        with VideoReader(upload.path) as video:
            count = int(np.searchsorted(video.timestamps_s, _LONGEST_S))
            stride = max(1, -(-count // _MOST_FRAMES))
            picked = list(range(0, max(1, count), stride))
            clip = video.frames(picked, short_side_px=_SHORT_SIDE_PX)
            rate = max(1.0, video.info.rate_fps / stride)
        frames = clip.frames[:, : clip.frames.shape[1] // 2 * 2, : clip.frames.shape[2] // 2 * 2]
        write_video(path, frames.contiguous(), rate)
    except (InternVideoError, OSError, MemoryError, ValueError) as error:
        return f"this file is no picture or video that can be read: {_bare(error, upload)}"
    return str(path)


def _bare(error: BaseException, upload: _Upload) -> str:
    return (str(error) or type(error).__name__).removeprefix(f"{upload.path}: ")
