"""Clips about key frames, straight from the video, and the boxes in them as targets.

Source: `alphaction/dataset` of Spatial-Temporal-Action-Localization in the InternVideo release.
Shapes: boxes (s, 4) `xyxy` in fractions of the view, labels (s, y) of zeros and ones.
Differs from the released code: frames are found by presentation time in the whole video, not by
number in files of a second each; a box is enlarged by a share drawn for each side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from internvideo.data.datasets import ClipDataset
from internvideo.data.targets import Targets
from internvideo.errors import ConfigError
from internvideo.values import Box, Record, View
from internvideo.video import check_moment, open_video
from internvideo.video.sampling import key_frame_clip


class KeyFrameDataset(ClipDataset):
    """Clips about the key frames of records; of a record that ends there, up to them.

    Raises:
        ConfigError: A record has none, or frames would be moved without the boxes in them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        without = next((record for record in self.records if record.key_s is None), None)
        if without is not None:
            raise ConfigError(
                f"{without.video}: has no key frame, unlike other records; read data of one kind"
            )
        if self.config.augment is not None and self.config.augment.num_ops:
            raise ConfigError(
                "data.augment turns and shifts frames but not the boxes in them; set "
                "data.augment.num_ops=0, which leaves jitter and erasing"
            )

    def name_of(self, record: Record) -> str:
        return f"{record.video} at {record.key_s:g} s"

    def _window(
        self, index: int, rng: np.random.Generator
    ) -> tuple[UInt8[Tensor, "t h w 3"], Float64[Tensor, " t"]]:
        record = self.records[index]
        assert record.key_s is not None
        kept = None if self.cache is None else self.cache.frames(index)
        if self.cache is not None and kept is not None:
            times = self.cache.timestamps_s(index)
            # Of a part of a video, or at its very end, the video itself says what is on screen.
            if record.start_s is record.end_s is None and 0 <= record.key_s <= times[-1]:
                numbers = self._numbers(record, times, rng)
                return kept[numbers], torch.from_numpy(times[numbers])
        with open_video(record) as video:
            check_moment(video, record.key_s)
            numbers = self._numbers(record, video.timestamps_s, rng)
            clip = video.frames(numbers.tolist(), short_side_px=self.short_side_px)
            return clip.frames, torch.from_numpy(video.timestamps_s[numbers])

    def _numbers(
        self, record: Record, times: Float64[np.ndarray, " f"], rng: np.random.Generator
    ) -> Int64[np.ndarray, " t"]:
        assert record.key_s is not None
        numbers = key_frame_clip(
            times,
            record.key_s,
            clip_frames=self.num_frames,
            stride_frames=self.config.stride_frames,
            rate_fps=self.config.clip_rate_fps,
            is_last=record.end_s == record.key_s,
        )
        return rng.permutation(numbers) if self.config.shuffled else numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxTargets:
    """Boxes of a record in fractions of its view, as `boxes` (s, 4), with `labels` (s, y).

    Of a box that the crop cuts off entirely nothing is left. At most `most_boxes` remain.
    """

    num_classes: int
    most_boxes: int = 100

    def __call__(self, record: Record, view: View) -> dict[str, Tensor]:
        boxes = view.boxes(torch.tensor([box.xyxy for box in record.boxes]).reshape(-1, 4))
        kept = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1).nonzero()[: self.most_boxes, 0]
        return {
            "boxes": boxes[kept],
            "labels": box_labels([record.boxes[i] for i in kept.tolist()], self.num_classes),
        }

    def targets(self) -> Targets:
        return Targets(make=self, ragged=("boxes", "labels"))


@dataclass(frozen=True, kw_only=True, slots=True)
class NextObjectTargets:
    """Objects that are touched next: `boxes` (s, 4), `verbs` (s), `contact_s` (s).

    A record has, in the order of its boxes, a segment from the frame to the contact; its label is
    a verb, counted from `num_nouns` on. Of a box that the crop cuts off entirely nothing is left.
    """

    num_nouns: int

    def __call__(self, record: Record, view: View) -> dict[str, Tensor]:
        boxes = view.boxes(torch.tensor([box.xyxy for box in record.boxes]).reshape(-1, 4))
        kept = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1).nonzero()[:, 0]
        nexts = [record.segments[i] for i in kept.tolist()]
        return {
            "boxes": boxes[kept],
            "verbs": torch.tensor([(s.label or 0) - self.num_nouns for s in nexts]).long(),
            "contact_s": torch.tensor([s.end_s - s.start_s for s in nexts]).float(),
        }

    def targets(self) -> Targets:
        return Targets(make=self, ragged=("boxes", "verbs", "contact_s"))


def box_labels(boxes: Sequence[Box], num_classes: int) -> Float[Tensor, "s y"]:
    """One for each label of a box, zero for the other classes."""
    labels = torch.zeros(len(boxes), num_classes)
    for row, box in enumerate(boxes):
        labels[row, list(box.labels)] = 1.0
    return labels


def jitter_boxes(
    boxes: Float[Tensor, "s 4"],
    generator: torch.Generator,
    *,
    enlarged: tuple[float, float] = (0.2, 0.1),
    shrunk: tuple[float, float] = (0.1, 0.05),
) -> Float[Tensor, "s 4"]:
    """Move each side of `xyxy` boxes at random: outwards or inwards by up to a share of the box.

    Args:
        boxes: In fractions of the frame, to which they are cut.
        generator: On the processor.
        enlarged: Most that a box grows, of its width and of its height, half on each side.
        shrunk: Most that it shrinks.
    """
    width, height = (boxes[:, 2:] - boxes[:, :2]).unbind(1)
    size = torch.stack([width, height, width, height], dim=1)
    least, most = (boxes.new_tensor([*share, *share]) / 2 for share in (shrunk, enlarged))
    drawn = torch.rand(boxes.shape, generator=generator).to(boxes)
    outwards = boxes.new_tensor([-1.0, -1.0, 1.0, 1.0])
    return (boxes + outwards * size * (drawn * (least + most) - least)).clamp(0, 1)
