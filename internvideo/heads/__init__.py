"""Heads: a representation becomes an answer."""

from internvideo.heads.classify import VideoClassifier, VideoClassifierConfig

__all__ = ["VideoClassifier", "VideoClassifierConfig"]
