"""Detection of whole sequences depends on nothing but the sequence."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from internvideo.data.feature_sequences import FeatureGrid, FeatureSequence
from internvideo.models.actionformer import DecodingConfig
from internvideo.tasks.shared import DetectionConfig, SuppressionConfig, detect
from tests.unit.models.test_actionformer import TINY, built

CONFIG = DetectionConfig(
    decoding=DecodingConfig(min_score=0.01), suppression=SuppressionConfig(max_segments=20)
)
GRID = FeatureGrid(step_s=0.5, offset_s=1.0)


def sequence(num_steps, seed=0, grid=GRID):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(num_steps, 6, generator=generator)
    return FeatureSequence.of(str(num_steps), features, grid, duration_s=1000.0)


@pytest.mark.parametrize("batch_size", [2, 8])
def test_padding_a_batch_changes_no_detection(batch_size):
    model = built()
    sequences = [sequence(n, n) for n in (5, 32, 20, 33, 100, 40)]

    together = detect(model, sequences, CONFIG, batch_size=batch_size)

    for one, found in zip(sequences, together, strict=True):
        (alone,) = detect(model, [one], CONFIG)
        assert len(alone) == len(found) > 0
        torch.testing.assert_close(found.segments, alone.segments, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(found.scores, alone.scores)
        assert torch.equal(found.labels, alone.labels)


def test_a_later_start_of_the_grid_moves_detections_by_as_much():
    model = built()
    later = replace(GRID, offset_s=9.0)

    (before,) = detect(model, [sequence(30)], CONFIG)
    (after,) = detect(model, [sequence(30, grid=later)], CONFIG)

    inside = before.segments[:, 0] > 0  # others were clipped to the start of the video
    torch.testing.assert_close(after.segments[inside], before.segments[inside] + 8)


def test_detections_lie_within_the_video_and_the_best_come_first():
    (found,) = detect(built(), [replace(sequence(30), duration_s=10.0)], CONFIG)

    assert 0 <= found.segments.min() <= found.segments.max() <= 10
    assert (found.scores.diff() <= 0).all()
    assert len(found) <= 20


def test_a_model_in_training_is_so_again_afterwards():
    model = built(replace(TINY, drop_path=0.5)).train()

    detect(model, [sequence(10)], CONFIG)

    assert model.training
