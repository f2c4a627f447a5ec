"""Sequences of features for temporal localization, with the times of their steps.

Either what `internvideo extract` wrote, taken as it is, or folders of released features described
by stride, frames and rate. Several feature sets of one video are joined on channels.
Source: `datasets/{thumos14,anet}.py` of InternVideo's Temporal-Action-Localization release.
Shapes: features (f, d); segments (s, 2) in steps of the sequence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from internvideo.data.feature_arrays import check_finite, read_feature_array
from internvideo.data.feature_files import described, read_features, side_car
from internvideo.errors import ConfigError, DecodeError
from internvideo.values import Segment

_MOST = 1e12  # of seconds and frames a second


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureGrid:
    """Times of the steps: step i stands for the time `offset_s` + i * `step_s`."""

    step_s: float
    offset_s: float

    @classmethod
    def of_frames(
        cls, *, stride_frames: float | int, num_frames: float | int, rate_fps: float | int
    ) -> FeatureGrid:
        """Grid of features of `num_frames` each, at the middle of which a step stands."""
        if min(stride_frames, rate_fps) <= 0:
            raise ConfigError(
                f"stride {stride_frames} frames at {rate_fps} fps; both must be positive"
            )
        return cls(step_s=stride_frames / rate_fps, offset_s=0.5 * num_frames / rate_fps)

    def to_steps(self, seconds: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
        return (seconds - self.offset_s) / self.step_s

    def to_seconds(self, steps: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
        return steps * self.step_s + self.offset_s

    def agrees(self, other: FeatureGrid, num_steps: int) -> bool:
        """Whether `num_steps` steps of both stand for the same times, to a tenth of a step."""
        start = abs(self.offset_s - other.offset_s)
        end = abs(start + (num_steps - 1) * abs(self.step_s - other.step_s))
        return max(start, end) <= 0.1 * self.step_s


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FeatureSequence:
    """Features of one video; in training and evaluation also its segments and their classes."""

    video: str
    features: Float[Tensor, "f d"]
    grid: FeatureGrid
    duration_s: float
    segments: Float[Tensor, "s 2"]
    labels: Int64[Tensor, " s"]

    @classmethod
    def of(
        cls,
        video: str,
        features: Float[Tensor, "f d"],
        grid: FeatureGrid,
        *,
        duration_s: float,
        segments: Sequence[Segment] = (),
    ) -> FeatureSequence:
        """Put annotated segments, in seconds, on the grid of the features."""
        labelled = [s for s in segments if s.label is not None]
        times = torch.tensor([[s.start_s, s.end_s] for s in labelled]).reshape(-1, 2)
        return cls(
            video=video,
            features=features,
            grid=grid,
            duration_s=duration_s,
            segments=grid.to_steps(times),
            labels=torch.tensor([s.label for s in labelled], dtype=torch.long),
        )

    def __len__(self) -> int:
        return len(self.features)

    def cut(self, start: int, stop: int) -> FeatureSequence:
        """Keep steps `start` to before `stop`; segments keep their place in time, also outside."""
        return replace(
            self,
            features=self.features[start:stop],
            grid=replace(self.grid, offset_s=self.grid.offset_s + start * self.grid.step_s),
            segments=self.segments - start,
        )

    def within(self) -> FeatureSequence:
        """Clip segments to the end of the features and drop those that begin after it.

        Some videos of ActivityNet lack their last frames.
        """
        kept = self.segments[:, 0] < len(self)
        clipped = self.segments[kept].clamp(max=len(self))
        return replace(self, segments=clipped, labels=self.labels[kept])


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleasedFeatures:
    """A folder of released features and what its files do not say.

    A stride of 0 or less means that each file was resized to cover its whole video, whatever its
    length: the stride then follows from duration and number of steps, and a step stands for
    `num_frames` strides. `resize_to` stretches every file to that many steps first (linearly).
    """

    folder: Path
    stride_frames: float | int
    num_frames: float | int
    rate_fps: float | int | None = None
    prefix: str = ""
    suffix: str = ".npy"
    key: str | None = None
    downsampling: int = 1
    resize_to: int | None = None

    def __post_init__(self) -> None:
        if self.downsampling < 1:
            raise ConfigError(f"downsampling is {self.downsampling}, expected 1 or more")
        if self.resize_to is not None and self.stride_frames > 0:
            raise ConfigError(
                f"features with a stride of {self.stride_frames} frames are not resized to "
                f"{self.resize_to} steps; give a stride of -1 for features of fixed length"
            )

    def path(self, video: str) -> Path:
        """Where the features of a video are, whether its id has the prefix (or `v_`) or not."""
        bare = video.removeprefix(self.prefix)
        path = Path(self.folder) / f"{self.prefix}{bare}{self.suffix}"
        if path.exists() or not bare.startswith("v_"):
            return path
        return path.with_name(f"{self.prefix}{bare.removeprefix('v_')}{self.suffix}")

    def read(
        self, video: str, *, duration_s: float, rate_fps: float | None = None
    ) -> tuple[Float[Tensor, "f d"], FeatureGrid]:
        """Read the features of one video.

        Args:
            video: Its id, with or without the prefix.
            duration_s: Length of the video.
            rate_fps: Of the video, where the set has no rate of its own.

        Raises:
            DecodeError: If the file is missing or damaged.
            ConfigError: If no rate is known.
        """
        path = self.path(video)
        rows = torch.from_numpy(read_feature_array(path, key=self.key))
        rate = self.rate_fps or rate_fps
        if rate is None:
            raise ConfigError(f"{path}: no frame rate in the annotation; give rate_fps for the set")
        if self.stride_frames > 0:
            rows = rows[:: self.downsampling]
            stride, num_frames = self.stride_frames * self.downsampling, self.num_frames
        else:
            if self.resize_to is not None:
                rows = resize_steps(rows, self.resize_to)
            stride = duration_s * rate / len(rows)
            num_frames = stride * self.num_frames
        grid = FeatureGrid.of_frames(stride_frames=stride, num_frames=num_frames, rate_fps=rate)
        return rows.contiguous(), grid


def resize_steps(features: Float[Tensor, "f d"], num_steps: int) -> Float[Tensor, "f_out d"]:
    """Stretch a sequence linearly, as the release does to give it another file's length."""
    if len(features) == num_steps:
        return features
    return F.interpolate(features.T[None], num_steps, mode="linear", align_corners=False)[0].T


