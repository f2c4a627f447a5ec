"""The generator's own check: does a single frame give the action away?

Two classifiers read freshly drawn videos. One sees a random frame; on a pair of actions it must
stay near chance, 0.5. The other sees two frames in their order, and must do better: the pairs
differ in time and in nothing else. Both are kernel ridge classifiers with a Gaussian kernel
on small colour frames and on moments of where something colourful is, scored by cross-validation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8

from internvideo.playground.actions import ACTIONS, PAIRS
from internvideo.playground.compose import World, draw_action
from internvideo.playground.render import render

Features = Float[np.ndarray, "videos features"]
Labels = Int64[np.ndarray, " videos"]

_FRAME_PX = 64
_FEATURE_PX = 16
_NUM_FOLDS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class SingleFrameCheck:
    """Accuracies on unseen videos: two-way for each pair (chance 0.5) and over all classes."""

    num_videos_per_class: int
    one_frame: dict[str, float]
    two_frames: dict[str, float]
    one_frame_all: float
    two_frames_all: float

    @property
    def one_frame_mean(self) -> float:
        return float(np.mean(list(self.one_frame.values())))

    @property
    def two_frames_mean(self) -> float:
        return float(np.mean(list(self.two_frames.values())))

    @property
    def tolerance(self) -> float:
        """Three standard errors of the mean over the pairs of a classifier that only guesses."""
        return 3 * 0.5 / math.sqrt(2 * self.num_videos_per_class * len(PAIRS))

    @property
    def is_passed(self) -> bool:
        return self.one_frame_mean < 0.5 + self.tolerance < self.two_frames_mean

    def __str__(self) -> str:
        chance = 1 / len(ACTIONS)
        pairs = [
            f"  {pair:<42} {self.one_frame[pair]:.2f}   {self.two_frames[pair]:.2f}"
            for pair in self.one_frame
        ]
        return "\n".join(
            [
                "single-frame check: accuracy from one frame, and from two in order",
                *pairs,
                f"  {'all pairs (chance 0.50)':<42} {self.one_frame_mean:.2f}   "
                f"{self.two_frames_mean:.2f}",
                f"  {f'all {len(ACTIONS)} classes (chance {chance:.2f})':<42} "
                f"{self.one_frame_all:.2f}   {self.two_frames_all:.2f}",
                "  passed: time decides"
                if self.is_passed
                else f"  NOT passed: one frame must stay below {0.5 + self.tolerance:.2f}, "
                "two must be above",
            ]
        )


def check_single_frame(seed: int = 0, *, num_videos_per_class: int = 48) -> SingleFrameCheck:
    """Draw videos of every action and try to tell the actions apart from one frame and from two.

    The frames are rendered at half size, without the video encoder.
    """
    world = World(seed=seed, side_px=_FRAME_PX)
    names = list(ACTIONS)
    labels = np.arange(len(names) * num_videos_per_class) % len(names)
    frames = np.stack(
        [_three_frames(names[label], number, world) for number, label in enumerate(labels)]
    )
    maps = _small_maps(frames)
    one, two = _one_frame_features(maps[:, 0]), _two_frame_features(maps[:, 1], maps[:, 2])

    def pairs(features: Features) -> dict[str, float]:
        scores = {}
        for first, second in PAIRS:
            ours = (labels == names.index(first)) | (labels == names.index(second))
            kept = (labels[ours] == names.index(second)).astype(np.int64)
            scores[f"{first} / {second}"] = _accuracy(features[ours], kept)
        return scores

    return SingleFrameCheck(
        num_videos_per_class=num_videos_per_class,
        one_frame=pairs(one),
        two_frames=pairs(two),
        one_frame_all=_accuracy(one, labels),
        two_frames_all=_accuracy(two, labels),
    )


def _three_frames(action: str, number: int, world: World) -> UInt8[np.ndarray, "3 h w 3"]:
    """Render a frame from anywhere, then one and another a quarter of the video later."""
    facts = draw_action(action, number, world)
    rng = np.random.default_rng((world.seed, 2, number))
    gap = int(rng.uniform(0.2, 0.3) * facts.num_frames)
    first = int(rng.integers(0, facts.num_frames - gap))
    anywhere = int(rng.integers(0, facts.num_frames))
    return render(facts, frames=(anywhere, first, first + gap))


def _small_maps(frames: UInt8[np.ndarray, "n f h w 3"]) -> Float[np.ndarray, "n f s s 4"]:
    """Shrink frames, and add how far each place is from the frame's most usual colour."""
    n, f, side, _, _ = frames.shape
    cell = side // _FEATURE_PX
    small = frames.reshape(n, f, _FEATURE_PX, cell, _FEATURE_PX, cell, 3).mean((3, 5)) / 255
    usual = np.median(small, axis=(1, 2, 3), keepdims=True)
    away = np.abs(small - usual).max(-1, keepdims=True)
    return np.concatenate([small, (away - 0.2).clip(0, None)], axis=-1)


def _moments(weight: Float[np.ndarray, "n s s"]) -> Float[np.ndarray, "n 6"]:
    at = np.linspace(-1, 1, _FEATURE_PX)
    x, y = at[None, :], at[:, None]
    basis = np.stack([np.broadcast_to(b, weight.shape[1:]) for b in (1, x, y, x * x, y * y, x * y)])
    return np.einsum("nij,kij->nk", weight, basis)


def _one_frame_features(maps: Float[np.ndarray, "n s s 4"]) -> Features:
    weight = maps[..., 3]
    colours = maps.reshape(len(maps), -1)
    moments = _moments(weight)
    return np.concatenate(
        [_standard(colours) / math.sqrt(colours.shape[1]), _standard(moments) / math.sqrt(6)],
        axis=1,
    )


def _two_frame_features(
    before: Float[np.ndarray, "n s s 4"], after: Float[np.ndarray, "n s s 4"]
) -> Features:
    before, after = before[..., 3], after[..., 3]
    came, went = (after - before).clip(0, None), (before - after).clip(0, None)
    change = _moments(came) - _moments(went)
    return _standard(change) / math.sqrt(6)


def _standard(features: Features) -> Features:
    return (features - features.mean(0)) / (features.std(0) + 1e-6)


def _accuracy(features: Features, labels: Labels) -> float:
    """Score by cross-validation; every video is judged by a classifier that has not seen it."""
    fold = np.arange(len(labels)) // (int(labels.max()) + 1) % _NUM_FOLDS
    targets = np.eye(int(labels.max()) + 1)[labels]
    squares = (features**2).sum(1)
    distances = squares[:, None] + squares[None] - 2 * features @ features.T
    kernel = np.exp(-distances / np.median(distances))
    right: Bool[np.ndarray, " videos"] = np.zeros(len(labels), dtype=bool)
    for held in range(_NUM_FOLDS):
        seen, unseen = fold != held, fold == held
        inner = kernel[np.ix_(seen, seen)] + 0.1 * np.eye(int(seen.sum()))
        weights = np.linalg.solve(inner, targets[seen] - targets[seen].mean(0))
        right[unseen] = (kernel[np.ix_(unseen, seen)] @ weights).argmax(1) == labels[unseen]
    return float(right.mean())
