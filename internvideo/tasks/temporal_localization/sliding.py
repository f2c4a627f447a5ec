"""The baseline of temporal localization: a classifier slides over a video, its scores are cut.

Every window has a probability for each class; neighbouring windows in which it reaches a threshold
are a segment, whose score is their mean probability. Several thresholds give nested segments,
which are thinned out within each class.
Shapes: probabilities (f, y) of windows whose middles are `step_s` apart -> segments (s, 2) in s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from internvideo.data import WindowConfig, cut_windows, read_windows
from internvideo.errors import ConfigError, DecodeError
from internvideo.models.actionformer import SegmentPredictions
from internvideo.tasks.shared.classification import RecognitionModel, class_probabilities
from internvideo.tasks.shared.suppression import SuppressionConfig, suppress
from internvideo.video import open_video

_UNIFORM_FPS = 8.0  # of classifiers that see whole clips, whatever their length


@dataclass(frozen=True, kw_only=True, slots=True)
class SlidingConfig:
    """How a classifier slides: windows of `window_s` seconds, `per_window` steps to each.

    Without `window_s` frames are as far apart as in training, or an eighth of a second.
    """

    window_s: float | None = None
    per_window: int = 4
    thresholds: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    suppression: SuppressionConfig = field(default_factory=SuppressionConfig)
    batch_size: int = 8

    def __post_init__(self) -> None:
        if self.window_s is not None and not 0 < self.window_s < float("inf"):
            raise ConfigError(f"window_s is {self.window_s}, expected a positive number of seconds")
        if min(self.per_window, self.batch_size) < 1:
            raise ConfigError("per_window and batch_size are at least 1")
        if not self.thresholds or not all(0 < t <= 1 for t in self.thresholds):
            raise ConfigError(
                f"thresholds are {self.thresholds}, expected probabilities above 0, at most 1"
            )


def slide(classifier: RecognitionModel, video: Path, config: SlidingConfig) -> SegmentPredictions:
    """Segments that a classifier finds in a video, in seconds and in falling order of score.

    Raises:
        DecodeError: If the video cannot be decoded.
    """
    with open_video(video) as opened:
        if not opened.num_frames:
            raise DecodeError(f"{video}: no frame can be decoded; leave the file out")
        rate_fps, num_frames = _UNIFORM_FPS, classifier.num_frames
        if config.window_s is not None:
            rate_fps = num_frames / config.window_s
        elif classifier.sampling == "dense":
            rate_fps = opened.info.rate_fps / classifier.stride_frames
        stride = max(1, num_frames // config.per_window)
        windows = cut_windows(
            opened.timestamps_s,
            opened.info.duration_s,
            WindowConfig(num_frames=num_frames, stride_frames=stride, rate_fps=rate_fps),
        )
        batches = read_windows(
            opened,
            windows,
            side_px=classifier.side_px,
            crop=classifier.crop,
            batch_size=config.batch_size,
        )
        logits = torch.cat([classifier.classify_clips(batch).cpu() for batch in batches])
        duration_s = opened.info.duration_s
    return segments_of_probabilities(
        class_probabilities(classifier, logits),
        step_s=stride / rate_fps,
        offset_s=float(windows.start_s[0]) + 0.5 * num_frames / rate_fps,
        duration_s=duration_s,
        thresholds=config.thresholds,
        suppression=config.suppression,
    )


def segments_of_probabilities(
    probabilities: Float[Tensor, "f y"],
    *,
    step_s: float,
    offset_s: float,
    duration_s: float,
    thresholds: Sequence[float],
    suppression: SuppressionConfig,
) -> SegmentPredictions:
    """Cut the probabilities of windows into segments.

    Args:
        probabilities: Of each class, in windows in order of time.
        step_s: From the middle of a window to that of the next; each stands for as much time.
        offset_s: Middle of the first window. What lies before it belongs to it.
        duration_s: Length of the video.
        thresholds: Least probabilities.
        suppression: How nested and overlapping segments are thinned out.

    Returns:
        Segments in seconds within the video, the surest first.
    """
    num_steps = len(probabilities)
    edges = (offset_s + (np.arange(num_steps + 1) - 0.5) * step_s).clip(0, duration_s)
    edges[0], edges[-1] = 0.0, duration_s
    sums = np.concatenate([np.zeros((1, probabilities.shape[1])), probabilities.double().cumsum(0)])
    rows: set[tuple[int, int, int]] = set()
    for threshold in thresholds:
        is_in = np.pad((probabilities >= threshold).numpy(), ((1, 1), (0, 0))).astype(np.int8)
        changes = np.diff(is_in, axis=0).T  # a row a class
        labels, starts = np.nonzero(changes == 1)
        ends = np.nonzero(changes == -1)[1]
        rows |= set(zip(labels.tolist(), starts.tolist(), ends.tolist(), strict=True))
    label, start, end = np.array(sorted(rows), dtype=np.int64).reshape(-1, 3).T
    scores = (sums[end, label] - sums[start, label]) / np.maximum(end - start, 1)
    kept = suppress(
        torch.from_numpy(np.stack([edges[start], edges[end]], axis=1)).float(),
        torch.from_numpy(scores).float(),
        torch.from_numpy(label.copy()),
        suppression,
    )
    return SegmentPredictions(segments=kept[0], scores=kept[1], labels=kept[2])
