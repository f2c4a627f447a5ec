"""Long videos made of labelled clips, with parts of other videos between them.

Where a clip begins and ends is known exactly, so that temporal localization can be tried on real
actions of any set of trimmed clips. Files: videos/NAME.mp4, and segments.csv with the columns
`path,start_s,end_s,label,split,duration_s`. Splits stay apart: a clip is used in its own split
alone, and so is what stands between clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from internvideo.data.annotations.localization import write_segment_csv
from internvideo.errors import ConfigError
from internvideo.values import Annotations, Record, Segment
from internvideo.video import open_video, write_video
from internvideo.video.transforms import resize
from internvideo.writing import written_beside

_SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class JoiningConfig:
    """How many clips a video has, what lies between them, and its size and rate.

    Before the first clip, between two and after the last one stands a part of another video, of
    `background_s` seconds or all of it.
    """

    num_clips: tuple[int, int] = (3, 8)
    background_s: tuple[float, float] = (1.0, 5.0)
    height_px: int = 120
    width_px: int = 160
    rate_fps: float = 25.0

    def __post_init__(self) -> None:
        least, most = self.num_clips
        shortest_s, longest_s = self.background_s
        if not (1 <= least <= most and 0 < shortest_s <= longest_s < float("inf")):
            raise ConfigError(
                f"{self.num_clips} clips with {self.background_s} s between them; expected rising "
                "numbers above 0"
            )
        if min(self.height_px, self.width_px) < 2 or not 0 < self.rate_fps < float("inf"):
            raise ConfigError(
                f"videos of {self.width_px} x {self.height_px} pixels at {self.rate_fps} frames a "
                "second cannot be written"
            )


def join_clips(
    clips: Annotations,
    background: Sequence[Path],
    folder: Path,
    *,
    num_videos: int = 60,
    seed: int = 0,
    config: JoiningConfig | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write videos of joined clips into a new folder, and return the number of their segments.

    Args:
        clips: Trimmed clips, each of one class. Without splits all are to train on.
        background: Videos that show none of the classes.
        folder: Where everything goes; it is complete or absent.
        num_videos: Of all splits, in proportion to their clips.
        seed: Same seed and files, same videos.
        config: Lengths and sizes.
        on_progress: Called with the videos that are done and that there will be.

    Raises:
        ConfigError: If the folder exists, or a split has neither clips nor background enough.
        DecodeError: If a file cannot be decoded.
    """
    config = config or JoiningConfig()
    if folder.exists():
        raise ConfigError(f"{folder}: exists already; choose another folder or remove it")
    parts = {
        split: [r for r in clips.records if len(r.labels) == 1 and (r.split or "train") == split]
        for split in _SPLITS
    }
    parts = {split: records for split, records in parts.items() if records}
    if not parts or len(background) < len(parts):
        raise ConfigError(
            f"{sum(map(len, parts.values()))} clips of one class in {len(parts)} splits and "
            f"{len(background)} videos as background; each split needs some of both"
        )
    total = sum(len(records) for records in parts.values())
    counts = {s: max(1, round(num_videos * len(r) / total)) for s, r in parts.items()}
    shuffled = np.random.default_rng(seed).permutation(len(background))
    joined: list[Record] = []
    with written_beside(folder) as beside:
        (beside / "videos").mkdir()
        for place, (split, records) in enumerate(parts.items()):
            others = [background[i] for i in shuffled[place :: len(parts)]]
            for number in range(counts[split]):
                video = _Joined(config, np.random.default_rng((seed, place, number)))
                path = beside / "videos" / f"{split}_{number:03d}.mp4"
                write_video(
                    path, video.frames(records, others), config.rate_fps, preset="superfast"
                )
                joined.append(
                    Record(
                        video=path,
                        segments=tuple(video.segments),
                        duration_s=video.seconds(video.num_frames),
                        split=split,
                    )
                )
                if on_progress is not None:
                    on_progress(len(joined), sum(counts.values()))
        annotations = Annotations(records=tuple(joined), classes=clips.classes)
        write_segment_csv(annotations, beside / "segments.csv")
        beside.rename(folder)
    return sum(len(record.segments) for record in joined)


class _Joined:
    """One video while it is written; afterwards it knows its segments."""

    def __init__(self, config: JoiningConfig, rng: np.random.Generator) -> None:
        self.config, self.rng = config, rng
        self.num_frames, self.segments = 0, list[Segment]()

    def seconds(self, num_frames: int) -> float:
        return round(num_frames / self.config.rate_fps, 3)

    def frames(self, clips: Sequence[Record], others: Sequence[Path]) -> Iterator[np.ndarray]:
        least, most = self.config.num_clips
        count = min(int(self.rng.integers(least, most + 1)), len(clips))
        for place in self.rng.permutation(len(clips))[:count]:
            yield from self._background(others)
            clip, start = clips[place], self.num_frames
            yield from self._read(clip, clip.start_s or 0.0, clip.end_s)
            start_s, end_s = self.seconds(start), self.seconds(self.num_frames)
            self.segments.append(Segment(start_s=start_s, end_s=end_s, label=clip.labels[0]))
        yield from self._background(others)

    def _background(self, others: Sequence[Path]) -> Iterator[np.ndarray]:
        path = others[int(self.rng.integers(len(others)))]
        length_s, place = self.rng.uniform(*self.config.background_s), self.rng.uniform()
        with open_video(path) as opened:
            start_s = place * max(0.0, opened.info.duration_s - length_s)
        yield from self._read(path, start_s, start_s + length_s)

    def _read(
        self, source: Record | Path, start_s: float, end_s: float | None
    ) -> Iterator[np.ndarray]:
        """Frames on screen at the video's rate, from a part of another one."""
        with open_video(source) as opened:
            end_s = min(end_s or float("inf"), opened.info.duration_s)
            count = max(1, round((end_s - start_s) * self.config.rate_fps))
            wanted_s = start_s + np.arange(count) / self.config.rate_fps
            index = np.searchsorted(opened.timestamps_s, wanted_s + 1e-6, side="right") - 1
            unique, back = np.unique(index.clip(0), return_inverse=True)
            side_px = max(self.config.height_px, self.config.width_px)
            pixels = self._filled(opened.frames(unique.tolist(), short_side_px=side_px).frames)
        self.num_frames += count
        yield from pixels.numpy()[back]

    def _filled(self, frames: Tensor) -> Tensor:
        """Scale frames until they fill the video's, and keep the middle."""
        height, width = self.config.height_px, self.config.width_px
        scale = max(height / frames.shape[1], width / frames.shape[2])
        tall = max(height, round(frames.shape[1] * scale))
        wide = max(width, round(frames.shape[2] * scale))
        top, left = (tall - height) // 2, (wide - width) // 2
        return resize(frames, tall, wide)[:, top : top + height, left : left + width]
