"""Records become views: what is decoded of each video, how it is cropped, and what if it cannot be.

Source: data pipeline of VideoMAE (Tong et al. 2022, section 4.1 and its released loader); repeated
augmentation after Hoffer et al. 2020, "Augment Your Batch" (arXiv:1901.09335).
Shapes: views (v, t, h, w, 3) uint8, v views of one decoded window.
Differs from the released loader: a video that cannot be decoded is replaced by one that depends on
(seed, epoch, sample) alone and is reported, not by whatever comes next.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor

from internvideo.data.annotations import ANNOTATIONS
from internvideo.data.cache import FrameCache, frames_of
from internvideo.data.mirrored_text import left_right_classes, mirror_text
from internvideo.data.stateless_rng import Purpose, draw, generator, sample_seed
from internvideo.data.targets import Targets
from internvideo.errors import ConfigError, DecodeError, TrainingError, unknown_name
from internvideo.values import Annotations, ClipBatch, Preprocessing, Record, Sampling, View
from internvideo.video import open_video, storage
from internvideo.video.augment import AugmentConfig, distort, erase
from internvideo.video.sampling import (
    one_a_second,
    pretraining_window,
    uniform_test,
    uniform_training,
)
from internvideo.video.transforms import (
    Crop,
    centre_crop,
    flip,
    random_crop,
    random_multi_scale_crop,
    random_resized_crop,
    resize,
)

logger = logging.getLogger(__name__)

# Enough that a set at its limit of broken files is never given up by chance: 0.9 ** 200 < 1e-9.
_NUM_CANDIDATES = 200
_GREY = (123, 117, 104)
# Smallest crop as a part of the decoded short side, so that no crop is enlarged: the smallest
# scale of multi-scale cropping; 224 of 256 for the random crop, and for the random-resized one,
# whose own limit (0.08 of the area) would need frames 3.5 times as wide as the crop.
_SMALLEST_CROP = {
    "multi-scale": 0.66,
    "random-resized": 224 / 256,
    "random": 224 / 256,
    "centre": 1.0,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoData:
    """Where the videos of a run come from and how training sees them.

    `root` is the folder that the paths of videos start from (without it, that of the annotations);
    `source` is an annotation file or folder in the `format` of a reader in `ANNOTATIONS`, looked
    for in `root` first. `options` are further options of that reader.
    A split of None means all records; with `eval_source` a second file of the same format holds
    what to evaluate on, whatever splits the two files name. Where the annotations know no splits
    at all, a fixed `held_back_share` of the videos is kept for evaluation. `views_per_video` crops
    are taken of each decoded window in training. Frames are decoded to `short_side_px` (None: as
    little as the crops need) and, given `cache_mb`, kept in memory, once on a machine. With
    `shards_at_a_time` training goes through so many shards of a set at a time, drawn anew in every
    epoch, for storage on which reading here and there is slow.

    A clip is a window of frames `stride_frames` apart ("dense"), or one frame of each of as many
    equal segments of the whole video ("segments"): drawn in training, the middle in evaluation.
    Of a record with a key frame the clip lies about that, its frames counted at `clip_rate_fps`
    (`data/key_frames.py`).
    With "seconds" it is a frame of each second, evenly fewer where there are too many; after a
    video with too few stand frames of one grey, as in the released code of retrieval.
    Evaluation sees the middle `eval_crop` of the short side (officially 224/256 for zero-shot).
    With a `stride_range` training draws the stride of each dense window from it, both ends
    included. `augment` changes each training view further, by a draw of its own. `shuffled` puts
    the frames of every clip in an order of their own, here and in evaluation: what a network still
    learns then, it does not learn from time. `flip` mirrors half of the training views; where clips
    have captions, all views of a clip, and left and right are swapped in the sentences
    (`mirror_text`).
    """

    source: str
    eval_source: str | None = None
    format: str = "manifest"
    root: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    options: dict[str, str | int] = field(default_factory=dict)
    train_split: str | None = "train"
    eval_split: str | None = "val"
    held_back_share: float = 0.1
    sampling: Sampling = "dense"
    stride_frames: int = 4
    clip_rate_fps: float = 25.0
    stride_range: tuple[int, int] | None = None
    shuffled: bool = False
    eval_crop: float = 1.0
    crop: Literal["multi-scale", "random-resized", "random", "centre"] = "multi-scale"
    flip: bool = False
    augment: AugmentConfig | None = None
    views_per_video: int = 1
    short_side_px: int | None = None
    cache_mb: int = 0
    max_broken_share: float = 0.5
    num_workers: int = 0
    shards_at_a_time: int | None = None

    def __post_init__(self) -> None:
        if self.format not in ANNOTATIONS:
            raise unknown_name("annotation format", self.format, ANNOTATIONS)
        known = inspect.signature(ANNOTATIONS[self.format]).parameters
        for name in (*self.options, *(["columns"] if self.columns else [])):
            if name not in known:
                raise unknown_name(f"option of the {self.format} reader", name, known)
        counts = {"stride_frames": 1, "views_per_video": 1}
        counts |= {"cache_mb": 0, "num_workers": 0}
        for name, least in counts.items():
            if getattr(self, name) < least:
                raise ConfigError(f"data.{name} is {getattr(self, name)}, expected {least} or more")
        if self.shards_at_a_time is not None and self.shards_at_a_time < 1:
            raise ConfigError(
                f"data.shards_at_a_time is {self.shards_at_a_time}, expected 1 or more"
            )
        for name in ("held_back_share", "max_broken_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"data.{name} is {getattr(self, name)}, expected a share below 1")
        if self.clip_rate_fps <= 0:
            raise ConfigError(f"data.clip_rate_fps is {self.clip_rate_fps}, expected above 0")
        if not 0 < self.eval_crop <= 1:
            raise ConfigError(f"data.eval_crop is {self.eval_crop}, expected above 0 and at most 1")
        least, most = self.stride_range or (1, 1)
        if not 1 <= least <= most or (self.stride_range and self.sampling != "dense"):
            raise ConfigError(
                f"data.stride_range is {least} to {most} with {self.sampling} sampling, expected 1 "
                "or more, rising, and dense windows (segments have no stride)"
            )

    def preprocessing(self, *, num_frames: int, side_px: int, **fields: Any) -> Preprocessing:
        """Describe a model's clips as evaluation on these data sees them; `fields` say the rest."""
        return Preprocessing(
            num_frames=num_frames,
            side_px=side_px,
            crop=self.eval_crop,
            sampling=self.sampling,
            stride_frames=self.stride_frames,
            **fields,
        )

    @property
    def source_path(self) -> Path:
        """Where the annotations are."""
        return self._path(self.source)

    def _path(self, source: str) -> Path:
        inside = Path(self.root or "") / source
        return inside if inside.exists() else Path(source)

    def read(self, *, with_videos: bool = True) -> Annotations:
        """Read all records, of all splits; says so when none of their videos seems to exist.

        Without `with_videos` there may be none, as where features of them are read instead.
        """
        if self.root and not storage.is_url(self.root) and not Path(self.root).is_dir():
            hint = f"; `internvideo data playground --out {self.root}` makes a playground"
            raise ConfigError(
                f"{self.root}: there is no such folder; check where the data are (data.root, "
                f"--data, --root){hint * (Path(self.root).name == 'playground')}"
            )
        read = self._read(self.source, with_videos=with_videos)
        if self.eval_source is None:
            return read
        held_back = self._read(self.eval_source, with_videos=with_videos)
        if held_back.classes != read.classes:
            raise ConfigError(
                f"{self.eval_source} names other classes than {self.source}; read both with a "
                "reader whose classes do not depend on the file"
            )
        parts = ((read, self.train_split or "train"), (held_back, self.eval_split or "val"))
        records = (replace(r, split=split) for part, split in parts for r in part.records)
        return replace(read, records=tuple(records))

    def _read(self, source: str, *, with_videos: bool) -> Annotations:
        options = {**self.options, **({"columns": self.columns} if self.columns else {})}
        path = source if storage.is_url(source) else self._path(source)
        read = ANNOTATIONS[self.format](path, root=self.root, **options)
        first = read.records[:20]
        if with_videos and not any(record.member or record.video.exists() for record in first):
            raise ConfigError(
                f"{source}: none of its first {len(first)} videos exists, such as "
                f"{first[0].video}; set root (data.root, --root) to where their paths start from"
            )
        return read

    def select(self, annotations: Annotations, *, training: bool) -> Annotations:
        """Keep the records to train on, or those to evaluate on."""
        split = self.train_split if training else self.eval_split
        if self.eval_source is not None:
            split = split or ("train" if training else "val")
        splits = sorted({record.split for record in annotations.records if record.split})
        if split is None:
            return annotations
        if not splits:
            held_back = held_back_videos(
                annotations.records, self.source_path, self.held_back_share
            )
            kept = tuple(r for r in annotations.records if (r.video in held_back) != training)
            return replace(annotations, records=kept)
        if split not in splits:
            raise unknown_name(f"split of {self.source}", split, splits)
        return annotations.of_split(split)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sample:
    """Views of one video; none where the video cannot be decoded and may not be replaced.

    `targets` has those of each view. `broken` names the videos that were tried in vain, with the
    reasons.
    """

    views: UInt8[Tensor, "v t h w 3"]
    seeds: Int64[Tensor, " v"]
    source: str
    targets: tuple[Mapping[str, Tensor], ...] = ()
    caption: str | None = None
    broken: tuple[tuple[str, str], ...] = ()


