"""Views for multi-view testing: several clips of a video, several crops each, decoded once.

Source: the test branches of the loaders of VideoMAE (`kinetics.py`) and of UniFormerV2
(`kinetics.py`, `kinetics_sparse.py`) in the InternVideo release.
Shapes: views (v, t, h, w, 3) uint8, the crops of one clip next to each other.
Differs from the released code: one video is one sample and not one sample a view, so that it is
decoded once; a single clip, or a single crop, is the middle as in evaluation during training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from internvideo.data.cache import frames_of
from internvideo.data.datasets import ClipDataset, Sample, VideoData, padded_clips
from internvideo.data.stateless_rng import sample_seed
from internvideo.errors import ConfigError, DecodeError
from internvideo.values import Annotations, Record
from internvideo.video import open_video
from internvideo.video.sampling import (
    Views,
    dense_test,
    dense_view,
    one_a_second,
    pretraining_window,
    sparse_test,
    uniform_test,
)
from internvideo.video.transforms import Crop, centre_crop, resize, view_crop


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewPlan:
    """How many views, and by whose rule the clips lie in time.

    Without `protocol` it is VideoMAE's for dense clips and UniFormerV2's for segments, whose
    training clips are ours.
    """

    num_clips: int = 1
    """Clips of each video."""
    num_crops: int = 1
    """Crops of each clip, along its longer side."""
    protocol: Literal["videomae", "uniformerv2"] | None = None
    """By whose rule several clips lie; default VideoMAE's (dense) or UniFormerV2's (segments)."""

    def __post_init__(self) -> None:
        for name in ("num_clips", "num_crops"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected 1 or more")

    @property
    def num_views(self) -> int:
        return self.num_clips * self.num_crops

    def frame_numbers(
        self, available: int, *, clip_frames: int, sampling: str, stride_frames: int
    ) -> Views:
        """Choose the frames of every clip among `available` ones, as (clips, t)."""
        count, of = self.num_clips, {"clip_frames": clip_frames}
        if sampling == "segments":
            if self.protocol == "videomae" and count > 1:
                return sparse_test(available, num_views=count, **of)
            clips = [uniform_test(available, view=i, num_views=count, **of) for i in range(count)]
            return np.stack(clips)
        of["stride_frames"] = stride_frames
        if count == 1:
            middle = max(0, available - clip_frames * stride_frames) // 2
            return pretraining_window(available, start=middle, **of)[None]
        if self.protocol == "uniformerv2":
            clips = [dense_view(available, view=i, num_views=count, **of) for i in range(count)]
            return np.stack(clips)
        return dense_test(available, num_views=count, **of)

    def crops(self, height: int, width: int, *, share: float) -> list[Crop]:
        """Squares of `share` of the short side, spread along the long side."""
        side = round(min(height, width) * share)
        if self.num_crops == 1:
            return [centre_crop(height, width, side)]
        # The short side is cut in the middle, which cuts nothing when `share` is 1.
        top, left = ((height - side) // 2, 0) if height < width else (0, (width - side) // 2)
        inner = (side, width) if height < width else (height, side)
        crops = [
            view_crop(*inner, side, i, num_crops=self.num_crops) for i in range(self.num_crops)
        ]
        return [
            Crop(top=top + crop.top, left=left + crop.left, height=side, width=side)
            for crop in crops
        ]


class ViewDataset(ClipDataset):
    """All test-time views of each record."""

    def __init__(
        self,
        annotations: Annotations,
        config: VideoData,
        plan: ViewPlan,
        *,
        num_frames: int,
        side_px: int,
        seed: int = 0,
    ) -> None:
        super().__init__(
            annotations, config, num_frames=num_frames, side_px=side_px, training=False, seed=seed
        )
        self.plan = plan
        self.num_views = plan.num_views

    def sample(self, index: int, epoch: int = 0) -> Sample:
        """Make the views of record `index`; none where it cannot be decoded."""
        record = self.records[index]
        try:
            views, broken = self._views(record), ()
        except DecodeError as error:
            shape = (0, self.num_frames, self.side_px, self.side_px, 3)
            views = torch.empty(shape, dtype=torch.uint8)
            broken = ((str(record.video), str(error)),)
        seeds = [sample_seed(self.seed, epoch, index, view) for view in range(len(views))]
        return Sample(
            views=views,
            seeds=torch.tensor(seeds, dtype=torch.int64),
            source=str(record.video),
            broken=broken,
        )

    def _views(self, record: Record) -> UInt8[Tensor, "v t s s 3"]:
        config, plan = self.config, self.plan
        with open_video(record) as video:
            part = frames_of(record, video)
            if config.sampling == "seconds":
                times = video.timestamps_s[part.start : part.stop]
                clips = one_a_second(times, clip_frames=self.num_frames)[None]
            else:
                clips = plan.frame_numbers(
                    len(part),
                    clip_frames=self.num_frames,
                    sampling=config.sampling,
                    stride_frames=config.stride_frames,
                )
            # Clips share frames; each is decoded and resized once.
            needed, place = np.unique(clips, return_inverse=True)
            numbers = [part[i] for i in needed]
            frames = video.frames(numbers, short_side_px=self.short_side_px).frames
        crops = plan.crops(*frames.shape[1:3], share=config.eval_crop)
        seen = [resize(crop.of(frames), self.side_px, self.side_px) for crop in crops]
        order = torch.from_numpy(place.reshape(clips.shape))
        views = torch.stack([crop[clip] for clip in order for crop in seen])
        return padded_clips(views, self.num_frames)
