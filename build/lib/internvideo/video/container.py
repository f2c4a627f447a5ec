"""Opening a container: what is wrong with a file that is none is said here."""

from __future__ import annotations

import io
from pathlib import Path

import av
from av.stream import Disposition
from av.video.stream import VideoStream

from internvideo.errors import DecodeError

# PyAV 18 stops at metadata that are not UTF-8 unless told otherwise; 19 keeps their bytes itself.
UNDECODABLE_METADATA = (
    {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
)


def open_container(path: Path, data: bytes | None) -> av.container.InputContainer:
    """Open a file, or its bytes; raises `DecodeError` where FFmpeg knows no way."""
    try:
        return av.open(str(path) if data is None else io.BytesIO(data), **UNDECODABLE_METADATA)
    except FileNotFoundError as error:
        raise DecodeError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise DecodeError(
            f"{path}: is a folder, not a video file; for a folder of frames give a frame template"
        ) from error
    except av.error.FFmpegError as error:
        empty = not (path.stat().st_size if data is None else data)
        why = "the file is empty" if empty else f"no video format known here: {error.strerror}"
        raise DecodeError(f"{path}: cannot be opened ({why}); replace the file") from error


def is_cover(stream: VideoStream) -> bool:
    """Whether a stream is a picture attached to music."""
    return bool(stream.disposition & Disposition.attached_pic)
