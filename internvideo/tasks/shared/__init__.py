"""What several tasks share."""

from internvideo.tasks.shared.finetuning import (
    CheckedVideos,
    FinetuningGuide,
    Preset,
    Validation,
)
from internvideo.tasks.shared.initialisation import (
    InitialWeights,
    initialise_by_class,
    read_initial_weights,
)
from internvideo.tasks.shared.localization import (
    DetectionConfig,
    detect,
    segments_in_seconds,
)
from internvideo.tasks.shared.suppression import (
    SuppressionConfig,
    fuse_video_scores,
    suppress,
    vote,
)

__all__ = [
    "CheckedVideos",
    "DetectionConfig",
    "FinetuningGuide",
    "InitialWeights",
    "Preset",
    "SuppressionConfig",
    "Validation",
    "detect",
    "fuse_video_scores",
    "initialise_by_class",
    "read_initial_weights",
    "segments_in_seconds",
    "suppress",
    "vote",
]
