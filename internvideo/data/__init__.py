"""Annotation files become batches of clips: readers, data sets, the cache of frames, the loader."""

from internvideo.data.annotations import ANNOTATIONS, manifest_from_folder, write_manifest
from internvideo.data.broken import BrokenVideos
from internvideo.data.cache import FrameCache
from internvideo.data.datasets import ClipDataset, Sample, VideoData
from internvideo.data.draws import sample_seed
from internvideo.data.loading import ClipLoader
from internvideo.data.opening import OpenedData, open_data

__all__ = [
    "ANNOTATIONS",
    "BrokenVideos",
    "ClipDataset",
    "ClipLoader",
    "FrameCache",
    "OpenedData",
    "Sample",
    "VideoData",
    "manifest_from_folder",
    "open_data",
    "sample_seed",
    "write_manifest",
]
