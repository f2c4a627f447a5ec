"""Frame sampling: which frames of a video make a clip, as pure functions of numbers.

Source: the loaders of VideoMAE (`mae.py`, `kinetics.py`, `ssv2.py`), of UniFormerV2 (`decoder.py`,
`sth.py`) in the InternVideo release, and Wang et al. 2016, "Temporal Segment Networks".
Every function returns frame numbers from 0; videos shorter than a clip repeat frames as the
official loader does. Random ones take a generator, the others are deterministic.
Differs from the released code: numbers start at 0 also where its files are numbered from 1.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from internvideo.errors import ConfigError

Indices = Int64[np.ndarray, " t"]
Views = Int64[np.ndarray, "v t"]


def pretraining_window(
    num_frames: int, *, clip_frames: int = 16, stride_frames: int = 4, start: int = 0
) -> Indices:
    """Take every `stride_frames`-th frame from `start`; at the end the last one taken repeats.

    As in the official loader the video's last frame itself is never reached by a step.
    """
    _check(num_frames, clip_frames, stride_frames)
    if not 0 <= start < num_frames:
        raise ConfigError(f"start {start} lies outside the video's {num_frames} frames")
    num_steps = max(0, (num_frames - 2 - start) // stride_frames)
    return start + np.minimum(np.arange(clip_frames), num_steps) * stride_frames


def one_a_second(times_s: NDArray[np.float64], *, clip_frames: int) -> Indices:
    """Take the first frame of every second, at most `clip_frames` of them, evenly; may be fewer.

    Args:
        times_s: When each frame is shown, rising.
        clip_frames: The most frames.

    Source: `dataloader_msrvtt_retrieval.py` of Video-Text-Retrieval in the InternVideo release.
    """
    seconds = np.arange(times_s[0], times_s[-1] + 1e-6)
    found = np.unique(np.searchsorted(times_s, seconds - 1e-6))
    if len(found) > clip_frames:
        found = found[np.linspace(0, len(found) - 1, clip_frames).astype(int)]
    return found


def random_pretraining_window(
    num_frames: int,
    *,
    clip_frames: int = 16,
    stride_frames: int = 4,
    generator: np.random.Generator,
) -> Indices:
    """`pretraining_window` from a start drawn uniformly among those that fit, or from 0."""
    last = max(0, num_frames - clip_frames * stride_frames)
    start = int(generator.integers(last + 1))
    return pretraining_window(
        num_frames, clip_frames=clip_frames, stride_frames=stride_frames, start=start
    )


def dense_training(
    num_frames: int,
    *,
    clip_frames: int = 16,
    stride_frames: int = 4,
    num_segments: int = 1,
    generator: np.random.Generator | None = None,
) -> Indices:
    """VideoMAE's Kinetics clip: `clip_frames` over a window in each of `num_segments` segments.

    The window's place in its segment is drawn with a generator (training) and is the middle
    without one (validation). Its frames are evenly spaced with both ends included, so their
    distance is slightly above the stride.
    """
    _check(num_frames, clip_frames, stride_frames)
    window, segment = clip_frames * stride_frames, num_frames // num_segments
    parts = []
    for number in range(num_segments):
        if segment <= window:
            inside = np.linspace(0, segment, num=segment // stride_frames)
            padding = np.full(clip_frames - len(inside), float(segment))
            picks = np.clip(np.concatenate([inside, padding]), 0, segment - 1)
        else:
            free = segment - window
            end = window + (free // 2 if generator is None else int(generator.integers(free)))
            picks = np.clip(np.linspace(end - window, end, num=clip_frames), end - window, end - 1)
        parts.append(picks.astype(np.int64) + number * segment)
    return np.concatenate(parts)


def dense_validation(
    num_frames: int, *, clip_frames: int = 16, stride_frames: int = 4, num_segments: int = 1
) -> Indices:
    """`dense_training` from the middle of each segment."""
    return dense_training(
        num_frames, clip_frames=clip_frames, stride_frames=stride_frames, num_segments=num_segments
    )


def dense_test_frames(num_frames: int, *, clip_frames: int = 16, stride_frames: int = 4) -> Indices:
    """Every `stride_frames`-th frame of the video, at least `clip_frames` by repeating the last."""
    _check(num_frames, clip_frames, stride_frames)
    frames = np.arange(0, num_frames, stride_frames)
    return np.pad(frames, (0, max(0, clip_frames - len(frames))), mode="edge")


def dense_test(
    num_frames: int, *, clip_frames: int = 16, stride_frames: int = 4, num_views: int = 5
) -> Views:
    """Cut `num_views` evenly spaced clips from `dense_test_frames`; a single one is the middle.

    The official code divides by zero for a single view.
    """
    frames = dense_test_frames(num_frames, clip_frames=clip_frames, stride_frames=stride_frames)
    free = len(frames) - clip_frames
    starts = (
        [free // 2]
        if num_views == 1
        else [int(i * (free / (num_views - 1))) for i in range(num_views)]
    )
    return np.stack([frames[start : start + clip_frames] for start in starts])


def sparse_test(num_frames: int, *, clip_frames: int = 16, num_views: int = 2) -> Views:
    """Spread each clip over the whole video; view i is the i-th phase of a uniform grid.

    VideoMAE's test on Something-Something, and on Kinetics when trained sparsely.
    """
    _check(num_frames, clip_frames)
    tick = num_frames / clip_frames
    grid = [
        int(view * tick / num_views + tick * place)
        for view in range(num_views)
        for place in range(clip_frames)
    ]
    return np.sort(np.array(grid, dtype=np.int64)).reshape(clip_frames, num_views).T.copy()


def segment_training(
    num_frames: int, *, clip_frames: int = 16, generator: np.random.Generator | None = None
) -> Indices:
    """VideoMAE's Something-Something clip: one frame in each of `clip_frames` equal segments.

    Drawn uniformly with a generator (training), the middle without one (validation). A video with
    fewer frames than segments is preceded by repeats of its first frame.
    """
    _check(num_frames, clip_frames)
    segment = num_frames // clip_frames
    if segment == 0:
        return np.pad(np.arange(num_frames), (clip_frames - num_frames, 0), mode="edge")
    inside = segment // 2 if generator is None else generator.integers(segment, size=clip_frames)
    return np.arange(clip_frames) * segment + inside


def segment_validation(num_frames: int, *, clip_frames: int = 16) -> Indices:
    """`segment_training` at the middle of each segment."""
    return segment_training(num_frames, clip_frames=clip_frames)


def uniform_training(
    num_frames: int, *, clip_frames: int = 8, generator: np.random.Generator
) -> Indices:
    """UniFormerV2's sparse clip: one frame drawn from each segment, both ends included.

    The same rule serves its Something-Something loader, whose files are numbered from 1.
    """
    bounds = _segment_bounds(num_frames, clip_frames)
    return generator.integers(bounds[:-1], bounds[1:], endpoint=True)


def uniform_test(
    num_frames: int, *, clip_frames: int = 8, view: int = 0, num_views: int = 1
) -> Indices:
    """Take the frame of each segment at (view + 1) / (num_views + 1) of its length."""
    _check_view(view, num_views)
    bounds = _segment_bounds(num_frames, clip_frames)
    offset = int((num_frames - 1) / clip_frames / (num_views + 1) * (view + 1))
    return np.minimum(bounds[:-1] + offset, num_frames - 1)


def _segment_bounds(num_frames: int, clip_frames: int) -> Int64[np.ndarray, " bounds"]:
    _check(num_frames, clip_frames)
    # np.round sends halves to the even neighbour; so does the official code.
    length = (num_frames - 1) / clip_frames
    return np.round(np.arange(clip_frames + 1) * length).astype(np.int64)


def dense_view_start(
    num_frames: int,
    *,
    clip_frames: int = 8,
    stride_frames: int = 4,
    view: int = 0,
    num_views: int = 1,
    whole_steps: bool = False,
) -> float:
    """Where view `view` of UniFormerV2's dense test begins, in frames.

    Plainly the views divide the free length into `num_views`, so the last ends before the video
    does; with `whole_steps` (the official offset variant) they are whole frames apart and reach
    the end, and a single view is the middle.
    """
    _check(num_frames, clip_frames, stride_frames)
    _check_view(view, num_views)
    free = max(num_frames - clip_frames * stride_frames, 0)
    if not whole_steps:
        return free * view / num_views
    return float(free // 2 if num_views == 1 else view * (free // (num_views - 1)))


def dense_view(
    num_frames: int,
    *,
    clip_frames: int = 8,
    stride_frames: int = 4,
    view: int = 0,
    num_views: int = 1,
    whole_steps: bool = False,
) -> Indices:
    """UniFormerV2's dense test clip; see `dense_view_start` for where the views lie."""
    start = dense_view_start(
        num_frames,
        clip_frames=clip_frames,
        stride_frames=stride_frames,
        view=view,
        num_views=num_views,
        whole_steps=whole_steps,
    )
    return _evenly_spaced(num_frames, start, clip_frames, stride_frames)


