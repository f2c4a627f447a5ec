"""The classifier on encoder A."""

from __future__ import annotations

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.models import MaskedEncoderConfig
from internvideo.values import Tubelet

ENCODER = MaskedEncoderConfig(
    num_frames=4,
    side_px=16,
    tubelet=Tubelet(time=2, height=8, width=8),
    width=32,
    depth=2,
    num_heads=2,
    final_norm=False,
)


def test_scores_start_almost_equal():
    torch.manual_seed(0)
    model = VideoClassifier(VideoClassifierConfig(encoder=ENCODER, num_classes=5))

    logits = model(torch.randn(2, 3, 4, 16, 16))

    assert logits.shape == (2, 5)
    assert logits.abs().max() < 0.01


def test_pooling_that_does_not_fit_the_encoders_norm_is_refused():
    with pytest.raises(ConfigError, match="pooling 'first' needs final_norm=True"):
        VideoClassifierConfig(encoder=ENCODER, pooling="first")


def test_a_classifier_without_classes_is_refused():
    with pytest.raises(ConfigError, match="num_classes is 0"):
        VideoClassifierConfig(encoder=ENCODER, num_classes=0)
