"""Published sizes: parameters and cost."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from internvideo.models import (
    DECODERS,
    ENCODERS,
    VIDEOMAE_DECODERS,
    VIDEOMAE_V2_DECODERS,
    DecoderConfig,
    MaskedAutoencoder,
    autoencoder_macs,
    encoder_macs,
    training_flops,
)


@pytest.mark.parametrize(
    ("size", "decoders", "count"),
    [
        ("small", DECODERS, 24_029_376),
        ("base", DECODERS, 94_210_944),
        ("large", DECODERS, 342_996_992),
        ("large", VIDEOMAE_V2_DECODERS, 317_782_016),
        ("huge", DECODERS, 658_266_880),
        ("huge", VIDEOMAE_DECODERS, 692_487_296),
        ("huge", VIDEOMAE_V2_DECODERS, 645_659_392),
        ("giant", DECODERS, 1_026_306_560),
    ],
)
def test_parameter_counts_match_to_the_last_digit(
    size: str, decoders: dict[str, DecoderConfig], count: int
):
    with torch.device("meta"):
        model = MaskedAutoencoder(ENCODERS[size], decoders[size])

    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize(
    ("size", "giga"),
    [
        ("small", 56.9),
        ("base", 180.3),
        ("large", 596.8),
        ("huge", 1191.0),
        ("giant", 2542.8),
    ],
)
def test_forward_cost_of_a_whole_clip(size: str, giga: float):
    assert encoder_macs(ENCODERS[size]) / 1e9 == pytest.approx(giga, rel=0.01)


@pytest.mark.parametrize(
    ("size", "width", "depth", "giga", "giga_dual"),
    [
        ("base", 384, 4, 35.44, 25.84),
        ("large", 512, 4, 83.03, 68.27),
        ("large", 512, 12, 142.64, 99.33),
        ("huge", 512, 4, 136.86, 122.09),
        ("huge", 640, 4, 150.77, 129.87),
        ("huge", 640, 8, 194.19, 152.99),
        ("giant", 512, 4, 262.4, 240.7),
    ],
)
def test_cost_of_masked_pretraining_is_the_published_one(
    size: str, width: int, depth: int, giga: float, giga_dual: float
):
    encoder = ENCODERS[size]
    decoder = replace(DECODERS[size], width=width, depth=depth)
    n = encoder.grid.num_tokens
    visible = encoder.grid.time * (encoder.grid.num_places - int(0.9 * encoder.grid.num_places))

    full, dual = (
        autoencoder_macs(
            encoder, decoder, num_visible=visible, num_predicted=predicted, num_embedded=n
        )
        for predicted in (n - visible, n // 2)
    )

    assert full / 1e9 == pytest.approx(giga, rel=0.01)
    assert dual / 1e9 == pytest.approx(giga_dual, rel=0.01)


def test_training_spends_three_forwards_and_recomputing_a_fourth():
    assert training_flops(10) == 60
    assert training_flops(10, recompute=True) == 80
