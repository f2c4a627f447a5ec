"""Temporal adapters in a frozen encoder, trained with the detector on raw videos."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from einops import rearrange

from internvideo.data import VideoData
from internvideo.errors import ConfigError
from internvideo.heads import AdaptedDetector, AdaptedEncoderConfig
from internvideo.hub import load_pretrained
from internvideo.models import MaskedEncoderConfig
from internvideo.recipes import recipe
from internvideo.tasks import (
    LocalizationData,
    LocalizationRequest,
    TemporalDetector,
    TemporalLocalization,
    TemporalLocalizationTraining,
)
from internvideo.values import IMAGENET_MEAN, IMAGENET_STD, Tubelet
from internvideo.video import write_video
from internvideo.video.transforms import normalise
from tests.unit.tasks import planted
from tests.unit.tasks.test_temporal_localization_training import run_on, trained

ADAPTED = AdaptedEncoderConfig(
    encoder=MaskedEncoderConfig(
        num_frames=4,
        side_px=16,
        tubelet=Tubelet(time=2, height=8, width=8),
        width=16,
        depth=2,
        num_heads=2,
        final_norm=False,
    )
)
NETWORK = replace(
    planted.NETWORK, input_width=16, num_classes=1, max_length=32,
    width=16, pyramid_width=16, head_width=16,
)  # fmt: skip


def build():
    torch.manual_seed(0)
    return AdaptedDetector(ADAPTED, NETWORK)


def moved(model):
    """The same with adapters that do something."""
    for adapter in model.adapters:
        torch.nn.init.normal_(adapter.up.weight, std=0.5)
    return model


def steps(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, count, ADAPTED.step_width), generator=generator).float()


def none_padded(count):
    return torch.zeros(1, count, dtype=torch.bool)


def test_at_the_start_features_are_those_of_the_frozen_encoder():
    model, frames = build().eval(), steps(8)
    clips = rearrange(
        frames.to(torch.uint8), "1 (b t) (dt h w c) -> b (t dt) h w c", t=2, dt=2, h=16, w=16
    )

    features = model.features(frames, none_padded(8))

    tokens = model.encoder(normalise(clips, mean=IMAGENET_MEAN, std=IMAGENET_STD))
    expected = rearrange(tokens, "b (t n) d -> 1 (b t) n d", t=2).mean(2)
    torch.testing.assert_close(features, expected)


def test_only_adapters_and_network_have_gradients_and_all_of_the_adapters_do():
    model = moved(build()).train()
    found = model(steps(32), none_padded(32))
    (found.logits.sum() + found.distances.sum()).backward()

    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert not any(name.startswith("encoder.") for name in with_gradient)
    adapters = {f"adapters.{name}" for name, _ in model.adapters.named_parameters()}
    assert adapters <= with_gradient
    assert any(name.startswith("detector.") for name in with_gradient)
    assert not model.encoder.training


def test_adapters_carry_over_from_clip_to_clip():
    model, frames = moved(build()).eval(), steps(8)
    changed = frames.clone()
    changed[:, 4:6] = 0  # the third clip

    before, after = (model.features(f, none_padded(8))[0] for f in (frames, changed))

    differs = (before - after).abs().amax(1) > 1e-6
    # One step earlier in the first adapter, then its whole clip, and a step more in the second.
    assert differs.tolist() == [False, True, True, True, True, True, True, True]


@pytest.mark.parametrize("length", [9, 12, 32])
def test_padding_changes_no_feature(length):
    model, frames = moved(build()).eval(), steps(8)
    padded_frames = torch.cat([frames, steps(length - 8, seed=1)], dim=1)
    padded = torch.arange(length)[None] >= 8

    alone = model.features(frames, none_padded(8))
    together = model.features(padded_frames, padded)

    torch.testing.assert_close(together[:, :8], alone)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Eight seconds each that are bright where something happens."""
    folder = tmp_path_factory.mktemp("raw")
    rng = np.random.default_rng(0)
    rows = ["path,start_s,end_s,label,split"]
    for number, split in enumerate(("train",) * 6 + ("val", "test")):
        start = int(rng.integers(1, 5))
        frames = rng.integers(0, 60, (64, 16, 16, 3))
        frames[8 * start : 8 * start + 16] += 160
        write_video(folder / f"{number}.mp4", torch.from_numpy(frames.astype(np.uint8)), 8.0)
        rows.append(f"{number}.mp4,{start},{start + 2},bright,{split}")
    (folder / "segments.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.slow
def test_it_is_trained_evaluated_saved_and_asked_about_a_video(videos, tmp_path):
    run = run_on(videos, num_steps=40)
    stage = TemporalLocalizationTraining(model=NETWORK, adapted=ADAPTED, initial_normaliser=10.0)
    data = VideoData(source=str(videos / "segments.csv"), format="segment-csv", cache_mb=64)
    training = replace(run.training, batch_size=2)

    trained(replace(run, stage=stage, data=data, training=training), tmp_path / "run")

    model = TemporalDetector.from_pretrained(
        load_pretrained(tmp_path / "run", averaged=True), source="run"
    )
    read = LocalizationData(data=str(videos / "segments.csv"), format="segment-csv").read()
    result = TemporalLocalization().evaluate(model, read)
    answer = TemporalLocalization().predict(model, LocalizationRequest(video=videos / "7.mp4"))
    assert (result.num_evaluated, result.num_total) == (1, 1)
    assert result.scores["map/0.3"] == 1.0
    assert answer.segments == result.segments[0][:20]
    assert any(a.up.weight.abs().sum() > 0 for a in model.model.adapters)
    with pytest.raises(ConfigError, match="the detector has its own encoder; leave --encoder out"):
        model.detect_video(videos / "7.mp4", ("runs/a",))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"encoder has width 16, model.input_width is 12"):
        AdaptedDetector(ADAPTED, replace(NETWORK, input_width=12))
    with pytest.raises(ConfigError, match="a kernel is odd"):
        replace(ADAPTED, kernel=2)
    with pytest.raises(ConfigError, match=r"set stage\.adapted as well"):
        TemporalLocalizationTraining(model=NETWORK, initial_weights="runs/a")


def test_the_tiny_recipe_starts_from_masked_pretraining_and_counts_its_work():
    stage = recipe("temporal_localization_tiny_adapted").stage

    before = recipe("mae_tiny_playground").stage
    assert replace(stage.adapted.encoder, final_norm=True) == before.encoder
    assert stage.initial_weights == "runs/mae_tiny_playground"
    assert stage.training_flops_per_clip > 1e9
