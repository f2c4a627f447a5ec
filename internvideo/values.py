"""What flows between the folders: clips, records, batches, token grids, representations.

Axes use one alphabet everywhere (README, "Words"): b batch, t h w frames, rows and
columns, c colour channels, n tubelet tokens (time-major), k visible and m masked tokens, d width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from internvideo.errors import ConfigError

# How frames are taken: a window of frames a stride apart; one of each of equal segments; or one a
# second, with grey frames after a video that is shorter than the clip.
Sampling = Literal["dense", "segments", "seconds"]

# Mean and standard deviation of pixels in [0, 1], red first: what the VideoMAE family subtracts.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Of one clip; attention among more would take terabytes.
MOST_TOKENS = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Tubelet:
    """Extent of one token in frames and pixels; the default is VideoMAE's 2 x 16 x 16."""

    time: int = 2
    height: int = 16
    width: int = 16

    def __post_init__(self) -> None:
        if min(self.time, self.height, self.width) < 1:
            raise ConfigError(f"tubelet {self} has an extent below 1; every extent is at least 1")

    @property
    def num_pixels(self) -> int:
        """Values in one tubelet over three colour channels."""
        return self.time * self.height * self.width * 3


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenGrid:
    """How many tokens a clip has along time, rows and columns; tokens are time-major."""

    time: int
    height: int
    width: int

    @classmethod
    def of(cls, num_frames: int, side_px: int, tubelet: Tubelet) -> TokenGrid:
        """Divide a square clip into tubelets; raises `ConfigError` where it does not divide."""
        for what, size, extent in (
            ("num_frames", num_frames, tubelet.time),
            ("side_px", side_px, tubelet.height),
            ("side_px", side_px, tubelet.width),
        ):
            if size < extent or size % extent:
                raise ConfigError(
                    f"{what} {size} is not a positive multiple of the tubelet's extent {extent}; "
                    f"choose {what} as {max(1, round(size / extent)) * extent} or another tubelet"
                )
        grid = cls(
            time=num_frames // tubelet.time,
            height=side_px // tubelet.height,
            width=side_px // tubelet.width,
        )
        if grid.num_tokens > MOST_TOKENS:
            raise ConfigError(
                f"{num_frames} frames of {side_px} px are {grid.num_tokens} tokens, more than "
                f"{MOST_TOKENS}; take fewer frames or smaller ones"
            )
        return grid

    @property
    def num_places(self) -> int:
        """Tokens of one temporal slot."""
        return self.height * self.width

    @property
    def num_tokens(self) -> int:
        return self.time * self.num_places


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Clip:
    """Frames taken together from one video, as decoded.

    `timestamps_s[i]` is the presentation time of frame i in seconds from the video's first frame.
    """

    frames: UInt8[Tensor, "t h w 3"]
    timestamps_s: Float[Tensor, " t"]
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """What clips a model was made for: how frames are sampled, cropped and normalised.

    `crop` is the share of the short side that the model sees. Clips about key frames count frames
    at `rate_fps`, whatever the rate of the video. The stage that trains the model, its saved folder
    and the tasks that use it all read this one description.
    """

    num_frames: int = 16
    side_px: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    crop: float = 1.0
    sampling: Sampling = "dense"
    stride_frames: int = 4
    rate_fps: float | None = None

    def __post_init__(self) -> None:
        if min(self.num_frames, self.side_px, self.stride_frames) < 1 or not 0 < self.crop <= 1:
            raise ConfigError(
                f"preprocessing takes {self.num_frames} frames, {self.stride_frames} apart, of "
                f"{self.side_px} px from {self.crop} of the short side; all are positive and the "
                "crop at most 1"
            )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class View:
    """How a clip was cut out of its video: what targets in seconds and in pixels depend on.

    `timestamps_s` are those of its frames, in the video's own time; `crop_xyxy` is the crop in
    fractions of the frame, before the clip was mirrored. Distortions of colour and shape
    (`AugmentConfig`) are not part of it.
    """

    timestamps_s: Float[Tensor, " t"]
    crop_xyxy: tuple[float, float, float, float]
    mirrored: bool = False

    @property
    def start_s(self) -> float:
        """Time of the earliest frame."""
        return float(self.timestamps_s.min())

    @property
    def end_s(self) -> float:
        """Time of the latest frame."""
        return float(self.timestamps_s.max())

    def boxes(self, xyxy: Float[Tensor, "s 4"]) -> Float[Tensor, "s 4"]:
        """Move boxes from fractions of the frame to fractions of the view.

        What lies outside the crop is cut off; a box without any part inside has no area.
        """
        left, top, right, bottom = self.crop_xyxy
        corner = xyxy.new_tensor([left, top, left, top])
        size = xyxy.new_tensor([right - left, bottom - top] * 2)
        inside = ((xyxy - corner) / size).clamp(0, 1)
        if not self.mirrored:
            return inside
        x1, y1, x2, y2 = inside.unbind(1)
        return torch.stack([1 - x2, y1, 1 - x1, y2], dim=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A span of a video with what happens in it."""

    start_s: float
    end_s: float
    label: int | None = None
    caption: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """One actor at one moment; `xyxy` in fractions of the frame."""

    time_s: float
    xyxy: tuple[float, float, float, float]
    labels: tuple[int, ...] = ()
    actor: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """Bytes of a file inside a tar shard, which is a path or an address such as `s3://...`."""

    shard: str
    start: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One annotated item. Readers fill what their format has; the rest stays empty.

    `video` is a file, or a folder of frames when `frame_template` is given (such as
    ``img_{:05}.jpg``); then `first_frame` is the number of the first frame file and
    `num_frames` how many there are. `start_s`, `end_s` restrict the item to a part of the video.
    With `member` the bytes lie inside a shard and `video` is only their name. `duration_s` and
    `rate_fps` are those of the whole video, as the annotation states them. All `boxes` are those
    of the key frame at `key_s`, where there is one. `question_kind` is what accuracy is told apart
    by, such as "colour". `group` names the recording, person or scene that it is one of several of.
    `line` is where a manifest has the record, for messages.
    """

    video: Path
    member: Member | None = None
    start_s: float | None = None
    end_s: float | None = None
    duration_s: float | None = None
    rate_fps: float | None = None
    first_frame: int = 0
    num_frames: int | None = None
    frame_template: str | None = None
    labels: tuple[int, ...] = ()
    captions: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()
    boxes: tuple[Box, ...] = ()
    key_s: float | None = None
    question: str | None = None
    question_kind: str | None = None
    answer: str | None = None
    candidates: tuple[str, ...] = ()
    split: str | None = None
    group: str | None = None
    line: int | None = field(default=None, compare=False)

    @property
    def clip(self) -> tuple[object, ...]:
        """What two records share that show the same frames, however they describe them."""
        part = (self.start_s, self.end_s, self.first_frame, self.num_frames, self.key_s)
        return (self.video, self.member, self.frame_template, *part)

    @property
    def statements(self) -> tuple[str, ...]:
        """The candidates as texts to compare with a clip: each behind the question, if any."""
        if self.question is None:
            return self.candidates
        return tuple(f"{self.question} {candidate}" for candidate in self.candidates)

    @property
    def label(self) -> int | None:
        """The only label, or None where the item has none; several raise `ValueError`."""
        if len(self.labels) > 1:
            raise ValueError(f"{self.video}: has {len(self.labels)} labels, not one; use `labels`")
        return self.labels[0] if self.labels else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotations:
    """Records together with the class names that their labels index (empty without labels)."""

    records: tuple[Record, ...]
    classes: tuple[str, ...] = ()

    def of_split(self, split: str) -> Annotations:
        """Keep the records of one split, in order."""
        kept = tuple(record for record in self.records if record.split == split)
        return replace(self, records=kept)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClipBatch:
    """Clips ready for a model, still as bytes; normalising happens on the device.

    `seeds[i]` belongs to sample i alone and is a function of (run seed, epoch, sample, view):
    whatever is drawn for a sample after loading (its mask, say) is drawn from it, so that the
    result does not depend on the number of ranks, workers or micro-batches. `targets` are what the
    stage or task that asked for the data makes of each record and view (`data.Targets`), by name;
    each tensor has b rows. `captions` holds one of each video's sentences: in training one drawn
    for the epoch, otherwise the first; a record with candidates has its answer for a caption.
    """

    frames: UInt8[Tensor, "b t h w 3"]
    seeds: Int64[Tensor, " b"]
    sources: tuple[str, ...]
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    captions: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def to(self, device: torch.device) -> ClipBatch:
        """Move frames and targets; seeds stay on the processor, where things are drawn from them.

        From pinned memory the copies do not wait for one another.
        """
        return replace(
            self,
            frames=self.frames.to(device, non_blocking=True),
            targets={k: v.to(device, non_blocking=True) for k, v in self.targets.items()},
        )

    def pin_memory(self) -> ClipBatch:
        """Copy into memory from which a CUDA device can read; torch's loader calls it."""
        return replace(
            self,
            frames=self.frames.pin_memory(),
            seeds=self.seeds.pin_memory(),
            targets={name: target.pin_memory() for name, target in self.targets.items()},
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """Which part of every global batch one process works on: part `index` of `count`."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(f"share {self.index} of {self.count} does not exist")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Representation:
    """What an encoder gives to heads: tokens on their grid and their pooled form."""

    tokens: Float[Tensor, "b n d"]
    pooled: Float[Tensor, "b d"]
    grid: TokenGrid
