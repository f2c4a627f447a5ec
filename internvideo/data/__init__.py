"""Annotation files become batches of clips: readers, data sets, shards, cache, loaders."""

from internvideo.data.annotations import ANNOTATIONS, manifest_from_folder, write_manifest
from internvideo.data.broken import BrokenVideos
from internvideo.data.cache import FrameCache
from internvideo.data.datasets import ClipDataset, Sample, VideoData
from internvideo.data.draws import sample_seed
from internvideo.data.loading import ClipLoader
from internvideo.data.mixture import MixedLoader, Turns
from internvideo.data.opening import FIRST, OpenedData, Source, open_data
from internvideo.data.shard_writer import ShardSummary, write_shards
from internvideo.data.shards import index_shards
from internvideo.data.views import ViewDataset, ViewPlan

__all__ = [
    "ANNOTATIONS",
    "FIRST",
    "BrokenVideos",
    "ClipDataset",
    "ClipLoader",
    "FrameCache",
    "MixedLoader",
    "OpenedData",
    "Sample",
    "ShardSummary",
    "Source",
    "Turns",
    "VideoData",
    "ViewDataset",
    "ViewPlan",
    "index_shards",
    "manifest_from_folder",
    "open_data",
    "sample_seed",
    "write_manifest",
    "write_shards",
]
