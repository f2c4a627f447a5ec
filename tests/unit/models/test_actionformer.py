"""ActionFormer: windows, padding, length, configuration, names of weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from internvideo.errors import CheckpointError, ConfigError
from internvideo.models.actionformer import (
    ACTIONFORMERS,
    ActionFormer,
    ActionFormerConfig,
    DecodingConfig,
    decode_segments,
    point_grid,
    windowed_attention,
)
from internvideo.weights import (
    actionformer_config_of,
    from_official_actionformer,
    load_weights,
    to_official_actionformer,
)

TINY = ActionFormerConfig(
    input_width=6,
    num_classes=3,
    max_length=32,
    width=16,
    pyramid_width=16,
    head_width=16,
    num_heads=2,
    num_stem_blocks=1,
    num_branch_blocks=2,
    windows=(5, 5, -1),
    regression_ranges=((0.0, 4.0), (4.0, 8.0), (8.0, 1e4)),
)


def built(config=TINY, seed=0):
    torch.manual_seed(seed)
    model = ActionFormer(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def full_attention(query, key, value, padded, half_window, bias=None):
    """The same over all pairs, with a mask."""
    steps = torch.arange(query.shape[2])
    offset = steps - steps[:, None]
    allowed = (offset.abs() <= half_window) & ~padded[:, None, None]
    allowed |= offset == 0
    scores = query @ key.mT / query.shape[-1] ** 0.5
    if bias is not None:
        scores = scores + bias[:, (offset + half_window).clamp(0, 2 * half_window)]
    return scores.masked_fill(~allowed, float("-inf")).softmax(-1) @ value


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(("num_steps", "half_window"), [(1, 2), (7, 1), (16, 2), (33, 9), (40, 3)])
def test_windowed_attention_is_masked_full_attention(num_steps, half_window, with_bias):
    query, key, value = torch.randn(3, 2, 3, num_steps, 4)
    padded = torch.arange(num_steps) >= torch.tensor([[num_steps], [(num_steps + 1) // 2]])
    bias = torch.randn(3, 2 * half_window + 1) if with_bias else None

    got = windowed_attention(query, key, value, padded, half_window=half_window, relative_bias=bias)

    expected = full_attention(query, key, value, padded, half_window, bias)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_memory_of_windowed_attention_grows_with_the_length_and_not_its_square():
    def largest(num_steps):
        query = torch.randn(1, 1, num_steps, 4)
        padded = torch.zeros(1, num_steps, dtype=torch.bool)
        with torch.profiler.profile(profile_memory=True) as profile:
            windowed_attention(query, query, query, padded, half_window=4)
        return max(event.cpu_memory_usage for event in profile.key_averages())

    assert largest(4096) < 4.5 * largest(1024)


@pytest.mark.parametrize("backbone", ["transformer", "convolution"])
@pytest.mark.parametrize("pyramid", ["identity", "convolution"])
def test_predictions_have_the_points_of_the_grid(backbone, pyramid):
    model = built(replace(TINY, backbone=backbone, pyramid=pyramid))
    padded = torch.zeros(2, 32, dtype=torch.bool)

    out = model(torch.randn(2, 32, 6), padded)

    assert out.level_sizes == (32, 16, 8)
    assert out.logits.shape == (2, 56, 3)
    assert (out.distances >= 0).all()
    assert len(point_grid(TINY, 32)) == 56


def test_a_video_shifted_in_time_has_its_predictions_shifted():
    model = built()
    event = torch.randn(8, 6)
    background = torch.randn(6)

    def seen(start):
        features = background.repeat(160, 1)
        features[start : start + 8] = event
        return model(features[None], torch.zeros(1, 160, dtype=torch.bool))

    config = replace(TINY, windows=(5, 5, 5))
    model = built(config)
    before, after = seen(64), seen(72)

    for size, stride, old, new in zip(
        before.level_sizes,
        config.strides,
        before.logits[0].split(before.level_sizes),
        after.logits[0].split(after.level_sizes),
        strict=True,
    ):
        shift, edge = 8 // stride, size // 4
        torch.testing.assert_close(
            new[edge + shift : -edge], old[edge : -edge - shift], atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("position_table", [False, True])
def test_a_sequence_longer_than_trained_on_works(position_table):
    model = built(replace(TINY, position_table=position_table))
    length = model.config.padded_length(101)
    padded = torch.arange(length)[None] >= 101

    out = model(torch.randn(1, length, 6), padded)

    assert length >= 101
    assert length % 4 == 0
    assert out.logits[~out.padded].isfinite().all()


def test_a_training_sequence_longer_than_the_position_table_is_refused():
    model = built(replace(TINY, position_table=True)).train()

    with pytest.raises(ConfigError, match="has 64 steps, the position table 32; truncate"):
        model(torch.randn(1, 64, 6), torch.zeros(1, 64, dtype=torch.bool))


def test_features_of_another_width_or_length_are_refused():
    model, padded = built(), torch.zeros(1, 30, dtype=torch.bool)

    with pytest.raises(ConfigError, match="features have 7 channels, this network reads 6"):
        model(torch.randn(1, 30, 7), padded)
    with pytest.raises(ConfigError, match="30 steps is not a multiple of 4; pad it to 32"):
        model(torch.randn(1, 30, 6), padded)


def test_what_lies_in_the_padding_changes_nothing():
    model = built()
    features = torch.randn(1, 32, 6)
    padded = torch.arange(32)[None] >= 20
    other = features.clone()
    other[:, 20:] = 1e3

    torch.testing.assert_close(model(features, padded).logits, model(other, padded).logits)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_heads": 3}, "width 16 is not divisible by 3 heads"),
        ({"windows": (5, 5)}, "windows has 2 entries, the pyramid has 3 levels"),
        ({"pyramid_width": 8}, "an identity pyramid keeps the width 16, pyramid_width is 8"),
        ({"max_length": 30}, "max_length 30 is not a multiple of 4"),
        ({"downsampling": 3}, "downsampling is 3, expected an even number"),
        ({"head_kernel": 2}, "head_kernel is 2, expected an odd number"),
        ({"empty_classes": (3,)}, r"empty_classes \[3\] are not among 3 classes"),
        ({"relative_positions": True, "windows": (4, 4, 4)}, "relative positions need odd windows"),
        ({"backbone": "convolution", "position_table": True}, "convolutions has no positions"),
        ({"input_width": 0}, "input_width is 0, expected 1 or more"),
    ],
)
def test_an_impossible_configuration_says_what_to_do(fields, message):
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **fields)


def test_classes_start_at_their_prior_and_empty_ones_at_nothing():
    bias = ActionFormer(replace(TINY, empty_classes=(1,))).classify.output.bias

    assert bias.sigmoid().tolist() == pytest.approx([0.01, 1e-6, 0.01], rel=1e-3)


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        replace(TINY, pyramid="convolution", pyramid_width=12, relative_positions=True),
        replace(TINY, backbone="convolution", embedding_norm=False, head_norm=False),
        replace(TINY, downsampling=4, max_length=64, residual_scale=None, pyramid_norm=False),
    ],
    ids=["identity", "pyramid", "convolution", "no scale"],
)
def test_weights_go_to_released_names_and_back_with_every_tensor(config):
    config = replace(config, windows=(5, 5, 5))
    model = built(config)

    released = {f"module.{k}": v for k, v in to_official_actionformer(model.state_dict()).items()}
    state = from_official_actionformer(released)
    untold = {"num_heads": 2, "max_length": config.max_length, "windows": config.windows}
    untold |= {"regression_ranges": config.regression_ranges}
    if config.backbone == "convolution":
        untold |= {"residual_scale": config.residual_scale}
    read = ActionFormer(actionformer_config_of(state, **untold))
    load_weights(read, state)

    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert read.config == config


def test_a_name_that_is_not_actionformers_is_refused():
    with pytest.raises(CheckpointError, match=r"'fc\.weight' is no name of ActionFormer's weights"):
        from_official_actionformer({"fc.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="this is no ActionFormer"):
        actionformer_config_of({})


@pytest.mark.parametrize("name", ACTIONFORMERS)
def test_published_configurations_can_be_built(name):
    with torch.device("meta"):
        model = ActionFormer(ACTIONFORMERS[name])

    assert len(model.level_scales) == len(model.config.regression_ranges)


def test_decoding_keeps_the_best_of_each_level_that_are_long_enough():
    model = built()
    predictions = model(torch.randn(1, 32, 6), torch.arange(32)[None] >= 30)
    points = point_grid(TINY, 32)

    found = decode_segments(predictions, points, DecodingConfig(top_k=5, min_length=0.5))

    assert 0 < len(found) <= 15
    assert (found.segments[:, 1] - found.segments[:, 0] > 0.5).all()
    assert (found.scores > 0.001).all()
    assert set(found.labels.tolist()) <= {0, 1, 2}
