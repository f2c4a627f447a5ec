"""The form in which spatiotemporal localization asks a network: boxes about a key frame, scored.

Source: the evaluation of Spatial-Temporal-Action-Localization in the InternVideo release.
Whole frames with the short side that the network was made for, padded with the mean colour to what
its patches divide; every box is a little enlarged before its features are pooled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from internvideo.errors import CheckpointError, DecodeError
from internvideo.heads import ActionDetector
from internvideo.models import enlarge_boxes
from internvideo.tasks.shared.task import Pretrained
from internvideo.values import Preprocessing, Record
from internvideo.video import OpenVideo, check_moment, open_video
from internvideo.video.sampling import key_frame_clip
from internvideo.video.transforms import normalise, resize, short_side_size

# Clips that are in memory and in the network at a time.
_CLIPS_AT_A_TIME = 4
_USUAL_FPS = 25.0


class BoxClassifier:
    """A network that says what is done in a box, with the names of its classes."""

    kind: ClassVar[str] = "action-detector"

    def __init__(
        self, model: ActionDetector, classes: Sequence[str], preprocessing: Preprocessing
    ) -> None:
        self.model, self.classes, self.preprocessing = model, tuple(classes), preprocessing

    @classmethod
    def from_pretrained(cls, pretrained: Pretrained, *, source: str) -> BoxClassifier:
        """Take up a detector with its class names.

        Raises:
            CheckpointError: If it is a model of another kind, or lacks its class names.
        """
        model, seen = pretrained.model, pretrained.preprocessing
        if not isinstance(model, ActionDetector) or not isinstance(seen, Preprocessing):
            raise CheckpointError(
                f"{source}: holds a {pretrained.kind} model, which knows no boxes; take the run of "
                "a training for spatiotemporal-localization"
            )
        if not pretrained.classes:
            raise CheckpointError(f"{source}: the names of its classes are not kept with it")
        return cls(model.eval(), pretrained.classes, seen)

    @torch.no_grad()
    def score(
        self, frames: UInt8[Tensor, "b t h w 3"], boxes: Sequence[Float[Tensor, "_ 4"]]
    ) -> list[Float[Tensor, "_ y"]]:
        """Probability of each class in each box, of clips of one size.

        Args:
            frames: Whole frames, already at the network's short side or of any other size.
            boxes: Of each clip, `xyxy` in fractions of the frame.
        """
        config, seen = self.model.config, self.preprocessing
        height, width = short_side_size(*frames.shape[2:4], config.test_side_px)
        clips = torch.stack([resize(clip, height, width) for clip in frames])
        device = next(self.model.parameters()).device
        clip = normalise(clips.to(device), mean=seen.mean, std=seen.std)
        if config.square_px is None:
            patch = config.patch_px
            clip = F.pad(clip, (0, -width % patch, 0, -height % patch))
        scale = torch.tensor([width, height] * 2, device=device)
        counts = [len(of_clip) for of_clip in boxes]
        pixels = torch.cat([of_clip.float().to(device) * scale for of_clip in boxes])
        pixels = enlarge_boxes(pixels, (height, width))
        clip_of_box = torch.arange(len(boxes)).repeat_interleave(torch.tensor(counts))
        logits = self.model(clip, pixels, clip_of_box.to(device))
        return list(logits.float().sigmoid().cpu().split(counts))

    def frame_numbers(self, video: OpenVideo, key_s: float) -> list[int]:
        """Frames of the clip about a moment; raises `DecodeError` where the video has none."""
        check_moment(video, key_s)
        seen = self.preprocessing
        return key_frame_clip(
            video.timestamps_s,
            key_s,
            clip_frames=seen.num_frames,
            stride_frames=seen.stride_frames,
            rate_fps=seen.rate_fps or _USUAL_FPS,
        ).tolist()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScoredMoment:
    """What was found at one key frame: a row for each box; `failure` says why there is none."""

    key_s: float
    scores: Float[Tensor, "s y"]
    failure: str | None = None


def score_moments(
    model: BoxClassifier,
    record: Record,
    moments: Sequence[tuple[float, Float[Tensor, "_ 4"]]],
) -> list[ScoredMoment]:
    """Score boxes at key frames of one video, each a moment in seconds and its boxes.

    A moment that cannot be decoded has a failure, and no scores.
    """
    nothing = torch.zeros(0, len(model.classes))
    try:
        with open_video(record) as video:
            return [
                scored
                for start in range(0, len(moments), _CLIPS_AT_A_TIME)
                for scored in _score(model, video, moments[start : start + _CLIPS_AT_A_TIME])
            ]
    except DecodeError as error:  # the file as a whole
        return [
            ScoredMoment(key_s=key_s, scores=nothing, failure=str(error)) for key_s, _ in moments
        ]


def _score(
    model: BoxClassifier, video: OpenVideo, moments: Sequence[tuple[float, Tensor]]
) -> list[ScoredMoment]:
    nothing = torch.zeros(0, len(model.classes))
    found = [ScoredMoment(key_s=key_s, scores=nothing) for key_s, _ in moments]
    wanted: dict[int, list[int]] = {}
    for place, (key_s, boxes) in enumerate(moments):
        try:
            numbers = model.frame_numbers(video, key_s)
        except DecodeError as error:
            found[place] = ScoredMoment(key_s=key_s, scores=nothing, failure=str(error))
            continue
        if len(boxes):
            wanted[place] = numbers
    if not wanted:
        return found
    needed, at = np.unique(list(wanted.values()), return_inverse=True)
    side_px = model.model.config.test_side_px
    try:
        frames = video.frames(needed.tolist(), short_side_px=side_px).frames
    except DecodeError as error:
        if len(moments) > 1:  # one by one, so that a damaged frame costs its own moments alone
            return [one for moment in moments for one in _score(model, video, [moment])]
        return [ScoredMoment(key_s=moments[0][0], scores=nothing, failure=str(error))]
    clips = frames[torch.from_numpy(at.reshape(len(wanted), -1))]
    scores = model.score(clips, [moments[place][1] for place in wanted])
    for place, of_boxes in zip(wanted, scores, strict=True):
        found[place] = ScoredMoment(key_s=moments[place][0], scores=of_boxes)
    return found