def dense_view_training(
    num_frames: int,
    *,
    clip_frames: int = 8,
    stride_frames: int = 4,
    generator: np.random.Generator,
) -> Indices:
    """UniFormerV2's dense training clip: its start is drawn uniformly, also between frames."""
    _check(num_frames, clip_frames, stride_frames)
    free = max(num_frames - clip_frames * stride_frames, 0)
    return _evenly_spaced(num_frames, generator.uniform(0, free), clip_frames, stride_frames)


def _evenly_spaced(num_frames: int, start: float, clip_frames: int, stride_frames: int) -> Indices:
    end = start + clip_frames * stride_frames - 1
    # In float32 and through torch, because the official indices depend on its rounding.
    places = torch.linspace(start, end, clip_frames, dtype=torch.float32)
    return places.clamp(0, num_frames - 1).long().numpy()


def key_frame_clip(
    timestamps_s: Float64[np.ndarray, " f"],
    key_s: float,
    *,
    clip_frames: int = 16,
    stride_frames: int = 4,
    rate_fps: float = 25.0,
    is_last: bool = False,
) -> Indices:
    """Choose the frames on screen at `clip_frames` moments about a key frame, by their times.

    The moments are `stride_frames` / `rate_fps` seconds apart, whatever the rate of the video, and
    lie as in the released code for AVA: of 64 frames, from 32 before the key frame on, numbers 1,
    5, ..., 61. Before the first frame and behind the last one these repeat.

    Args:
        timestamps_s: Presentation time of every frame of the video, rising.
        key_s: Time of the key frame, from the first frame on.
        clip_frames: Frames to choose.
        stride_frames: Their distance, in frames of `rate_fps`.
        rate_fps: Nominal rate; 25 is that of the released code's files.
        is_last: Whether the key frame is the last of the clip, and not about its middle.
    """
    _check(len(timestamps_s), clip_frames, stride_frames)
    first = (stride_frames - 1) // 2 - clip_frames * stride_frames / 2
    if is_last:
        first = -stride_frames * (clip_frames - 1)
    moments = key_s + (first + stride_frames * np.arange(clip_frames)) / rate_fps
    return frames_on_screen(timestamps_s, moments)


def frames_on_screen(
    timestamps_s: Float64[np.ndarray, " f"], moments_s: Float64[np.ndarray, " t"]
) -> Indices:
    """Find the last frame that began by each moment; the first one before any did."""
    # Half a microsecond forgives times that were computed as index / rate.
    found = np.searchsorted(timestamps_s, np.asarray(moments_s) + 5e-7, side="right") - 1
    return found.clip(0, len(timestamps_s) - 1).astype(np.int64)


def _check(num_frames: int, clip_frames: int, stride_frames: int = 1) -> None:
    for name, value in (
        ("num_frames", num_frames),
        ("clip_frames", clip_frames),
        ("stride_frames", stride_frames),
    ):
        if value < 1:
            raise ConfigError(f"{name} {value} is below 1; a clip needs at least one frame")


def _check_view(view: int, num_views: int) -> None:
    if not 0 <= view < num_views:
        raise ConfigError(
            f"view {view} of {num_views} does not exist; ask for 0 to {num_views - 1}"
        )