class ClipDataset:
    """Views of the records of one split; `sample` is a pure function and safe in any process."""

    def __init__(
        self,
        annotations: Annotations,
        config: VideoData,
        *,
        num_frames: int,
        side_px: int,
        training: bool,
        seed: int = 0,
        targets: Targets | None = None,
        cache: FrameCache | None = None,
    ) -> None:
        if not annotations.records:
            raise ConfigError(
                f"{config.source}: no records to {'train' if training else 'test'} on"
            )
        self.records = annotations.records
        self.classes = annotations.classes
        self.config = config
        self.num_frames = num_frames
        self.side_px = side_px
        self.training = training
        self.seed = seed
        self.targets = targets
        self.cache = cache
        self.num_views = config.views_per_video if training else 1
        self.shard_numbers = _shard_numbers(self.records) if config.shards_at_a_time else None
        self.is_captioned = all(_sentences(record) for record in self.records)
        if training and config.flip:
            _warn_of_left_right(self.classes)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def short_side_px(self) -> int:
        """Short side of decoded frames (smaller videos stay as they are)."""
        if not self.training:
            return round(self.side_px / self.config.eval_crop)
        smallest = _SMALLEST_CROP[self.config.crop]
        return self.config.short_side_px or round(self.side_px / smallest)

    def sample(self, index: int, epoch: int = 0) -> Sample:
        """Make the views of record `index` as they are in `epoch`.

        In training a record that cannot be decoded is replaced by others, drawn from (seed, epoch,
        index), until one can be.
        """
        seeds = [sample_seed(self.seed, epoch, index, view) for view in range(self.num_views)]
        is_mirrored = self._is_mirrored(epoch, index)
        broken: list[tuple[str, str]] = []
        for attempt in range(_NUM_CANDIDATES if self.training else 1):
            candidate = self._candidate(index, epoch, attempt)
            record = self.records[candidate]
            try:
                rng = generator(Purpose.WINDOW, self.seed, epoch, index)
                frames, times = self._window(candidate, rng)
            except DecodeError as error:
                broken.append((self.name_of(record), str(error)))
                continue
            made = [self._view(frames, rng) for rng in self._draws(epoch, index)]
            views = padded_clips(torch.stack([pixels for pixels, *_ in made]), self.num_frames)
            cuts = [
                View(timestamps_s=times, crop_xyxy=crop, mirrored=is_mirrored or is_flipped)
                for _, crop, is_flipped in made
            ]
            caption = self._caption(record, epoch, index) if self.is_captioned else None
            return Sample(
                views=flip(views) if is_mirrored else views,
                seeds=torch.tensor(seeds),
                source=str(record.video),
                targets=tuple(self._targets(record, cut) for cut in cuts),
                caption=mirror_text(caption) if caption and is_mirrored else caption,
                broken=tuple(broken),
            )
        if self.training:
            raise TrainingError(
                f"none of {_NUM_CANDIDATES} videos drawn one after another can be decoded; "
                f"the first: {broken[0][1]}"
            )
        return Sample(
            views=torch.empty(0, self.num_frames, self.side_px, self.side_px, 3, dtype=torch.uint8),
            seeds=torch.empty(0, dtype=torch.int64),
            source=str(self.records[index].video),
            broken=tuple(broken),
        )

    def name_of(self, record: Record) -> str:
        """What a record that cannot be decoded is called, and counted once as."""
        return str(record.video)

    def collate(self, samples: Sequence[Sample]) -> ClipBatch:
        """Join samples into one batch, the views of a video next to each other."""
        of_views = [sample for sample in samples for _ in range(len(sample.views))]
        targets = [target for sample in samples for target in sample.targets]
        captions = tuple(s.caption for s in of_views if s.caption is not None)
        return ClipBatch(
            frames=torch.cat([sample.views for sample in samples]),
            seeds=torch.cat([sample.seeds for sample in samples]),
            sources=tuple(sample.source for sample in of_views),
            targets={} if self.targets is None else self.targets.collate(targets),
            captions=captions if self.is_captioned else None,
        )

    def captions_of(self, index: int) -> tuple[str, ...]:
        """What is truly said of a record, in the order of the annotations."""
        return _sentences(self.records[index])

    def _targets(self, record: Record, view: View) -> Mapping[str, Tensor]:
        return {} if self.targets is None else self.targets.make(record, view)

    def _is_mirrored(self, epoch: int, index: int) -> bool:
        """Draw whether all views of a captioned record are mirrored, and so its sentences."""
        if not (self.training and self.config.flip and self.is_captioned):
            return False
        return bool(draw(Purpose.MIRROR, self.seed, epoch, index) % 2)

    def _caption(self, record: Record, epoch: int, index: int) -> str:
        number = draw(Purpose.CAPTION, self.seed, epoch, index) if self.training else 0
        sentences = _sentences(record)
        return sentences[int(number) % len(sentences)]

    def _candidate(self, index: int, epoch: int, attempt: int) -> int:
        if not attempt:
            return index
        number = draw(Purpose.REPLACEMENT, self.seed, epoch, index, attempt)
        return int(number) % len(self.records)

    def _window(
        self, index: int, rng: np.random.Generator
    ) -> tuple[UInt8[Tensor, "t h w 3"], Float64[Tensor, " t"]]:
        """Decode, or take from the cache, the frames of one window, and when each is shown."""
        cached = None if self.cache is None else self.cache.frames(index)
        if self.cache is not None and cached is not None:
            times = self.cache.timestamps_s(index)
            order = self._frame_order(times, rng)
            return cached[order], torch.from_numpy(times[order])
        record = self.records[index]
        with open_video(record) as video:
            part = frames_of(record, video)
            times = video.timestamps_s[part.start : part.stop]
            numbers = [part[i] for i in self._frame_order(times, rng)]
            clip = video.frames(numbers, short_side_px=self.short_side_px)
            return clip.frames, torch.from_numpy(video.timestamps_s[numbers])

    def _frame_order(self, times: NDArray[np.float64], rng: np.random.Generator) -> list[int]:
        if self.config.sampling == "seconds":
            numbers = one_a_second(times, clip_frames=self.num_frames).tolist()
        else:
            numbers = self._frame_numbers(len(times), rng)
        return rng.permutation(numbers).tolist() if self.config.shuffled else numbers

    def _frame_numbers(self, available: int, rng: np.random.Generator) -> list[int]:
        """Choose at random for training, and the middle, of time or of each part, otherwise."""
        if self.config.sampling == "segments":
            if self.training:
                picks = uniform_training(available, clip_frames=self.num_frames, generator=rng)
            else:
                picks = uniform_test(available, clip_frames=self.num_frames)
            return picks.tolist()
        stride = self.config.stride_frames
        if self.training and self.config.stride_range:
            least, most = self.config.stride_range
            stride = int(rng.integers(least, most + 1))
        free = max(0, available - self.num_frames * stride)
        return pretraining_window(
            available,
            clip_frames=self.num_frames,
            stride_frames=stride,
            start=int(rng.integers(free + 1)) if self.training else free // 2,
        ).tolist()

    def _draws(self, epoch: int, index: int) -> list[np.random.Generator]:
        parts = (self.seed, epoch, index)
        return [generator(Purpose.AUGMENTATION, *parts, view) for view in range(self.num_views)]

    def _view(
        self, frames: UInt8[Tensor, "t h w 3"], rng: np.random.Generator
    ) -> tuple[UInt8[Tensor, "t s s 3"], tuple[float, float, float, float], bool]:
        """Cut one view out; beside it the crop in fractions, and whether the view was flipped."""
        height, width = frames.shape[1:3]
        crop = self._crop(height, width, rng)
        augment = self.config.augment if self.training else None
        if augment and not augment.after_crop:
            frames = distort(frames, augment, rng)
        view = resize(crop.of(frames), self.side_px, self.side_px)
        draws_flip = self.training and self.config.flip and not self.is_captioned
        is_flipped = draws_flip and bool(rng.random() < 0.5)
        view = flip(view) if is_flipped else view
        if augment and augment.after_crop:
            view = distort(view, augment, rng)
        view = erase(view, augment, rng) if augment else view
        right, bottom = crop.left + crop.width, crop.top + crop.height
        xyxy = (crop.left / width, crop.top / height, right / width, bottom / height)
        return view, xyxy, is_flipped

    def _crop(self, height: int, width: int, rng: np.random.Generator) -> Crop:
        if not self.training:
            return centre_crop(height, width, round(min(height, width) * self.config.eval_crop))
        if self.config.crop == "centre":
            return centre_crop(height, width, min(height, width))
        if self.config.crop == "random":
            return random_crop(height, width, self.side_px / self.short_side_px, rng)
        if self.config.crop == "random-resized":
            return random_resized_crop(height, width, rng)
        return random_multi_scale_crop(height, width, self.side_px, rng)


