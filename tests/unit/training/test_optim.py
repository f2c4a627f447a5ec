"""How fast each parameter learns: by its place in the stack, and by its name."""

from __future__ import annotations

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.models import MaskedEncoderConfig, UniFormerConfig
from internvideo.tiny import UniFormerFrontEndConfig
from internvideo.training.optim import (
    OptimiserConfig,
    build_optimisers,
    layer_index,
    parameter_groups,
)
from internvideo.values import Tubelet

ENCODER_A = MaskedEncoderConfig(
    num_frames=4,
    side_px=16,
    tubelet=Tubelet(time=2, height=8, width=8),
    width=16,
    depth=3,
    num_heads=2,
    positions="learned",
    final_norm=False,
)
ENCODER_B = UniFormerConfig(
    side_px=16,
    patch_px=8,
    width=16,
    depth=3,
    num_heads=2,
    global_layers=(1, 2),
    num_global_heads=2,
    num_local=1,
)


@pytest.mark.parametrize(
    ("encoder", "pooling", "front_end"),
    [
        (ENCODER_A, "mean", None),
        (ENCODER_B, "query", None),
        (ENCODER_B, "query", UniFormerFrontEndConfig(stem_width=2)),
    ],
)
def test_every_parameter_of_a_classifier_stands_where_it_is_computed(encoder, pooling, front_end):
    with torch.device("meta"):
        config = VideoClassifierConfig(
            encoder=encoder, num_classes=2, pooling=pooling, front_end=front_end
        )
        model = VideoClassifier(config)
    before_blocks = {
        "encoder.patch_embed",
        "encoder.pos_embed",
        "encoder.class_token",
        "encoder.positions",
        "encoder.norm_pre",
    }

    for name, _ in model.named_parameters():
        part, *rest = name.removeprefix("encoder.").split(".")
        expected = int(rest[0]) + 1 if part == "blocks" else 4
        if name.startswith(tuple(before_blocks)):
            expected = 0
        assert layer_index(name, num_layers=3) == expected, name


def test_a_layer_learns_at_the_rate_of_those_above_it_times_the_decay():
    with torch.device("meta"):
        model = VideoClassifier(VideoClassifierConfig(encoder=ENCODER_B, pooling="query"))

    groups = parameter_groups(model.named_parameters(), weight_decay=0.05, layer_decay=0.5)

    scales = {name: group["lr_scale"] for group in groups for name in group["names"]}
    assert scales["head.weight"] == scales["fc_norm.weight"] == 1
    assert scales["encoder.global_blocks.0.mlp.fc1.weight"] == scales["encoder.query_token"] == 1
    assert scales["encoder.blocks.2.mlp.fc1.weight"] == 0.5
    assert scales["encoder.blocks.0.local1.up.weight"] == 0.5**3
    assert scales["encoder.patch_embed.weight"] == scales["encoder.class_token"] == 0.5**4


def test_rates_multiply_those_of_the_parameters_they_name():
    model = torch.nn.ModuleDict({"gate": torch.nn.Linear(2, 2), "rest": torch.nn.Linear(2, 2)})

    groups = parameter_groups(
        model.named_parameters(), weight_decay=0.05, rates={"gate": 30.0, "bias": 2.0}
    )

    scales = {name: group["lr_scale"] for group in groups for name in group["names"]}
    assert scales == {"gate.weight": 30, "gate.bias": 30, "rest.weight": 1, "rest.bias": 2}


@pytest.mark.parametrize(
    ("rates", "said"),
    [({"(": 2.0}, "not a pattern"), ({"gate": 0.0}, "positive")],
)
def test_rates_that_cannot_be_meant_are_refused(rates, said):
    with pytest.raises(ConfigError, match=said):
        build_optimisers(
            torch.nn.ModuleDict({"gate": torch.nn.Linear(2, 2)}), OptimiserConfig(rates=rates)
        )


def test_a_rate_of_a_part_that_is_switched_off_is_warned_of(caplog):
    model = torch.nn.ModuleDict({"gate": torch.nn.Linear(2, 2)})

    build_optimisers(model, OptimiserConfig(rates={"captioner": 3.0}))

    assert "'captioner' is in no parameter's name" in caplog.text
