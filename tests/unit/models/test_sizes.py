"""Published sizes: parameters and cost."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.models import (
    CAPTION_DECODERS,
    CLIPS,
    DECODERS,
    ENCODERS,
    MULTIMODAL_ENCODERS,
    TEXT_ENCODERS,
    UNIFORMERS,
    VIDEOMAE_DECODERS,
    VIDEOMAE_V2_DECODERS,
    CaptionDecoder,
    DecoderConfig,
    MaskedAutoencoder,
    MultimodalEncoder,
    MultimodalEncoderConfig,
    UniFormer,
    autoencoder_macs,
    encoder_macs,
    text_macs,
    training_flops,
    uniformer_macs,
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


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (CLIPS["base"], 149_620_737),
        (CLIPS["large"], 427_616_513),
        (CLIPS["large-336"], 427_944_193),
        (MULTIMODAL_ENCODERS["base"], 178_066_433),
        (MULTIMODAL_ENCODERS["large"], 478_127_105),
        (MULTIMODAL_ENCODERS["large-336"], 478_454_785),
    ],
)
def test_parameter_counts_of_encoder_b_match_to_the_last_digit(
    config: MultimodalEncoderConfig, count: int
):
    with torch.device("meta"):
        model = MultimodalEncoder(config)

    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize(
    ("size", "num_classes", "count"),
    [
        ("base", 400, 114_552_208),
        ("large", 400, 354_099_600),
        ("large-336", 400, 354_427_280),
        ("large-336", 710, 354_745_030),
        ("base-local", 174, 162_992_814),
        ("large-local", 174, 573_949_966),
    ],
)
def test_parameter_counts_of_uniformer_with_its_classifier(size: str, num_classes: int, count: int):
    with torch.device("meta"):
        model = UniFormer(UNIFORMERS[size])
    width = UNIFORMERS[size].width
    classifier = 2 * width + num_classes * (width + 1)

    assert sum(parameter.numel() for parameter in model.parameters()) + classifier == count


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ("small", 22_033_936),
        ("base", 86_534_800),
        ("large", 304_270_736),
        ("huge", 632_119_440),
        ("giant", 1_012_174_352),
        ("gigantic", 1_843_910_928),
    ],
)
def test_parameter_counts_of_encoder_a_with_a_classifier_of_400(size: str, count: int):
    config = replace(ENCODERS[size], final_norm=False)
    with torch.device("meta"):
        model = VideoClassifier(VideoClassifierConfig(encoder=config, num_classes=400))

    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize(
    ("size", "depth", "count"),
    [
        ("base", 4, 56_256_512),
        ("base", 6, 71_200_768),
        ("large", 4, 106_953_472),
        ("large", 6, 140_379_904),
    ],
)
def test_parameter_counts_of_the_caption_decoder(size: str, depth: int, count: int):
    with torch.device("meta"):
        model = CaptionDecoder(replace(CAPTION_DECODERS[size], depth=depth))

    assert CAPTION_DECODERS[size].depth == 4
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize(
    ("size", "num_frames", "giga"),
    [
        ("base", 8, 148),
        ("large", 8, 666),
        ("large", 32, 2662),
        ("large-336", 8, 1567),
        ("large-336", 64, 12_536),
    ],
)
def test_forward_cost_of_uniformer(size: str, num_frames: int, giga: int):
    assert round(uniformer_macs(UNIFORMERS[size], num_frames) / 1e9) == giga


def test_reading_half_of_the_patches_saves_cost():
    whole = uniformer_macs(UNIFORMERS["base"], 8)

    assert 0.4 < uniformer_macs(UNIFORMERS["base"], 8, num_patches=98) / whole < 0.5


def test_a_shorter_text_costs_less():
    config = TEXT_ENCODERS["base"]

    assert text_macs(config, 77) == text_macs(config) > 2 * text_macs(config, 32)
