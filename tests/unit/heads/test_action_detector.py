"""The action detector: any sides, boxes independent of each other, what does not fit refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.heads import (
    ActionDetector,
    ActionDetectorConfig,
    CoordinatedClassifierConfig,
    VideoClassifierConfig,
    detection_loss,
)
from internvideo.models import MaskedEncoderConfig, UniFormerConfig
from internvideo.tiny import MaskedFrontEndConfig
from internvideo.weights import load_weights, read_official_detector, write_official_detector

CONFIG = ActionDetectorConfig(
    encoder=MaskedEncoderConfig(num_frames=4, side_px=64, width=16, depth=1, num_heads=2),
    num_classes=5,
)


def detector(**changes) -> ActionDetector:
    torch.manual_seed(0)
    return ActionDetector(replace(CONFIG, **changes)).eval()


A = VideoClassifierConfig(
    encoder=MaskedEncoderConfig(
        num_frames=4, side_px=64, width=16, depth=2, num_heads=2, final_norm=False
    ),
    num_classes=3,
)
B = UniFormerConfig(
    side_px=64, width=24, depth=2, num_heads=2, num_global_heads=2, global_layers=(0, 1)
)
PAIR = CoordinatedClassifierConfig(
    masked=A, multimodal=VideoClassifierConfig(encoder=B, num_classes=3, pooling="query")
)
ENCODERS = {"A": CONFIG.encoder, "B": B, "pair": PAIR}


@torch.no_grad()
def test_a_box_over_the_whole_frame_is_global_pooling():
    model, clip = detector(), torch.rand(1, 3, 4, 112, 112)
    maps = model.feature_map(clip)  # of 7 x 7 cells, whose values stand at their left upper corners

    whole = model(clip, torch.tensor([[-8.0, -8.0, 104.0, 104.0]]), torch.tensor([0]))

    torch.testing.assert_close(whole, model.head(maps.amax((2, 3))))


@pytest.mark.parametrize("encoder", ENCODERS)
@torch.no_grad()
def test_any_encoder_takes_any_aspect_ratio_and_boxes_in_any_order(encoder):
    model, clip = detector(encoder=ENCODERS[encoder]), torch.rand(2, 3, 4, 64, 112)
    boxes = torch.tensor([[4.0, 4, 40, 60], [10.0, 0, 100, 50], [0.0, 0, 63, 63]])
    clips, order = torch.tensor([0, 1, 1]), torch.tensor([1, 2, 0])

    logits = model(clip, boxes, clips)

    assert logits.shape == (3, 5)
    torch.testing.assert_close(model(clip, boxes[order], clips[order]), logits[order])


@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_is_trained_gets_gradients_and_nothing_else_does(encoder):
    model = detector(encoder=ENCODERS[encoder]).train()
    boxes, clips = torch.tensor([[4.0, 4, 40, 60]]), torch.tensor([0])

    model(torch.rand(1, 3, 4, 64, 64), boxes, clips).square().sum().backward()

    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name
    assert model.head.weight.grad is not None


def test_a_front_end_that_leaves_tubelets_out_is_refused():
    front_end = MaskedFrontEndConfig(num_salient_tubelets=4)

    with pytest.raises(ConfigError, match="set num_salient_tubelets=0"):
        replace(CONFIG, front_end=front_end)


def test_the_three_forms_of_the_loss():
    logits, labels = torch.randn(6, 5), torch.randint(0, 2, (6, 5)).float()
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")

    of = {r: detection_loss(logits, labels, num_clips=3, reduction=r) for r in REDUCTIONS}

    torch.testing.assert_close(of["mean"], each.mean())
    torch.testing.assert_close(of["per-clip"], 3 * each.mean())
    torch.testing.assert_close(of["per-box"], each.mean(1).sum())
    assert detection_loss(logits[:0], labels[:0], num_clips=3) == 0


REDUCTIONS = ("mean", "per-clip", "per-box")


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
