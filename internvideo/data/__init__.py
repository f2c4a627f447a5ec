"""Annotation files become batches of clips: readers, data sets, shards, cache, loaders."""

from internvideo.data.annotations import ANNOTATIONS, manifest_from_folder, write_manifest
from internvideo.data.broken import BrokenVideos
from internvideo.data.cache import FrameCache
from internvideo.data.datasets import ClipDataset, Sample, VideoData
from internvideo.data.draws import sample_seed
from internvideo.data.feature_files import (
    FeatureFormat,
    FeatureType,
    described,
    is_complete,
    read_features,
    side_car,
    write_features,
)
from internvideo.data.loading import ClipLoader
from internvideo.data.mixture import MixedLoader, Turns
from internvideo.data.opening import FIRST, OpenedData, Source, open_data
from internvideo.data.shard_writer import ShardSummary, write_shards
from internvideo.data.shards import index_shards
from internvideo.data.views import ViewDataset, ViewPlan
from internvideo.data.windows import (
    WindowConfig,
    Windows,
    cut_windows,
    read_windows,
    windows_in_seconds,
)

__all__ = [
    "ANNOTATIONS",
    "FIRST",
    "BrokenVideos",
    "ClipDataset",
    "ClipLoader",
    "FeatureFormat",
    "FeatureType",
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
    "WindowConfig",
    "Windows",
    "cut_windows",
    "described",
    "index_shards",
    "is_complete",
    "manifest_from_folder",
    "open_data",
    "read_features",
    "read_windows",
    "sample_seed",
    "side_car",
    "windows_in_seconds",
    "write_features",
    "write_manifest",
    "write_shards",
]
