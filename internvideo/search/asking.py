"""A query as vectors: of words, of a picture or clip, of a moment that the index has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from internvideo.search.calibration import Background
from internvideo.search.model import SearchModel, image_clip
from internvideo.search.windows import WindowPlan, cut_video
from internvideo.video import IMAGE_SUFFIXES, ImageFile, VideoReader


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Asked:
    """A query as vectors; `left_out` is the moment (video, start, end) that it was asked by."""

    vector: Float[np.ndarray, " e"]
    without: tuple[Float[np.ndarray, " e"], ...]
    background: Background
    left_out: tuple[int, float, float] | None = None

    def is_about(self, video: int, start_s: float | int, end_s: float | int) -> bool:
        """Whether a moment is mostly the one that the query was asked by."""
        if self.left_out is None or video != self.left_out[0]:
            return False
        shared = min(end_s, self.left_out[2]) - max(start_s, self.left_out[1])
        return shared > 0.5 * min(end_s - start_s, self.left_out[2] - self.left_out[1])


def vector_of_file(path: Path, model: SearchModel, plan: WindowPlan) -> Float[np.ndarray, " e"]:
    """The direction of a picture, or of all windows of a clip.

    Raises:
        DecodeError: It cannot be decoded.
    """
    if path.suffix.lower() in IMAGE_SUFFIXES:
        with ImageFile(path) as image:
            frames = image.frames([0], short_side_px=model.short_side_px).frames
        clips = [model.prepare(image_clip(frames, model.num_frames))]
    else:
        with VideoReader(path) as video:
            cut = cut_video(
                video,
                plan,
                short_side_px=model.short_side_px,
                single_frames=model.num_frames == 1,
            )
            clips = [model.prepare(window.spread(model.num_frames)) for window in cut]
    return direction(model.embed(torch.stack(clips)).numpy())


def direction(vectors: Float[np.ndarray, "n e"]) -> Float[np.ndarray, " e"]:
    """The mean of unit vectors, of length 1 again."""
    mean = vectors.mean(0, dtype=np.float64)
    return (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
