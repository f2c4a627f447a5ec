"""Heads: a representation becomes an answer."""

from internvideo.heads.classify import VideoClassifier, VideoClassifierConfig
from internvideo.heads.retrieval import (
    TokenWeights,
    equal_weights,
    mean_frame_similarity,
    token_similarity,
)

__all__ = [
    "TokenWeights",
    "VideoClassifier",
    "VideoClassifierConfig",
    "equal_weights",
    "mean_frame_similarity",
    "token_similarity",
]
