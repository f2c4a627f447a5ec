"""Temporal localization: its protocol, the detector, and how it is trained on features."""

from internvideo.tasks.temporal_localization.data import LocalizationData, LocalizationVideos
from internvideo.tasks.temporal_localization.detector import (
    TemporalDetector,
    TemporalDetectorConfig,
)
from internvideo.tasks.temporal_localization.features import FeatureReader, FeatureSets
from internvideo.tasks.temporal_localization.result import TemporalLocalizationResult
from internvideo.tasks.temporal_localization.segments import (
    FoundInVideos,
    FoundSegment,
    FoundSegments,
)
from internvideo.tasks.temporal_localization.sliding import (
    SlidingConfig,
    segments_of_probabilities,
    slide,
)
from internvideo.tasks.temporal_localization.task import (
    LocalizationRequest,
    TemporalLocalization,
)
from internvideo.tasks.temporal_localization.training import TemporalLocalizationTraining

__all__ = [
    "FeatureReader",
    "FeatureSets",
    "FoundInVideos",
    "FoundSegment",
    "FoundSegments",
    "LocalizationData",
    "LocalizationRequest",
    "LocalizationVideos",
    "SlidingConfig",
    "TemporalDetector",
    "TemporalDetectorConfig",
    "TemporalLocalization",
    "TemporalLocalizationResult",
    "TemporalLocalizationTraining",
    "segments_of_probabilities",
    "slide",
]
