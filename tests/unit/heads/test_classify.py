"""Classifiers on both encoders."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from einops import einsum, rearrange
from pydantic import TypeAdapter, ValidationError

from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import (
    AttentivePooling,
    VideoClassifier,
    VideoClassifierConfig,
    map_head_rows,
    rows_of_classes,
)
from internvideo.models import (
    MaskedEncoderConfig,
    UniFormerConfig,
)
from internvideo.values import Tubelet

ENCODER_A = MaskedEncoderConfig(
    num_frames=4,
    side_px=16,
    tubelet=Tubelet(time=2, height=8, width=8),
    width=32,
    depth=2,
    num_heads=2,
    final_norm=False,
)
ENCODER_B = UniFormerConfig(
    side_px=16,
    patch_px=8,
    width=32,
    depth=2,
    num_heads=2,
    global_layers=(1,),
    num_global_heads=2,
    num_local=1,
    local_norm="layer",
)


@pytest.mark.parametrize(
    ("encoder", "pooling"),
    [
        (ENCODER_A, "mean"),
        (replace(ENCODER_A, final_norm=True), "first"),
        (ENCODER_A, "attentive"),
        (ENCODER_B, "query"),
        (ENCODER_B, "attentive"),
    ],
)
def test_every_parameter_of_every_classifier_learns(encoder, pooling):
    torch.manual_seed(0)
    config = VideoClassifierConfig(encoder=encoder, num_classes=5, pooling=pooling, init_scale=1.0)
    model = VideoClassifier(config)

    logits = model(torch.randn(2, 3, 4, 16, 16))
    logits.square().sum().backward()

    assert logits.shape == (2, 5)
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_scores_start_almost_equal():
    torch.manual_seed(0)
    model = VideoClassifier(VideoClassifierConfig(encoder=ENCODER_A, num_classes=5))

    logits = model(torch.randn(2, 3, 4, 16, 16))

    assert logits.abs().max() < 0.01


def test_attentive_pooling_is_attention_with_one_learned_query():
    torch.manual_seed(0)
    pool = AttentivePooling(8, 2, norm_eps=1e-6)
    torch.nn.init.normal_(pool.attn.qkv.bias)
    tokens = torch.randn(3, 5, 8)

    pooled = pool(tokens)

    weight, bias = pool.attn.qkv.weight.chunk(3), pool.attn.qkv.bias.chunk(3)
    seen = pool.norm(tokens)
    query = rearrange(pool.query @ weight[0].T + bias[0], "(a e) -> a e", a=2)
    key, value = (
        rearrange(seen @ weight[i].T + bias[i], "b n (a e) -> b a n e", a=2) for i in (1, 2)
    )
    shares = (einsum(query, key, "a e, b a n e -> b a n") / 2).softmax(-1)
    read = rearrange(einsum(shares, value, "b a n, b a n e -> b a e"), "b a e -> b (a e)")
    torch.testing.assert_close(pooled, pool.attn.proj(read))


def test_frozen_blocks_stay_as_in_evaluation():
    model = VideoClassifier(VideoClassifierConfig(encoder=ENCODER_B, pooling="query"))
    model.encoder.blocks[0].requires_grad_(False)

    model.eval().train()

    assert [block.training for block in model.encoder.blocks] == [False, True]
    assert not model.encoder.blocks[0].drop_path.training


@pytest.mark.parametrize("encoder", [ENCODER_A, ENCODER_B])
def test_a_configuration_survives_json(encoder):
    adapter = TypeAdapter(VideoClassifierConfig)
    config = VideoClassifierConfig(encoder=encoder, pooling="attentive")

    assert adapter.validate_json(adapter.dump_json(config)) == config


def test_a_wrong_value_is_reported_for_the_encoder_that_was_meant():
    adapter = TypeAdapter(VideoClassifierConfig)
    document = adapter.dump_python(VideoClassifierConfig(encoder=ENCODER_A), mode="json")
    document["encoder"]["num_heads"] = 3

    with pytest.raises(ValidationError, match=r"1 validation error.*\n.*\n.*not divisible by 3"):
        adapter.validate_python(document)


def test_pooling_that_does_not_fit_the_encoders_norm_is_refused():
    with pytest.raises(ConfigError, match="pooling 'first' needs final_norm=True"):
        VideoClassifierConfig(encoder=ENCODER_A, pooling="first")


def test_pooling_of_the_other_encoder_is_refused():
    with pytest.raises(ConfigError, match="pooling 'query' is for encoder B"):
        VideoClassifierConfig(encoder=ENCODER_A, pooling="query")
    with pytest.raises(ConfigError, match="pooling 'mean' is for encoder A; encoder B pools by"):
        VideoClassifierConfig(encoder=ENCODER_B, pooling="mean")


def test_a_classifier_without_classes_is_refused():
    with pytest.raises(ConfigError, match="num_classes is -1"):
        VideoClassifierConfig(encoder=ENCODER_A, num_classes=-1)


def test_dropout_of_everything_is_refused():
    with pytest.raises(ConfigError, match=r"dropout is 1\.0; give a share from 0 to below 1"):
        VideoClassifierConfig(encoder=ENCODER_A, dropout=1.0)


def test_mapped_rows_give_the_scores_of_the_wanted_classes():
    torch.manual_seed(0)
    model = VideoClassifier(VideoClassifierConfig(encoder=ENCODER_A, num_classes=5)).eval()
    clip = torch.randn(2, 3, 4, 16, 16)
    rows = rows_of_classes(["jumping", "archery"], ["archery", "eating", "jumping", "x", "y"])

    mapped = VideoClassifier(VideoClassifierConfig(encoder=ENCODER_A, num_classes=2)).eval()
    mapped.load_state_dict(map_head_rows(model.state_dict(), rows))

    torch.testing.assert_close(mapped(clip), model(clip)[:, [2, 0]])


def test_a_class_that_the_head_does_not_know_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="unknown class 'archry'; did you mean 'archery'"):
        rows_of_classes(["archry"], ["archery", "eating"])


def test_a_row_beyond_the_head_is_refused():
    weights = {"head.weight": torch.zeros(3, 2), "head.bias": torch.zeros(3)}
    with pytest.raises(CheckpointError, match=r"head\.weight has 3 rows, but row 3 is asked for"):
        map_head_rows(weights, [0, 3])


def test_weights_without_a_head_cannot_be_mapped():
    with pytest.raises(
        CheckpointError, match=r"have no head\.weight: they are not of a classifier"
    ):
        map_head_rows({}, [0])
