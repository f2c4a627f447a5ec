"""A sliding classifier of known answers: where it is cut, and its scores beside a detector."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from internvideo.errors import ConfigError
from internvideo.tasks import TemporalLocalization
from internvideo.tasks.shared import SuppressionConfig
from internvideo.tasks.shared.classification import RecognitionModel
from internvideo.tasks.temporal_localization import (
    LocalizationData,
    SlidingConfig,
    segments_of_probabilities,
    slide,
)
from internvideo.video import write_video
from tests.unit.tasks.planted import NUM_CHANNELS, write_extracted
from tests.unit.tasks.test_temporal_localization import detector, read

CLASSES = ("jump", "run", "turn")


class Brightness(RecognitionModel):
    """Sees a jump in bright frames, a run in half bright ones, and a turn in dark ones."""

    def __init__(self, classes=CLASSES) -> None:
        super().__init__(nn.Identity(), classes, num_frames=4, side_px=16, stride_frames=2)

    def classify_clips(self, frames):
        level = frames.float().mean((2, 3, 4))
        kinds = [level > 200, (level > 80) & (level < 200), level < 80]
        return 10 * torch.stack([kind.float().mean(1) for kind in kinds], dim=1)


def write(path, parts, fps=8):
    """Write a video of (seconds, level) parts."""
    levels = np.concatenate([np.full(int(s * fps), level) for s, level in parts])
    frames = np.broadcast_to(levels[:, None, None, None], (len(levels), 16, 16, 3))
    write_video(path, torch.from_numpy(frames.astype(np.uint8).copy()), float(fps))


def cut(probabilities, thresholds=(0.5,), **changes):
    settings = {"step_s": 1.0, "offset_s": 0.5, "duration_s": float(len(probabilities))} | changes
    suppression = SuppressionConfig(method="none")
    return segments_of_probabilities(
        torch.tensor(probabilities), thresholds=thresholds, suppression=suppression, **settings
    )


def test_windows_above_a_threshold_are_a_segment_with_their_mean_as_score():
    found = cut([[0.9, 0.1], [0.1, 0.6], [0.1, 0.8], [0.7, 0.3]])

    rows = list(zip(found.segments.tolist(), found.labels.tolist(), strict=True))
    assert sorted(rows) == [([0.0, 1.0], 0), ([1.0, 3.0], 1), ([3.0, 4.0], 0)]
    assert sorted(found.scores.tolist()) == pytest.approx([0.7, 0.7, 0.9])


def test_several_thresholds_give_nested_segments_and_equal_ones_once():
    found = cut([[0.3], [0.9], [0.9], [0.2]], thresholds=(0.25, 0.5, 0.8))

    assert sorted(found.segments.tolist()) == [[0.0, 3.0], [1.0, 3.0]]


def test_ends_reach_the_ends_of_the_video_and_nothing_found_is_no_segment():
    assert cut([[0.9], [0.9]], offset_s=3.0, duration_s=10.0).segments.tolist() == [[0.0, 10.0]]
    assert len(cut([[0.1], [0.2]])) == 0


def test_a_classifier_of_known_answers_is_found_at_its_times(tmp_path):
    write(tmp_path / "clip.mp4", [(6, 20), (6, 250), (6, 20), (6, 128)])

    found = slide(Brightness(), tmp_path / "clip.mp4", SlidingConfig())

    for label, (start, end) in ((0, (6, 12)), (1, (18, 24))):
        best = found.where(found.labels == label).segments[0].tolist()
        assert best == pytest.approx([start, end], abs=0.6)


def test_the_baseline_is_measured_beside_the_detector(tmp_path):
    rows = ["path,start_s,end_s,label"]
    for name, level, label in (("a", 250, "jump"), ("b", 128, "run")):
        write(tmp_path / f"{name}.mp4", [(6, 20), (6, level), (6, 20)])
        write_extracted(
            tmp_path / "features" / f"{name}.mp4.safetensors", np.zeros((18, NUM_CHANNELS))
        )
        rows.append(f"{name}.mp4,6,12,{label}")
    (tmp_path / "segments.csv").write_text("\n".join(rows) + "\n")
    model = detector()
    model.open_recogniser = lambda name: {"runs/c": Brightness()}[name]

    scores = TemporalLocalization().evaluate(model, read(tmp_path, sliding="runs/c")).scores

    assert scores["sliding/map/0.7"] == 1.0
    assert scores["map/average"] < 0.5
    model.open_recogniser = lambda name: Brightness(("jump",))
    with pytest.raises(ConfigError, match="unknown class of the sliding classifier 'run'"):
        TemporalLocalization().evaluate(model, read(tmp_path, sliding="runs/c"))


def test_windows_of_no_length_are_refused():
    with pytest.raises(ConfigError, match=r"window_s is 0\.0, expected a positive number"):
        LocalizationData(data="x.csv", sliding="runs/c", sliding_window_s=0.0).read()