def padded_clips(clips: UInt8[Tensor, "v t h w 3"], num_frames: int) -> UInt8[Tensor, "v n h w 3"]:
    """Put frames of one grey, CLIP's mean, after clips of fewer frames.

    The released code puts zeros there after normalising; this is within 0.004 of them.
    """
    missing = num_frames - clips.shape[1]
    if not missing:
        return clips
    grey = torch.tensor(_GREY, dtype=torch.uint8)
    return torch.cat([clips, grey.expand(len(clips), missing, *clips.shape[2:])], dim=1)


def _sentences(record: Record) -> tuple[str, ...]:
    """True sentences on a record: its captions, or the right one of its candidates."""
    if record.candidates and record.answer is not None:
        return (record.answer,)
    return record.captions


def _warn_of_left_right(classes: tuple[str, ...]) -> None:
    named = left_right_classes(classes)
    if named:
        logger.warning(
            "data.flip mirrors training clips, but %d of %d classes tell left from right, such as "
            "%r; set data.flip=false",
            len(named),
            len(classes),
            named[0],
        )


def held_back_videos(records: tuple[Record, ...], source: Path, share: float) -> set[Path]:
    """Choose a fixed share of the videos by their paths below the source, whatever their order."""
    home = source if source.is_dir() else source.parent

    def rank(video: Path) -> int:
        letters = os.path.relpath(video, home).replace(os.sep, "/").encode()
        return int(draw(Purpose.HELD_BACK, *letters))

    videos = sorted({record.video for record in records}, key=rank)
    count = round(share * len(videos))
    return set(videos[: max(count, 1) if share and len(videos) > 1 else 0])


def _shard_numbers(records: tuple[Record, ...]) -> NDArray[np.int64]:
    """Tell for each record which shard it lies in, numbered as they are met."""
    numbers: dict[str, int] = {}
    for record in records:
        if record.member is None:
            raise ConfigError(
                f"data.shards_at_a_time is given, but {record.video} lies in no shard; leave it out"
            )
        numbers.setdefault(record.member.shard, len(numbers))
    return np.array([numbers[record.member.shard] for record in records if record.member])
