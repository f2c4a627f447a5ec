"""Losses: pure functions of tensors, in float32."""

from internvideo.losses.reconstruction import (
    clip_statistics,
    per_sample_error,
    pixel_targets,
    reconstruction_loss,
    standardise,
    trivial_error,
    unnormalise,
)

__all__ = [
    "clip_statistics",
    "per_sample_error",
    "pixel_targets",
    "reconstruction_loss",
    "standardise",
    "trivial_error",
    "unnormalise",
]