def read_released(
    sets: Sequence[ReleasedFeatures],
    video: str,
    *,
    duration_s: float,
    rate_fps: float | None = None,
    segments: Sequence[Segment] = (),
    resized_to_first: bool = False,
) -> FeatureSequence:
    """Read one video from one or several folders, joined on channels.

    Args:
        sets: The folders, the grid of the first counts.
        video: Its id.
        duration_s: Length of the video.
        rate_fps: Of the video, for sets without a rate of their own.
        segments: Annotated segments, in seconds.
        resized_to_first: Stretch the others to the length of the first, whatever their times, as
            the release does with VideoMAE features on the grid of I3D or TSP.

    Raises:
        DecodeError: If a file is missing or damaged, or the times of two do not agree.
    """
    read = [one.read(video, duration_s=duration_s, rate_fps=rate_fps) for one in sets]
    places = [str(one.path(video)) for one in sets]
    if resized_to_first:
        (first, grid), *others = read
        read = [(first, grid), *((resize_steps(rows, len(first)), grid) for rows, _ in others)]
    features, grid = _joined(places, read)
    return FeatureSequence.of(video, features, grid, duration_s=duration_s, segments=segments)


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSource:
    """What features were made with: kept with a detector, so that other features are refused."""

    model_type: str
    model_sha256: str
    pooling: str
    num_frames: int
    stride_frames: int
    rate_fps: float | str
    num_channels: int

    @classmethod
    def of_document(cls, path: Path, document: Mapping[str, Any]) -> FeatureSource:
        """Read it from the JSON beside a file of features."""
        try:
            model, request = document["model"], document["request"]
            windows = request["windows"]
            found = cls(
                model_type=model["type"],
                model_sha256=model["sha256"],
                pooling=request["pooling"],
                num_frames=windows["num_frames"],
                stride_frames=windows["stride_frames"],
                rate_fps=windows["rate_fps"],
                num_channels=document["features"]["shape"][-1],
            )
        except (KeyError, TypeError, IndexError) as error:
            raise DecodeError(
                f"{side_car(path)}: does not say {error}; extract the video again"
            ) from None
        counts = (found.num_frames, found.stride_frames, found.num_channels)
        if not all(type(count) is int and count > 0 for count in counts) or not (
            found.rate_fps == "native" or _is_positive(found.rate_fps)
        ):
            raise DecodeError(
                f"{side_car(path)}: its windows are no frames at a rate; extract the video again"
            )
        return found

    def check(self, path: Path, expected: FeatureSource) -> None:
        """Raise `ConfigError` naming the first thing in which the file differs from `expected`."""
        for name in self.__dataclass_fields__:
            found, wanted = getattr(self, name), getattr(expected, name)
            if found != wanted:
                raise ConfigError(
                    f"{path}: {name.replace('_', ' ')} is {found!s:.16}, the detector was trained "
                    f"with {wanted!s:.16}; extract the video with the same model and windows"
                )


