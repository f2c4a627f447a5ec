"""The action detector: any sides, boxes independent of each other, what does not fit refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.heads import ActionDetector, ActionDetectorConfig, detection_loss
from internvideo.models import MaskedEncoderConfig
from internvideo.weights import load_weights, read_official_detector, write_official_detector

CONFIG = ActionDetectorConfig(
    encoder=MaskedEncoderConfig(num_frames=4, side_px=64, width=16, depth=1, num_heads=2),
    num_classes=5,
)


def detector(**changes) -> ActionDetector:
    torch.manual_seed(0)
    return ActionDetector(replace(CONFIG, **changes)).eval()


@pytest.mark.parametrize("head", ["linear", "acar"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (80, 112)])
@torch.no_grad()
def test_permuting_boxes_permutes_answers_whatever_the_sides(head, height, width):
    model, clip = detector(head=head), torch.randn(2, 3, 4, height, width)
    boxes = torch.tensor([[4.0, 4, 40, 60], [10.0, 0, 60, 50], [0.0, 0, 63, 63]])
    clips, order = torch.tensor([0, 1, 1]), torch.tensor([1, 2, 0])

    logits = model(clip, boxes, clips)

    assert logits.shape == (3, 5)
    torch.testing.assert_close(model(clip, boxes[order], clips[order]), logits[order])


def test_the_released_loss_grows_with_the_number_of_clips():
    logits, labels = torch.randn(6, 5), torch.randint(0, 2, (6, 5)).float()

    mean = detection_loss(logits, labels, num_clips=3, reduction="mean")

    torch.testing.assert_close(detection_loss(logits, labels, num_clips=3), 3 * mean)


@pytest.mark.parametrize("head", ["linear", "acar"])
def test_released_names_come_back(head):
    model = detector(head=head)

    written = write_official_detector(model.state_dict())
    load_weights(detector(head=head), read_official_detector(written))

    assert "head.hr2o.0.conv_q.weight" in written or head == "linear"
    assert read_official_detector(written).keys() == model.state_dict().keys()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_classes": 0}, "num_classes is 0"),
        ({"encoder": replace(CONFIG.encoder, final_norm=False)}, "set encoder.final_norm=true"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(change, said):
    with pytest.raises(ConfigError, match=said):
        replace(CONFIG, **change)


@pytest.mark.parametrize("shape", [(1, 3, 8, 64, 64), (1, 3, 4, 60, 64)])
def test_a_clip_that_does_not_fit_is_refused_with_its_shape(shape):
    model = detector()

    with pytest.raises(ConfigError, match=rf"{shape[2]} frames of {shape[3]} x 64 px"):
        model(torch.zeros(shape), torch.zeros(1, 4), torch.zeros(1, dtype=torch.int64))
