"""A file becomes a clip: decoding, sampling, transforms, and the health of files."""

from internvideo.video import sampling, storage, transforms
from internvideo.video.decode import VideoReader
from internvideo.video.encode import write_video
from internvideo.video.finding import VIDEO_SUFFIXES, find_videos
from internvideo.video.folder import FrameFolder
from internvideo.video.health import (
    Health,
    examine,
    health_document,
    scan,
    scan_files,
    write_clean_manifest,
    write_health_report,
)
from internvideo.video.info import VideoInfo
from internvideo.video.picture import IMAGE_SUFFIXES, ImageFile
from internvideo.video.sources import OpenVideo, check_moment, open_video, read_clip
from internvideo.video.transcode import TranscodeConfig, transcode

__all__ = [
    "FrameFolder",
    "Health",
    "IMAGE_SUFFIXES",
    "ImageFile",
    "OpenVideo",
    "TranscodeConfig",
    "VIDEO_SUFFIXES",
    "VideoInfo",
    "VideoReader",
    "check_moment",
    "examine",
    "find_videos",
    "health_document",
    "open_video",
    "read_clip",
    "sampling",
    "scan",
    "scan_files",
    "storage",
    "transcode",
    "transforms",
    "write_clean_manifest",
    "write_health_report",
    "write_video",
]