def read_extracted(
    paths: Sequence[str | Path],
    *,
    segments: Sequence[Segment] = (),
    expected: Sequence[FeatureSource] | None = None,
) -> tuple[FeatureSequence, tuple[FeatureSource, ...]]:
    """Read what `internvideo extract` wrote of one video, once or with several models.

    Args:
        paths: A file for each feature set; their channels are put side by side.
        segments: Annotated segments, in seconds.
        expected: What each set must have been made with.

    Returns:
        The sequence, and what each set was made with.

    Raises:
        ConfigError: If a file was made otherwise than expected.
        DecodeError: If a file is damaged or the times of two do not agree.
    """
    read, sources, documents = [], [], []
    for place, path in enumerate(map(Path, paths)):
        document = described(path)
        if document is None:
            raise DecodeError(
                f"{path}: there is no {side_car(path).name} beside it that tells how it was made; "
                "extract the video again"
            )
        source = FeatureSource.of_document(path, document)
        if expected is not None:
            source.check(path, expected[place])
        try:
            rows, _ = read_features(path)
        except ConfigError as error:
            raise DecodeError(str(error)) from error
        if rows.ndim != 2:
            raise DecodeError(
                f"{path}: holds {list(rows.shape)}, expected one row a window; extract with a "
                "pooling other than tokens"
            )
        check_finite(path, rows.float().numpy())
        read.append((rows.float(), _grid_of(path, document, source)))
        sources.append(source)
        documents.append(document)
    videos = {Path(str(document.get("source", ""))).name for document in documents}
    if len(videos) > 1:
        raise DecodeError(f"{paths[0]}: features of different videos are joined: {sorted(videos)}")
    features, grid = _joined([str(path) for path in paths], read)
    sequence = FeatureSequence.of(
        videos.pop(),
        features,
        grid,
        duration_s=_said_of_video(Path(paths[0]), documents[0], "duration_s"),
        segments=segments,
    )
    return sequence, tuple(sources)


def _grid_of(path: Path, document: Mapping[str, Any], source: FeatureSource) -> FeatureGrid:
    try:
        starts = np.array([row["start_s"] for row in document["rows"]], dtype=np.float64)
    except (KeyError, TypeError, ValueError, OverflowError):
        starts = np.array([np.nan])
    if not (np.abs(starts) <= _MOST).all():
        raise DecodeError(f"{side_car(path)}: does not say the times of its rows")
    native_fps = _said_of_video(path, document, "rate_fps")
    return grid_of_windows(path, starts, source, native_fps=native_fps)


def _said_of_video(path: Path, document: Mapping[str, Any], name: str) -> float:
    video = document.get("video")
    found = video.get(name) if isinstance(video, Mapping) else None
    if not _is_positive(found):
        raise DecodeError(
            f"{side_car(path)}: {name} of its video is {found!r:.40}; extract the video again"
        )
    return float(found)


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and 0 < value <= _MOST


def grid_of_windows(
    path: Path, starts_s: Float64[np.ndarray, " f"], source: FeatureSource, *, native_fps: float
) -> FeatureGrid:
    """Grid of extracted features: a step stands for the middle of its window, were that whole.

    The last window may end early, which is why the starts are used.

    Raises:
        DecodeError: If the windows are not evenly spaced in time; the message names `path`.
    """
    rate_fps = native_fps if source.rate_fps == "native" else float(source.rate_fps)
    step_s = source.stride_frames / rate_fps
    places = np.arange(len(starts_s))
    if len(starts_s) > 1:
        step_s = float((starts_s[-1] - starts_s[0]) / (len(starts_s) - 1))
    even = starts_s[0] + places * step_s if len(starts_s) else starts_s
    if not len(starts_s) or step_s <= 0 or np.abs(starts_s - even).max() > 0.1 * step_s:
        raise DecodeError(
            f"{path}: its {len(starts_s)} rows are not evenly spaced in time; extract it with a "
            "fixed rate (--fps 8)"
        )
    return FeatureGrid(
        step_s=step_s, offset_s=float(starts_s[0]) + 0.5 * source.num_frames / rate_fps
    )


def _joined(
    places: Sequence[str], read: Sequence[tuple[Float[Tensor, "_ _"], FeatureGrid]]
) -> tuple[Float[Tensor, "f d_joined"], FeatureGrid]:
    """Put feature sets side by side whose steps stand for the same times."""
    (first, grid), *others = read
    for place, (rows, other) in zip(places[1:], others, strict=True):
        if len(rows) != len(first) or not grid.agrees(other, len(first)):
            raise DecodeError(
                f"{place}: {len(rows)} steps of {other.step_s:.4g} s from {other.offset_s:.4g} s "
                f"do not agree with {len(first)} steps of {grid.step_s:.4g} s from "
                f"{grid.offset_s:.4g} s in {places[0]}; extract both with the same windows"
            )
    return torch.cat([rows for rows, _ in read], dim=1), grid
