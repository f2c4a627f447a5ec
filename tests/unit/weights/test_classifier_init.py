"""Classifiers that start from the weights of others."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from internvideo.errors import CheckpointError
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.models import (
    DecoderConfig,
    MaskedAutoencoder,
    MaskedEncoderConfig,
    MultimodalEncoder,
    MultimodalEncoderConfig,
    TextEncoderConfig,
    UniFormerConfig,
    resize_positions,
)
from internvideo.values import TokenGrid, Tubelet
from internvideo.weights import (
    OPENAI_CLIP,
    UNIFORMER_V2_CLASSIFIER,
    classifier_weights,
    initialise_classifier,
    to_official_classifier,
)

ENCODER_A = MaskedEncoderConfig(
    num_frames=4,
    side_px=16,
    tubelet=Tubelet(time=2, height=8, width=8),
    width=16,
    depth=2,
    num_heads=2,
)
ENCODER_B = UniFormerConfig(
    side_px=16, patch_px=8, width=16, depth=2, num_heads=2, global_layers=(1,), num_global_heads=2
)
TEXT = TextEncoderConfig(vocabulary_size=50, context_length=8, width=16, depth=1, num_heads=2)


def classifier_a(num_classes: int = 3, **changes) -> VideoClassifier:
    encoder = replace(ENCODER_A, final_norm=False, **changes)
    return VideoClassifier(VideoClassifierConfig(encoder=encoder, num_classes=num_classes))


def classifier_b(num_classes: int = 3, pooling: str = "query") -> VideoClassifier:
    return VideoClassifier(
        VideoClassifierConfig(encoder=ENCODER_B, num_classes=num_classes, pooling=pooling)
    )


def pretrained_b(**changes) -> MultimodalEncoder:
    video = replace(ENCODER_B, **changes)
    return MultimodalEncoder(MultimodalEncoderConfig(video=video, text=TEXT, embed_dim=16))


def assert_same(model: VideoClassifier, tower: dict[str, Tensor]) -> None:
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(value, tower[name]), name


def test_our_masked_pretraining_fills_the_encoder_and_leaves_norm_and_head_new():
    pretrained = MaskedAutoencoder(ENCODER_A, DecoderConfig(width=16, depth=1, num_heads=2))
    model = classifier_a()

    report = initialise_classifier(model, pretrained.state_dict())

    assert_same(model, pretrained.encoder.state_dict())
    assert set(report.new) == {"fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias"}
    assert "encoder.norm.weight" in report.unused


@pytest.mark.parametrize("pooling", ["query", "attentive"])
def test_our_multimodal_pretraining_fills_the_tower(pooling):
    pretrained = pretrained_b()
    model = classifier_b(pooling=pooling)

    report = initialise_classifier(model, pretrained.state_dict())

    assert_same(model, pretrained.video.state_dict())
    assert all(name.startswith(("fc_norm.", "head.", "pool.")) for name in report.new)


def test_clip_fills_all_that_it_has():
    clip = pretrained_b(global_layers=())
    model = classifier_b()

    report = initialise_classifier(model, OPENAI_CLIP.write(clip.state_dict()))

    assert torch.equal(model.encoder.blocks[1].mlp.fc1.weight, clip.video.blocks[1].mlp.fc1.weight)
    assert {"encoder.query_token", "encoder.balance"} <= set(report.new)


@pytest.mark.parametrize("make", [classifier_a, classifier_b])
def test_names_of_our_own_classifier_stay(make):
    state = make().state_dict()

    assert list(classifier_weights(state)) == list(state)


def test_a_released_uniformer_is_read_as_it_was_written():
    state = classifier_b().state_dict()

    written = UNIFORMER_V2_CLASSIFIER.write(state)

    assert {"transformer.proj.0.weight", "transformer.proj.2.bias", "conv1.weight"} <= set(written)
    assert all(torch.equal(v, state[k]) for k, v in UNIFORMER_V2_CLASSIFIER.read(written).items())
    assert set(classifier_weights(written)) == set(state)


def test_a_head_of_other_classes_is_left_out():
    model = classifier_a(num_classes=3)

    report = initialise_classifier(model, to_official_classifier(classifier_a(5).state_dict()))

    assert set(report.new) == {"head.weight", "head.bias"}


def test_a_k400_head_is_the_first_rows_of_a_k710_head():
    source, model = classifier_a(num_classes=710), classifier_a(num_classes=400)

    initialise_classifier(model, source.state_dict())

    assert torch.equal(model.head.weight, source.head.weight[:400])
    assert torch.equal(model.head.bias, source.head.bias[:400])


def test_a_learned_position_table_of_other_places_is_resized():
    source = classifier_a(positions="learned")
    model = classifier_a(positions="learned", side_px=32)

    initialise_classifier(model, source.state_dict())

    old, new = (TokenGrid(time=2, height=side, width=side) for side in (2, 4))
    torch.testing.assert_close(
        model.encoder.pos_embed[0], resize_positions(source.encoder.pos_embed[0], old, new)
    )


def test_a_checkpoint_with_more_blocks_is_refused():
    with pytest.raises(CheckpointError, match="encoder have no place in the model"):
        initialise_classifier(classifier_a(depth=1), classifier_a().state_dict())


def test_a_checkpoint_with_fewer_blocks_is_refused():
    with pytest.raises(CheckpointError, match="of the model are missing from the weights"):
        initialise_classifier(classifier_a(), classifier_a(depth=1).state_dict())


def test_weights_of_the_other_encoder_are_refused():
    with pytest.raises(CheckpointError, match="have no place in the model"):
        initialise_classifier(classifier_b(), classifier_a().state_dict())
    with pytest.raises(CheckpointError, match="are not named as in any family"):
        initialise_classifier(classifier_b(), {"x": torch.zeros(1)})


@pytest.mark.parametrize("prefix", ["", "module.", "module.model."])
@pytest.mark.parametrize("wrapper", ["model", "module", "state_dict"])
def test_a_wrapped_state_is_found(wrapper, prefix):
    state = to_official_classifier(classifier_a().state_dict())
    model = classifier_a()
    with torch.no_grad():
        model.head.bias.fill_(9)

    initialise_classifier(model, {"epoch": 3, wrapper: {prefix + k: v for k, v in state.items()}})

    assert torch.equal(model.head.bias, state["head.bias"])


def test_a_report_names_what_is_new():
    report = initialise_classifier(classifier_a(num_classes=3), classifier_a(5).state_dict())

    assert str(report) == "30 tensors loaded, new: head.weight, head.bias"
