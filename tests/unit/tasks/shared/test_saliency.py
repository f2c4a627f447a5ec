from __future__ import annotations

import pytest
import torch
from torch import nn

from internvideo.errors import ConfigError
from internvideo.tasks import ClipSampling, RecognitionModel
from internvideo.tasks.shared import middle_view, saliency
from internvideo.values import Record

FRAMES = torch.full((4, 32, 32, 3), 100, dtype=torch.uint8)


class Corner(nn.Module):
    """Class 0 looks at the upper left of the second frame only, class 1 everywhere."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, clip):
        corner = clip[:, :, 1, :8, :8].mean((1, 2, 3))
        return self.scale * torch.stack([corner, clip.mean((1, 2, 3, 4))], 1)


class Deaf(Corner):
    def forward(self, clip):
        return super().forward(clip).detach()


def model(network):
    return RecognitionModel(network, ("corner", "all"), num_frames=4, side_px=32)


def test_what_a_score_depends_on_is_bright():
    heat = saliency(model(Corner()), FRAMES, 0)

    assert heat.shape == (4, 32, 32)
    assert heat.max() == heat[1, 2, 2] == 1
    assert heat[1, 16:].max() == heat[0].max() == 0


def test_a_score_of_everything_is_bright_everywhere():
    assert saliency(model(Corner()), FRAMES, 1).min() > 0.99


def test_a_network_without_gradients_is_named():
    with pytest.raises(ConfigError, match="gives no gradients"):
        saliency(model(Deaf()), FRAMES, 0)


def test_the_middle_view_is_as_the_model_sees_it(level_videos):
    view = middle_view(model(Corner()), Record(video=level_videos[0]), ClipSampling())

    assert view.shape == (4, 32, 32, 3)


def test_a_broken_video_has_no_middle_view(level_videos):
    assert middle_view(model(Corner()), Record(video=level_videos[-1]), ClipSampling()) is None
