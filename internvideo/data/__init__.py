"""Annotation files become batches of clips: readers, data sets, shards, cache, loaders."""

from internvideo.data.annotations import ANNOTATIONS, manifest_from_folder, write_manifest
from internvideo.data.broken import BrokenVideos
from internvideo.data.cache import FrameCache
from internvideo.data.class_maps import (
    RENAMED,
    ROW_ORDERS,
    ClassMaps,
    read_class_maps,
    read_renamed,
    unite_classes,
)
from internvideo.data.datasets import ClipDataset, Sample, VideoData, held_back_videos
from internvideo.data.detections import FoundBoxes, read_detections, read_named_detections
from internvideo.data.feature_files import (
    FeatureFormat,
    FeatureType,
    described,
    is_complete,
    read_features,
    side_car,
    write_features,
)
from internvideo.data.grouping import grouped
from internvideo.data.joined import JoiningConfig, join_clips
from internvideo.data.key_frames import (
    BoxTargets,
    KeyFrameDataset,
    NextObjectTargets,
    box_labels,
    jitter_boxes,
)
from internvideo.data.kinetics710 import (
    Kinetics710,
    KineticsVersion,
    build_kinetics710,
    check_is_free,
    find_vintage,
    write_kinetics710,
)
from internvideo.data.labelled import LabelledVideos, check_labelled, read_labelled, save_labelled
from internvideo.data.loading import ClipLoader
from internvideo.data.mirrored_text import left_right_classes
from internvideo.data.mixture import MixedLoader, SourceSchedule
from internvideo.data.opening import (
    FIRST,
    ClipRequest,
    OpenedData,
    RunContext,
    Source,
    open_data,
)
from internvideo.data.own_videos import OwnVideos, check_videos
from internvideo.data.segmented import (
    SegmentedVideos,
    check_segmented,
    read_segmented,
    save_segmented,
)
from internvideo.data.shard_writer import ShardSummary, write_shards
from internvideo.data.shards import index_place, index_shards, is_index
from internvideo.data.stateless_rng import sample_seed
from internvideo.data.targets import (
    MultiLabelTarget,
    Targets,
    label_target,
    question_target,
    texts_of,
)
from internvideo.data.views import ViewDataset, ViewPlan
from internvideo.data.windows import (
    WindowConfig,
    Windows,
    centre_view,
    cut_windows,
    read_windows,
    windows_in_seconds,
)

__all__ = [
    "ANNOTATIONS",
    "FIRST",
    "RENAMED",
    "ROW_ORDERS",
    "BoxTargets",
    "BrokenVideos",
    "ClassMaps",
    "ClipDataset",
    "ClipLoader",
    "ClipRequest",
    "FeatureFormat",
    "FeatureType",
    "FoundBoxes",
    "FrameCache",
    "JoiningConfig",
    "KeyFrameDataset",
    "Kinetics710",
    "LabelledVideos",
    "MixedLoader",
    "MultiLabelTarget",
    "NextObjectTargets",
    "OpenedData",
    "OwnVideos",
    "RunContext",
    "Sample",
    "SegmentedVideos",
    "ShardSummary",
    "Source",
    "Targets",
    "SourceSchedule",
    "VideoData",
    "ViewDataset",
    "ViewPlan",
    "KineticsVersion",
    "WindowConfig",
    "Windows",
    "box_labels",
    "build_kinetics710",
    "centre_view",
    "check_is_free",
    "check_labelled",
    "check_segmented",
    "check_videos",
    "cut_windows",
    "described",
    "find_vintage",
    "grouped",
    "index_place",
    "held_back_videos",
    "index_shards",
    "is_index",
    "is_complete",
    "jitter_boxes",
    "join_clips",
    "label_target",
    "manifest_from_folder",
    "open_data",
    "question_target",
    "read_class_maps",
    "read_detections",
    "read_named_detections",
    "read_features",
    "read_labelled",
    "read_renamed",
    "read_segmented",
    "read_windows",
    "sample_seed",
    "texts_of",
    "save_labelled",
    "save_segmented",
    "side_car",
    "left_right_classes",
    "unite_classes",
    "windows_in_seconds",
    "write_features",
    "write_kinetics710",
    "write_manifest",
    "write_shards",
]
