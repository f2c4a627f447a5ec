"""The front end of tiny encoders A: which tubelets are read, in which units, from which start."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from einops import rearrange

from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.models import (
    DecoderConfig,
    MaskedEncoderConfig,
    UniFormerConfig,
    gather_tokens,
    patchify_frames,
)
from internvideo.stages import MaskedPretraining
from internvideo.tiny import (
    MaskedFrontEnd,
    MaskedFrontEndConfig,
    build_masked_autoencoder,
    build_masked_encoder,
)
from internvideo.tiny.masked_front_end import (
    axes_sine_table,
    frame_differences,
    salient_tubelets,
)
from internvideo.values import TokenGrid, Tubelet
from internvideo.weights import initialise_classifier

TUBELET = Tubelet(time=2, height=8, width=8)
ENCODER = MaskedEncoderConfig(
    num_frames=4, side_px=16, tubelet=TUBELET, width=24, depth=2, num_heads=2, final_norm=False
)
PLAIN = MaskedFrontEndConfig()
SALIENT = MaskedFrontEndConfig(frame_differences=True, num_salient_tubelets=3)
CLASSIFIER = VideoClassifierConfig(
    encoder=ENCODER, front_end=SALIENT, num_classes=3, pooling="attentive", init_scale=1.0
)
DECODER = DecoderConfig(width=24, depth=1, num_heads=2)


def test_the_tubelets_that_change_most_are_found_in_order():
    clip = torch.zeros(2, 3, 4, 16, 16)
    clip[0, 0, 1, 0, 0] = 1  # within the first slot: here, and gone again in the second slot
    clip[1, :, 2:, 15, 15] = 5  # from the second slot on, and there for good
    clip[1, :, 1, 0, 8] = 1  # for one frame, top right, so that both of its slots change

    found = salient_tubelets(frame_differences(clip), TUBELET, 2)

    assert found.tolist() == [[0, 4], [1, 7]]


def test_a_still_clip_is_read_all_the_same():
    still = torch.rand(1, 3, 1, 16, 16).expand(-1, -1, 4, -1, -1)

    patches, index = MaskedFrontEnd(SALIENT, ENCODER).select_tubelets(still)

    assert len(set(index[0].tolist())) == 3
    assert not patches[..., TUBELET.time * 8 * 8 * 3 :].any()  # its differences


def test_without_salient_tubelets_all_are_read():
    patches, index = MaskedFrontEnd(PLAIN, ENCODER).select_tubelets(torch.rand(2, 3, 4, 16, 16))

    assert index is None and patches.shape == (2, 8, 2 * 8 * 8 * 3)


def test_a_mask_decides_which_tubelets_are_read():
    encoder, clip = build_masked_encoder(ENCODER, SALIENT), torch.rand(2, 3, 4, 16, 16)
    masked = torch.tensor([[True, False] * 4, [False, True] * 4])

    _, index = encoder.patch_embed.select_tubelets(clip, masked)

    assert index.tolist() == [[1, 3, 5, 7], [0, 2, 4, 6]]
    assert encoder(clip, masked).shape == (2, 4, 24)


def test_differences_are_of_each_frame_from_the_one_before():
    clip = torch.rand(2, 3, 4, 16, 16)
    change = torch.stack(
        [clip[:, :, 0] * 0, *(clip[:, :, i] - clip[:, :, i - 1] for i in (1, 2, 3))], 2
    )
    scale = change.square().mean((1, 2, 3, 4), keepdim=True).sqrt() + 0.018

    front_end = MaskedFrontEnd(replace(SALIENT, num_salient_tubelets=0), ENCODER)
    patches, _ = front_end.select_tubelets(clip)

    expected = rearrange(
        change / scale, "b c (t dt) (h dh) (w dw) -> b (t h w) (dt dh dw c)", dt=2, dh=8, dw=8
    )
    torch.testing.assert_close(patches.chunk(2, dim=2)[1], expected)


def test_bytes_are_seen_as_the_clip_that_they_were_normalised_to():
    frames = torch.randint(0, 256, (2, 4, 16, 16, 3), dtype=torch.uint8)
    mean, std = torch.tensor(ENCODER.pixel_mean), torch.tensor(ENCODER.pixel_std)
    clip = rearrange((frames / 255 - mean) / std, "b t h w c -> b c t h w")
    encoder = build_masked_encoder(ENCODER, PLAIN).eval()

    of_bytes = encoder.encode_patches(patchify_frames(frames, TUBELET))

    torch.testing.assert_close(of_bytes, encoder(clip), atol=1e-5, rtol=1e-4)


def test_what_is_hidden_plays_no_part_in_the_units_of_what_is_visible():
    patches = torch.randint(0, 256, (1, 8, 2 * 8 * 8 * 3), dtype=torch.uint8)
    index = torch.tensor([[1, 4, 6]])
    front_end = MaskedFrontEnd(PLAIN, ENCODER)
    other = patches // 3
    other[:, index[0]] = patches[:, index[0]]

    seen = [front_end(gather_tokens(given, index)) for given in (patches, other)]

    assert torch.equal(*seen)


def test_brightness_and_contrast_do_not_matter():
    torch.manual_seed(0)
    model, clip = VideoClassifier(CLASSIFIER).eval(), 4 * torch.rand(2, 3, 4, 16, 16)

    torch.testing.assert_close(model(clip / 2 + 0.3), model(clip), rtol=0.05, atol=0.02)


def test_what_changes_least_is_not_read():
    model, clip = VideoClassifier(CLASSIFIER).eval(), torch.zeros(1, 3, 4, 16, 16)
    clip[:, :, 1::2, :8, :8] = 1  # the first patch of both slots
    clip[:, :, 2:, 8:, 8:] = 0.5  # the last patch of the second slot
    shown = model(clip)
    other = clip.clone()
    other[:, :, :, :8, 8:] = 0.01 * torch.rand(1, 3, 1, 8, 8)  # still, so never among the three
    mean = clip.mean((2, 3, 4)) - other.mean((2, 3, 4))
    other[:, :, :, 8:, :8] += 4 * mean[:, :, None, None, None]  # as bright as before on the whole

    torch.testing.assert_close(model(other), shown, atol=1e-3, rtol=1e-3)
    other[:, :, 3, 8:, 8:] = 0.2
    assert not torch.allclose(model(other), shown, atol=1e-2)


def test_tubelets_of_high_contrast_do_not_drown_their_positions():
    encoder = build_masked_encoder(ENCODER, PLAIN)
    patches = torch.randn(2, 8, 2 * 8 * 8 * 3)

    contents = encoder.embed_patches(patches, None) - encoder.pos_embed

    torch.testing.assert_close(
        encoder.embed_patches(9 * patches, None) - encoder.pos_embed, contents, atol=0.1, rtol=0.1
    )
    torch.testing.assert_close(contents.std(2), torch.full((2, 8), 0.25), atol=0.02, rtol=0.1)


def test_the_table_tells_all_positions_of_a_small_grid_apart():
    grid = TokenGrid(time=4, height=8, width=8)

    table = axes_sine_table(grid, 64, 30.0)

    distance = torch.cdist(table, table) + 100 * torch.eye(grid.num_tokens)
    assert table.shape == (256, 64)
    assert distance.min() > 0.5


def test_encoder_and_decoder_have_positions_of_the_front_end_that_are_not_saved():
    model = build_masked_autoencoder(ENCODER, DECODER, PLAIN)

    assert torch.equal(model.encoder.pos_embed[0], axes_sine_table(ENCODER.grid, 24, 30.0))
    assert torch.equal(model.pos_embed[0], axes_sine_table(ENCODER.grid, 24, 30.0))
    assert not [name for name in model.state_dict() if "pos_embed" in name]


@pytest.mark.parametrize("make", ["autoencoder", "classifier"])
def test_keys_start_equal_to_queries(make: str):
    if make == "autoencoder":
        model = build_masked_autoencoder(ENCODER, DECODER, PLAIN)
        blocks = [*model.encoder.blocks, *model.decoder.blocks]
    else:
        blocks = [*VideoClassifier(CLASSIFIER).encoder.blocks]

    for block in blocks:
        query, key, value = block.attn.qkv.weight.chunk(3)
        assert torch.equal(query, key)
        assert not torch.equal(key, value)


def test_a_scale_of_zero_keeps_the_published_start():
    encoder = build_masked_encoder(ENCODER, replace(PLAIN, mimetic_init_scale=0.0))

    query, key, _ = encoder.blocks[0].attn.qkv.weight.chunk(3)
    assert not torch.equal(query, key)


def test_a_classifier_takes_all_of_its_pretraining_but_the_differences():
    pretrained = build_masked_autoencoder(replace(ENCODER, final_norm=True), DECODER, PLAIN)
    model = VideoClassifier(CLASSIFIER)

    report = initialise_classifier(model, pretrained.state_dict(), new="difference_proj")

    kernel = pretrained.encoder.patch_embed.proj.weight
    assert torch.equal(model.encoder.patch_embed.proj.weight, kernel)
    assert [name for name in report.new if name.startswith("encoder.")] == [
        "encoder.patch_embed.difference_proj.weight"
    ]


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        (PLAIN, None, r"2 tensors .* have no place in the model \(encoder\.patch_embed\.norm"),
        (None, PLAIN, r"2 tensors of the model are missing .*encoder\.patch_embed\.norm"),
    ],
)
def test_weights_of_a_front_end_are_neither_lost_nor_left_new(before, now, message):
    pretrained = build_masked_autoencoder(replace(ENCODER, final_norm=True), DECODER, before)
    model = VideoClassifier(VideoClassifierConfig(encoder=ENCODER, front_end=now))

    with pytest.raises(CheckpointError, match=message):
        initialise_classifier(model, pretrained.state_dict())


def test_every_parameter_learns():
    model = VideoClassifier(CLASSIFIER)

    model(torch.randn(2, 3, 4, 16, 16)).square().sum().backward()

    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(PLAIN, patch_scale=0.0), "patch_scale 0.0 above 0"),
        (lambda: replace(PLAIN, position_base=1.0), "position_base 1.0 must be above 1"),
        (
            lambda: replace(PLAIN, num_salient_tubelets=-1),
            "num_salient_tubelets -1 and mimetic_init_scale 1.5 must not be negative",
        ),
        (
            lambda: replace(CLASSIFIER, front_end=replace(SALIENT, num_salient_tubelets=9)),
            "num_salient_tubelets is 9; a clip has 8 tubelets",
        ),
        (
            lambda: replace(CLASSIFIER, encoder=replace(ENCODER, positions="learned")),
            "encoder.positions is 'learned'; set it to 'sine', or front_end to none",
        ),
        (
            lambda: replace(CLASSIFIER, encoder=UniFormerConfig()),
            "'masked-front-end' is for the other encoder, and this one is a UniFormerConfig",
        ),
        (
            lambda: MaskedPretraining(encoder=ENCODER, front_end=SALIENT, decoder=DECODER),
            "need whole clips, of which masked pretraining shows a part",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
