"""ActionFormer: single-stage temporal localization on a sequence of features."""

from internvideo.models.actionformer.attention import windowed_attention
from internvideo.models.actionformer.config import ActionFormerConfig
from internvideo.models.actionformer.network import ActionFormer, PointPredictions
from internvideo.models.actionformer.points import (
    DecodingConfig,
    SegmentPredictions,
    decode_segments,
    point_grid,
)
from internvideo.models.actionformer.published import ACTIONFORMERS

__all__ = [
    "ACTIONFORMERS",
    "ActionFormer",
    "ActionFormerConfig",
    "DecodingConfig",
    "PointPredictions",
    "SegmentPredictions",
    "decode_segments",
    "point_grid",
    "windowed_attention",
]
