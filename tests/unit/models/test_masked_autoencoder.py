"""Encoder A and its decoder, tiny."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.models import (
    DecoderConfig,
    MaskedAutoencoder,
    MaskedEncoder,
    MaskedEncoderConfig,
    MaskingConfig,
    gather_tokens,
    patchify_frames,
    sample_masks,
)
from internvideo.objectives import pixel_targets, reconstruction_loss
from internvideo.values import Tubelet

ENCODER = MaskedEncoderConfig(
    num_frames=8,
    side_px=32,
    tubelet=Tubelet(time=2, height=8, width=8),
    width=32,
    depth=2,
    num_heads=2,
)
DECODER = DecoderConfig(width=16, depth=2, num_heads=2)
SEEDS = torch.tensor([1, 2])
FRAMES = torch.randint(
    0, 256, (2, 8, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


def _loss(model: MaskedAutoencoder, masking: MaskingConfig) -> torch.Tensor:
    masks = sample_masks(masking, model.encoder.config.grid, SEEDS)
    patches = patchify_frames(FRAMES, ENCODER.tubelet)
    predicted = model(
        gather_tokens(patches, masks.visible_index), masks.visible_index, masks.predicted_index
    )
    target = pixel_targets(gather_tokens(patches, masks.predicted_index), normalised=True)
    return reconstruction_loss(predicted, target, masks.loss_mask)


def _model(encoder: MaskedEncoderConfig = ENCODER) -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder(encoder, DECODER)


def _normalised(frames: torch.Tensor) -> torch.Tensor:
    mean, std = torch.tensor(ENCODER.pixel_mean), torch.tensor(ENCODER.pixel_std)
    return ((frames / 255 - mean) / std).permute(0, 4, 1, 2, 3)


def _mask() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.stack([MaskingConfig(ratio=0.75).sample(ENCODER.grid, generator) for _ in SEEDS])


def test_masked_pixels_never_reach_the_encoder():
    model, masked = _model().encoder, _mask()
    clip = _normalised(FRAMES)
    hidden = masked.view(2, 1, 4, 4, 4)
    for axis, extent in ((2, 2), (3, 8), (4, 8)):
        hidden = hidden.repeat_interleave(extent, dim=axis)

    changed = torch.where(hidden, torch.randn_like(clip), clip)

    assert torch.equal(model(clip, masked), model(changed, masked))


def test_bytes_give_the_tokens_that_a_normalised_clip_gives():
    model, masked = _model().encoder, _mask()
    index = (~masked).nonzero()[:, 1].view(2, -1)

    from_bytes = model.encode_patches(
        gather_tokens(patchify_frames(FRAMES, ENCODER.tubelet), index), index
    )

    torch.testing.assert_close(from_bytes, model(_normalised(FRAMES), masked))


def test_embedding_equals_the_official_convolution():
    model = _model().encoder
    clip = _normalised(FRAMES)

    convolved = model.patch_embed.proj(clip).flatten(2).mT

    seen = []
    model.patch_embed.register_forward_hook(lambda _, __, output: seen.append(output))
    model(clip)
    torch.testing.assert_close(seen[0], convolved)


def test_all_tokens_without_a_mask_equal_a_mask_that_hides_nothing():
    model, clip = _model().encoder, _normalised(FRAMES)
    nothing = torch.zeros(2, ENCODER.grid.num_tokens, dtype=torch.bool)

    assert torch.equal(model(clip), model(clip, nothing))


@pytest.mark.parametrize("decoder_mask_ratio", [0.0, 0.5])
def test_recomputing_activations_gives_equal_gradients(decoder_mask_ratio: float):
    masking = MaskingConfig(ratio=0.75, decoder_mask_ratio=decoder_mask_ratio)
    plain, frugal = _model(), _model(replace(ENCODER, recompute_activations=True))

    _loss(plain, masking).backward()
    _loss(frugal, masking).backward()

    for (name, expected), got in zip(plain.named_parameters(), frugal.parameters(), strict=True):
        assert torch.equal(got.grad, expected.grad), name


def test_order_of_predicted_places_is_the_order_of_predictions():
    model = _model()
    masks = sample_masks(MaskingConfig(ratio=0.75), ENCODER.grid, SEEDS)
    visible = gather_tokens(patchify_frames(FRAMES, ENCODER.tubelet), masks.visible_index)

    forwards = model(visible, masks.visible_index, masks.predicted_index)
    backwards = model(visible, masks.visible_index, masks.predicted_index.flip(1))

    torch.testing.assert_close(backwards, forwards.flip(1))


def test_every_parameter_of_the_autoencoder_gets_a_gradient():
    model = _model(replace(ENCODER, positions="learned", layer_scale_init=0.1))

    _loss(model, MaskingConfig(ratio=0.75)).backward()

    without = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert without == []


def test_a_fixed_position_table_is_not_saved_and_a_learned_one_is():
    learned = MaskedEncoder(replace(ENCODER, positions="learned"))

    assert "pos_embed" not in MaskedEncoder(ENCODER).state_dict()
    assert learned.state_dict()["pos_embed"].shape == (1, 64, 32)


def test_mask_token_starts_within_one_deviation():
    assert _model().mask_token.abs().max() <= 0.02


def test_a_step_runs_under_bfloat16_autocast():
    model = _model()

    with torch.autocast("cpu", torch.bfloat16):
        loss = _loss(model, MaskingConfig(ratio=0.75))
    loss.backward()

    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, _loss(model, MaskingConfig(ratio=0.75)), rtol=0.02, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 5}, "encoder width 32 is not divisible by 5 heads"),
        ({"depth": 0}, "encoder has width 32, depth 0, heads 2; each is at least 1"),
        ({"side_px": 30}, "side_px 30 is not a positive multiple"),
        ({"pixel_std": (1.0,)}, "do not give one mean and one positive deviation"),
    ],
)
def test_impossible_encoders_are_refused(change: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        replace(ENCODER, **change)
