"""Spatiotemporal localization: its protocol, boxes from files and detectors, tracks, training."""

from internvideo.tasks.spatiotemporal_localization.answer import FoundActions, FoundBox
from internvideo.tasks.spatiotemporal_localization.detectors import open_detector
from internvideo.tasks.spatiotemporal_localization.finding import BoxRequest
from internvideo.tasks.spatiotemporal_localization.model import BoxClassifier
from internvideo.tasks.spatiotemporal_localization.result import (
    BoxVideos,
    SpatiotemporalLocalizationResult,
)
from internvideo.tasks.spatiotemporal_localization.task import BoxData, SpatiotemporalLocalization
from internvideo.tasks.spatiotemporal_localization.tracks import link_boxes
from internvideo.tasks.spatiotemporal_localization.training import (
    SpatiotemporalLocalizationTraining,
)

__all__ = [
    "BoxClassifier",
    "BoxData",
    "BoxRequest",
    "BoxVideos",
    "FoundActions",
    "FoundBox",
    "SpatiotemporalLocalization",
    "SpatiotemporalLocalizationResult",
    "SpatiotemporalLocalizationTraining",
    "link_boxes",
    "open_detector",
]
