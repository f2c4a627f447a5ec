"""The form in which anticipation asks a network: objects in one frame, from what came before it.

Whole frames have the short side that the network was made for, padded with the mean colour to what
its patches divide. Frames behind the one that is asked about are never decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from internvideo.errors import CheckpointError
from internvideo.heads import Anticipator
from internvideo.tasks.shared.task import Pretrained
from internvideo.values import Preprocessing, Record
from internvideo.video import check_moment, open_video
from internvideo.video.sampling import key_frame_clip
from internvideo.video.transforms import normalise, resize, short_side_size


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Anticipated:
    """Of each box the probability of every verb, and seconds to contact; `size_px` is (h, w)."""

    verbs: Float[Tensor, "s y"]
    contact_s: Float[Tensor, " s"]
    size_px: tuple[int, int]


class AnticipationModel:
    """An anticipator with the names of its nouns and verbs."""

    kind: ClassVar[str] = "anticipator"

    def __init__(
        self, model: Anticipator, classes: Sequence[str], preprocessing: Preprocessing
    ) -> None:
        num_nouns = model.anticipation.num_nouns
        self.model, self.preprocessing = model, preprocessing
        self.nouns, self.verbs = tuple(classes[:num_nouns]), tuple(classes[num_nouns:])

    @classmethod
    def from_pretrained(cls, pretrained: Pretrained, *, source: str) -> AnticipationModel:
        """Take up an anticipator with its names.

        Raises:
            CheckpointError: If it is a model of another kind, or lacks its names.
        """
        model, seen = pretrained.model, pretrained.preprocessing
        if not isinstance(model, Anticipator) or not isinstance(seen, Preprocessing):
            raise CheckpointError(
                f"{source}: holds a model of kind {pretrained.kind}, which anticipates nothing; "
                "take the run of a training for anticipation"
            )
        if not pretrained.classes:
            raise CheckpointError(
                f"{source}: the names of its nouns and verbs are not kept with it"
            )
        return cls(model.eval(), pretrained.classes, seen)

    @torch.no_grad()
    def anticipate(self, record: Record, time_s: float, boxes: Float[Tensor, "s 4"]) -> Anticipated:
        """Say what will be done to the objects in boxes of the frame at a time.

        Args:
            record: The video.
            time_s: Of the frame, from the first one on.
            boxes: `xyxy` in fractions of the frame.

        Raises:
            DecodeError: The video cannot be decoded, or has no frame then.
        """
        seen, config = self.preprocessing, self.model.config
        with open_video(record) as video:
            check_moment(video, time_s)
            numbers = key_frame_clip(
                video.timestamps_s,
                time_s,
                clip_frames=seen.num_frames,
                stride_frames=seen.stride_frames,
                rate_fps=seen.rate_fps or video.info.rate_fps,
                is_last=True,
            )
            frames = video.frames(numbers.tolist(), short_side_px=config.test_side_px).frames
            size_px = (video.info.height, video.info.width)
        height, width = short_side_size(*frames.shape[1:3], config.test_side_px)
        device = next(self.model.parameters()).device
        clip = normalise(
            resize(frames, height, width)[None].to(device), mean=seen.mean, std=seen.std
        )
        clip = F.pad(clip, (0, -width % config.patch_px, 0, -height % config.patch_px))
        pixels = boxes.float().to(device) * torch.tensor([width, height] * 2, device=device)
        clip_of_box = torch.zeros(len(boxes), dtype=torch.int64, device=device)
        logits, contact_s = self.model.anticipate(clip, pixels, clip_of_box)
        return Anticipated(
            verbs=logits.float().softmax(1).cpu(), contact_s=contact_s.cpu(), size_px=size_px
        )
