"""Laws of the coordinated pair that hold whatever the sizes of its encoders."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from internvideo.heads import (
    CoordinatedClassifier,
    CoordinatedClassifierConfig,
    VideoClassifier,
    VideoClassifierConfig,
)
from internvideo.models import CoordinationConfig, MaskedEncoderConfig, UniFormerConfig
from internvideo.values import Tubelet

# Plain numbers and not configurations: the type checker draws random numbers to look at a tuple.
SIZES = st.fixed_dictionaries(
    {
        "slots": st.integers(1, 3),
        "frame_step": st.sampled_from([1, 2]),
        "widths": st.sampled_from([(16, 32), (24, 16)]),
        "depths": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "first_global": st.integers(0, 2),
        "side_of_b": st.sampled_from([16, 24]),
        "temporal_patch_size": st.sampled_from([1, 3]),
        "num_local": st.integers(0, 1),
        "frozen_backbone": st.booleans(),
        "num_classes": st.integers(2, 5),
        "poolings": st.sampled_from([("mean", "query"), ("attentive", "attentive")]),
        "blocks": st.sampled_from([1, "half", "all", ()]),
        "layers": st.sampled_from(["end", "depth"]),
        "scope": st.sampled_from(["clip", "slot"]),
        "reversed_module": st.booleans(),
    }
)


def config_of(sizes: dict) -> CoordinatedClassifierConfig:
    """Encoders that differ in width, depth, heads, side, frames and slots."""
    num_frames, (depth, depth_b) = 2 * sizes["slots"], sizes["depths"]
    masked = MaskedEncoderConfig(
        num_frames=num_frames,
        side_px=16,
        tubelet=Tubelet(time=2, height=8, width=8),
        width=sizes["widths"][0],
        depth=depth,
        num_heads=2,
        drop_path=0.2,
        final_norm=False,
    )
    multimodal = UniFormerConfig(
        side_px=sizes["side_of_b"],
        patch_px=8,
        width=sizes["widths"][1],
        depth=depth_b,
        num_heads=4,
        global_layers=tuple(range(min(sizes["first_global"], depth_b - 1), depth_b)),
        num_global_heads=2,
        temporal_patch_size=sizes["temporal_patch_size"],
        num_local=sizes["num_local"],
        drop_path=0.2,
        frozen_backbone=sizes["frozen_backbone"],
    )
    agree = multimodal.num_slots(num_frames // sizes["frame_step"]) == sizes["slots"]
    of_a, of_b = sizes["poolings"]
    classes = {"num_classes": sizes["num_classes"]}
    return CoordinatedClassifierConfig(
        masked=VideoClassifierConfig(encoder=masked, pooling=of_a, dropout=0.5, **classes),
        multimodal=VideoClassifierConfig(encoder=multimodal, pooling=of_b, **classes),
        coordination=CoordinationConfig(
            blocks=sizes["blocks"],
            layers=sizes["layers"],
            scope=sizes["scope"] if agree else "clip",
            reversed_module=sizes["reversed_module"],
            head_width=8,
            frame_step=sizes["frame_step"],
        ),
    )


some_pairs = settings(deadline=None, max_examples=15)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def start_of(config: CoordinatedClassifierConfig) -> CoordinatedClassifier:
    """Two encoders as if they were trained (no parameter is zero), and modules as they start."""
    model = CoordinatedClassifier(config)
    for classifier in (model.masked, model.multimodal):
        for parameter in classifier.parameters():
            nn.init.normal_(parameter, std=0.2, generator=seeded(1))
    return model.eval()


def opened(config: CoordinatedClassifierConfig) -> CoordinatedClassifier:
    """The same, with modules and fusion that have learned something."""
    model = start_of(config)
    for parameter in [*model.coordination.parameters(), model.alpha, model.beta]:
        nn.init.normal_(parameter, std=0.3, generator=seeded(2))
    return model


def clip_for(config: CoordinatedClassifierConfig, seed: int = 0) -> Tensor:
    a = config.encoders[0]
    return torch.rand(2, 3, a.num_frames, a.side_px, a.side_px, generator=seeded(seed))


def standardised(clip: Tensor, config: CoordinatedClassifierConfig) -> Tensor:
    mean, std = (torch.tensor(x).view(3, 1, 1, 1) for x in (config.masked_mean, config.masked_std))
    return (clip - mean) / std


def alone(classifier: VideoClassifier, clip: Tensor) -> Tensor:
    with torch.no_grad():
        return copy.deepcopy(classifier).eval()(clip)


@some_pairs
@given(sizes=SIZES)
def test_the_start_is_each_encoder_alone_and_their_mean(sizes: dict):
    config = config_of(sizes)
    model, clip = start_of(config), clip_for(config)
    a, b = config.encoders

    scores = model.score(model.read(clip))

    expected_a = alone(model.masked, standardised(clip, config))
    torch.testing.assert_close(scores.masked, expected_a, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(scores.fused, (scores.masked + scores.multimodal) / 2)
    if a.side_px == b.side_px:
        frames = standardised(clip, config)[:, :, :: config.coordination.frame_step]
        expected_b = alone(model.multimodal, frames)
        torch.testing.assert_close(scores.multimodal, expected_b, atol=1e-6, rtol=1e-6)


@some_pairs
@given(sizes=SIZES)
def test_gradients_exist_exactly_on_what_should_train(sizes: dict):
    config = config_of(sizes)
    model = opened(config).train()

    model(clip_for(config)).square().sum().backward()

    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    expected = {
        name
        for name, _ in model.named_parameters()
        if ".encoder." not in name or name == "multimodal.encoder.query_token"
    }
    assert with_gradient == expected == {name for name, _ in model.trainable_parameters()}


@some_pairs
@given(sizes=SIZES)
def test_every_gate_is_moved_by_the_first_step(sizes: dict):
    config = config_of(sizes)
    model = start_of(config)

    model(clip_for(config)).square().sum().backward()

    for name, parameter in model.coordination.named_parameters():
        assert (parameter.grad.abs().max() > 0) == name.endswith("_gate"), name


@some_pairs
@given(sizes=SIZES)
def test_with_closed_gates_nothing_of_the_other_encoder_reaches_a_branch(
    sizes: dict,
):
    config = config_of(sizes)
    model = opened(config)
    for name, parameter in model.coordination.named_parameters():
        if name.endswith("_gate"):
            nn.init.zeros_(parameter)
    features, others = model.read(clip_for(config)), model.read(clip_for(config, seed=9))
    mixed = replace(features, context=others.context)

    own, foreign = model.score(features), model.score(others)
    a_of_one_b_of_another = model.score(mixed)

    assert torch.equal(a_of_one_b_of_another.masked, own.masked)
    assert torch.equal(a_of_one_b_of_another.multimodal, foreign.multimodal)


@some_pairs
@given(sizes=SIZES, seed=st.integers(0, 100))
def test_the_order_of_b_s_tokens_means_nothing_to_a(sizes: dict, seed: int):
    """Keys and values carry no places of their own: a set is read, of the clip or of a slot."""
    config = config_of(sizes)
    model = opened(config)
    features = model.read(clip_for(config))
    context = {}
    for layer, tokens in features.context.items():
        if config.coordination.scope == "clip":
            flat = tokens.flatten(1, 2)
            order = torch.randperm(flat.shape[1], generator=seeded(seed))
            context[layer] = flat[:, order].view_as(tokens)
        else:
            order = torch.randperm(tokens.shape[2], generator=seeded(seed))
            context[layer] = tokens[:, :, order]
    permuted = replace(features, context=context)

    got, expected = model.coordinate(permuted).tokens, model.coordinate(features).tokens

    torch.testing.assert_close(got, expected)


@some_pairs
@given(sizes=SIZES)
def test_tokens_of_a_layer_reach_a_only_through_their_module(sizes: dict):
    config = config_of(sizes)
    model = opened(config)
    features = model.read(clip_for(config))
    read = {layer for _, layer in model.coordination.pairs}
    other = {layer: torch.randn_like(tokens) for layer, tokens in features.context.items()}
    kept = {layer: tokens for layer, tokens in features.context.items() if layer in read}
    shaken = replace(features, context=other | kept)

    assert torch.equal(model.coordinate(shaken).tokens, model.coordinate(features).tokens)
    if read:
        shaken = replace(features, context=features.context | {min(read): other[min(read)]})
        changed = model.coordinate(shaken).tokens
        assert not torch.allclose(changed, model.coordinate(features).tokens)


@some_pairs
@given(sizes=SIZES)
def test_a_clip_does_not_depend_on_its_batch(sizes: dict):
    config = config_of(sizes)
    model, clip = opened(config), clip_for(config)

    torch.testing.assert_close(model(clip)[1:], model(clip[1:]), atol=1e-5, rtol=1e-5)


def test_saved_weights_give_exactly_the_same_scores(tmp_path):
    config = CONFIG
    model, clip = opened(config), clip_for(config)
    save_file(model.state_dict(), tmp_path / "model.safetensors")

    again = CoordinatedClassifier(config).eval()
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))

    assert torch.equal(again(clip), model(clip))


CONFIG = CoordinatedClassifierConfig(
    masked=VideoClassifierConfig(
        encoder=MaskedEncoderConfig(
            num_frames=8,
            side_px=32,
            tubelet=Tubelet(time=2, height=8, width=8),
            width=48,
            depth=3,
            num_heads=4,
            final_norm=False,
        ),
        num_classes=7,
    ),
    multimodal=VideoClassifierConfig(
        encoder=UniFormerConfig(
            side_px=32,
            patch_px=8,
            width=64,
            depth=3,
            num_heads=4,
            global_layers=(1, 2),
            num_global_heads=4,
        ),
        num_classes=7,
        pooling="query",
    ),
    coordination=CoordinationConfig(head_width=16, blocks="all"),
)


def test_bfloat16_agrees_with_float32_to_a_fortieth_of_the_scores():
    model, clip = opened(CONFIG), clip_for(CONFIG)
    exact = model(clip)

    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(clip)

    assert (rounded.float() - exact).abs().max() < exact.std() / 40


def test_training_leaves_the_frozen_encoders_in_evaluation_mode():
    model = CoordinatedClassifier(CONFIG).train()

    assert model.masked.dropout.training and model.coordination.training
    assert not any(m.training for m in model.masked.encoder.modules())
    assert not any(m.training for m in model.multimodal.encoder.modules())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a second device")
def test_the_encoders_may_sit_on_two_devices():
    model, clip = opened(CONFIG), clip_for(CONFIG)
    expected = model(clip)

    for masked, multimodal in (("cuda", "cpu"), ("cpu", "cuda")):
        model.to_devices(masked=masked, multimodal=multimodal)
        got = model(clip.to(masked))
        torch.testing.assert_close(got.cpu(), expected, atol=1e-3, rtol=1e-3)
