"""What several tasks share."""

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
    "DetectionConfig",
    "SuppressionConfig",
    "detect",
    "fuse_video_scores",
    "segments_in_seconds",
    "suppress",
    "vote",
]
