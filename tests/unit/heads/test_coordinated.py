"""The coordinated classifier: what it can learn, what it refuses, what it gives to other heads."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.heads import (
    CoordinatedClassifier,
    CoordinatedClassifierConfig,
    VideoClassifierConfig,
)
from internvideo.models import CoordinationConfig, FrozenFeatures
from internvideo.objectives import classification_loss
from internvideo.tiny import MaskedFrontEndConfig
from tests.unit.models.pair import A, B

CONFIG = CoordinatedClassifierConfig(
    masked=VideoClassifierConfig(encoder=A, num_classes=2),
    multimodal=VideoClassifierConfig(encoder=B, num_classes=2, pooling="query"),
    coordination=CoordinationConfig(head_width=8),
    dropout=0.0,
)


def _one_bit_each(count: int, seed: int) -> tuple[FrozenFeatures, Tensor]:
    """A's tokens tell one bit, B's another; the class is whether the two agree."""
    generator = torch.Generator().manual_seed(seed)
    bits = torch.randint(2, (2, count), generator=generator)
    signs = 2.0 * bits - 1
    noise = [torch.randn(count, 16, 24, generator=generator)]
    noise += [torch.randn(count, 4, 5, 32, generator=generator) for _ in range(2)]
    direction_a = torch.linspace(-1, 1, 24)
    direction_b = torch.linspace(1, -1, 32)
    tokens = 0.3 * noise[0] + signs[0][:, None, None] * direction_a
    context = {
        layer: 0.3 * noise[layer] + signs[1][:, None, None, None] * direction_b for layer in (1, 2)
    }
    places = torch.arange(16).expand(count, -1)
    features = FrozenFeatures(tokens=tokens, places=places, first_block=2, context=context)
    return features, (bits[0] == bits[1]).long()


def _accuracy_after_training(config: CoordinatedClassifierConfig, num_steps: int = 30) -> float:
    torch.manual_seed(0)
    model = CoordinatedClassifier(config).train()
    features, labels = _one_bit_each(64, seed=0)
    optimiser = torch.optim.AdamW([p for _, p in model.trainable_parameters()], lr=1e-2)
    for _ in range(num_steps):
        optimiser.zero_grad()
        classification_loss(model.score(features).fused, labels).backward()
        optimiser.step()
    others, truth = _one_bit_each(256, seed=1)
    with torch.no_grad():
        scores = model.eval().score(others).fused
    return float((scores.argmax(1) == truth).double().mean())


def test_modules_learn_what_no_sum_of_two_scores_can_tell():
    without = replace(
        CONFIG, coordination=replace(CONFIG.coordination, blocks=(), reversed_module=False)
    )

    assert _accuracy_after_training(CONFIG) > 0.95
    assert _accuracy_after_training(without) < 0.8


def test_coordinated_tokens_lie_on_the_grid_of_a():
    model = CoordinatedClassifier(CONFIG).eval()
    clip = torch.rand(2, 3, 8, 16, 16)

    found = model.coordinated_features(model.read(clip))

    assert found.tokens.shape == (2, 16, 24) and found.grid == A.grid
    torch.testing.assert_close(found.pooled, found.tokens.mean(1))


def test_salient_tubelets_lie_at_their_positions():
    few = replace(CONFIG.masked, front_end=MaskedFrontEndConfig(num_salient_tubelets=5))
    pair = replace(CONFIG, masked=few, masked_mean=(0.0, 0.0, 0.0), masked_std=(1.0, 1.0, 1.0))
    model, clip = CoordinatedClassifier(pair).eval(), torch.rand(2, 3, 8, 16, 16)
    features = model.read(clip)

    found = model.coordinated_features(features).tokens

    assert features.tokens.shape[1] == features.places.shape[1] == 5
    empty = (found == 0).all(2)
    assert empty.sum(1).tolist() == [11, 11]
    assert not empty.gather(1, features.places).any()
    with torch.no_grad():
        torch.testing.assert_close(model.score(features).masked, model.masked(clip))


def test_slots_need_equally_many_tokens_of_each():
    few = replace(CONFIG.masked, front_end=MaskedFrontEndConfig(num_salient_tubelets=5))
    slots = replace(CONFIG.coordination, scope="slot")

    with pytest.raises(ConfigError, match=r"reads only the 5 tubelets .*; take scope='clip'"):
        replace(CONFIG, masked=few, coordination=slots)


def test_gate_values_name_gates_and_shares():
    names = list(CoordinatedClassifier(CONFIG).gate_values())

    assert names[:2] == ["gate/block2_attn", "gate/block2_mlp"]
    assert names[-2:] == ["fusion/masked", "fusion/multimodal"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masked": replace(CONFIG.masked, num_classes=3)}, "A knows 3 classes and B 2"),
        ({"dropout": 1.0}, r"dropout is 1\.0; give a share"),
        (
            {"masked": CONFIG.multimodal},
            "`masked` has a UniFormerConfig and `multimodal` a UniFormerConfig",
        ),
    ],
)
def test_an_impossible_pair_is_refused(change: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **change)
