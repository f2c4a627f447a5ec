"""A file becomes a clip: decoding, sampling, transforms, and the health of files."""

from internvideo.video import sampling, transforms
from internvideo.video.decode import VideoReader, open_video, read_clip
from internvideo.video.encode import write_video
from internvideo.video.folder import FrameFolder
from internvideo.video.info import VideoInfo

__all__ = [
    "FrameFolder",
    "VideoInfo",
    "VideoReader",
    "open_video",
    "read_clip",
    "sampling",
    "transforms",
    "write_video",
]
