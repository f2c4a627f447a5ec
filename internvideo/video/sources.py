"""One way to open whatever a record names: a video or image, in a file or a shard, or frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from internvideo.errors import DecodeError
from internvideo.values import Clip, Record
from internvideo.video.decode import VideoReader
from internvideo.video.folder import FrameFolder
from internvideo.video.picture import IMAGE_SUFFIXES, ImageFile
from internvideo.video.storage import read_member

# Whatever is opened has `num_frames`, `timestamps_s`, `info`, `frames(...)` and `close()`.
OpenVideo = VideoReader | FrameFolder | ImageFile


def open_video(
    source: Record | str | Path, *, data: bytes | None = None, num_threads: int = 1
) -> OpenVideo:
    """Open a video or image file, the member of a shard that a record names, or its frames.

    `data` are the bytes of the file or member where the caller has read them already.
    """
    if isinstance(source, Record) and source.frame_template is not None:
        return FrameFolder(
            source.video,
            template=source.frame_template,
            first_frame=source.first_frame,
            num_frames=source.num_frames,
        )
    path = source.video if isinstance(source, Record) else source
    if isinstance(source, Record) and source.member is not None and data is None:
        data = read_member(source.member, source.video)
    if Path(path).suffix.lower() in IMAGE_SUFFIXES:
        return ImageFile(path, data=data)
    return VideoReader(path, data=data, num_threads=num_threads)


def check_moment(video: OpenVideo, time_s: float) -> None:
    """Raise `DecodeError` where a moment, in seconds from the first frame, is not in a video."""
    duration_s = video.info.duration_s
    if not 0 <= time_s <= duration_s:
        raise DecodeError(
            f"{video.path}: no frame at {time_s:g} s, the video runs from 0 to {duration_s:.2f} s; "
            "check which second of the video its annotations count from"
        )


def read_clip(
    source: Record | str | Path,
    indices: Sequence[int],
    *,
    short_side_px: int | None = None,
    num_threads: int = 1,
) -> Clip:
    """Open, decode the frames numbered `indices`, close."""
    with open_video(source, num_threads=num_threads) as reader:
        return reader.frames(indices, short_side_px=short_side_px)
