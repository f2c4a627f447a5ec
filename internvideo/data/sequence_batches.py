"""Feature sequences for training and evaluation: truncated, cropped, padded to batches.

Source: `truncate_feats` of `data_utils.py` and `preprocessing` of `meta_archs.py` in InternVideo's
Temporal-Action-Localization release.
Shapes: features (b, f, d) with padded (b, f), True for steps past the end of a sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from internvideo.data.feature_sequences import FeatureSequence
from internvideo.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class TruncationConfig:
    """How training sequences are shortened.

    A sequence longer than `max_length` is cut to a random part of that length; a shorter one to a
    random share of its length between the two of `crop_ratio`. A segment stays if at least
    `min_share` of it does; parts are drawn until one has a segment, at most `num_tries` times.
    """

    max_length: int
    min_share: float = 0.5
    crop_ratio: tuple[float, float] | None = (0.9, 1.0)
    num_tries: int = 200

    def __post_init__(self) -> None:
        if self.max_length < 1 or self.num_tries < 1:
            raise ConfigError(
                f"max_length {self.max_length} and num_tries {self.num_tries} must be at least 1"
            )
        if self.crop_ratio is not None and not 0 < self.crop_ratio[0] <= self.crop_ratio[1] <= 1:
            raise ConfigError(f"crop_ratio is {self.crop_ratio}, expected 0 < least <= most <= 1")

    def __call__(
        self, sequence: FeatureSequence, generator: np.random.Generator
    ) -> FeatureSequence:
        """Shorten a sequence; one without segments is cut anywhere."""
        length = self._length(len(sequence), generator)
        if length == len(sequence):
            return sequence
        start_end = sequence.segments.double()
        spans = (start_end[:, 1] - start_end[:, 0]).abs()
        for _ in range(self.num_tries):
            start = int(generator.integers(0, len(sequence) - length + 1))
            left = start_end[:, 0].clamp(min=start)
            right = start_end[:, 1].clamp(max=start + length)
            kept = (right - left).clamp(min=0) / spans >= self.min_share
            if kept.any() or not len(kept):
                break
        segments = torch.stack([left[kept], right[kept]], dim=1).float() - start
        cut = sequence.cut(start, start + length)
        return replace(cut, segments=segments, labels=sequence.labels[kept])

    def _length(self, num_steps: int, generator: np.random.Generator) -> int:
        if num_steps > self.max_length:
            return self.max_length
        if self.crop_ratio is None:
            return num_steps
        least, most = (round(ratio * num_steps) for ratio in self.crop_ratio)
        least = max(least, 1)
        return int(generator.integers(least, max(most, least) + 1))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SequenceBatch:
    """Sequences of one padded length."""

    features: Float[Tensor, "b f d"]
    padded: Bool[Tensor, "b f"]
    sequences: tuple[FeatureSequence, ...]

    def __len__(self) -> int:
        return len(self.sequences)


def pad_sequences(sequences: Sequence[FeatureSequence], length: int) -> SequenceBatch:
    """Pad with zeros to `length` steps.

    Raises:
        ConfigError: If a sequence is longer or has another number of channels than the first.
    """
    num_channels = sequences[0].features.shape[1]
    features = torch.zeros(len(sequences), length, num_channels)
    padded = torch.ones(len(sequences), length, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        if len(sequence) > length:
            raise ConfigError(
                f"{sequence.video}: {len(sequence)} steps do not fit in {length}; truncate it"
            )
        if sequence.features.shape[1] != num_channels:
            raise ConfigError(
                f"{sequence.video}: features have {sequence.features.shape[1]} channels, those of "
                f"{sequences[0].video} {num_channels}"
            )
        features[row, : len(sequence)] = sequence.features
        padded[row, : len(sequence)] = False
    return SequenceBatch(features=features, padded=padded, sequences=tuple(sequences))


def batches_by_length(
    sequences: Sequence[FeatureSequence],
    padded_length: Callable[[int], int],
    *,
    batch_size: int = 1,
) -> Iterator[tuple[tuple[int, ...], SequenceBatch]]:
    """Yield batches of sequences that are padded to the same length, with their places.

    The length of each is a function of its own number of steps, so that what else is in a batch
    changes nothing.
    """
    groups: dict[int, list[int]] = {}
    for place, sequence in enumerate(sequences):
        groups.setdefault(padded_length(len(sequence)), []).append(place)
    for length, places in sorted(groups.items()):
        for first in range(0, len(places), batch_size):
            together = tuple(places[first : first + batch_size])
            yield together, pad_sequences([sequences[place] for place in together], length)
