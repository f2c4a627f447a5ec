"""Cutting clips into tubelets."""

from __future__ import annotations

import torch
from einops import rearrange

from internvideo.models import (
    MaskedEncoder,
    MaskedEncoderConfig,
    changing_tokens,
    encoder_macs,
    gather_tokens,
    patchify,
    patchify_frames,
    place_tokens,
)
from internvideo.values import Tubelet

TUBELET = Tubelet(time=2, height=4, width=4)


def test_pixels_of_a_tubelet_are_frame_row_column_channel():
    clip = torch.arange(3 * 4 * 8 * 8, dtype=torch.float32).view(1, 3, 4, 8, 8)

    patches = patchify(clip, TUBELET)

    frame, row, column, channel = 1, 2, 3, 1
    token = (1 * 2 + 0) * 2 + 1  # second slot, first row, second column
    expected = clip[0, channel, 2 + frame, 0 + row, 4 + column]
    assert patches[0, token, ((frame * 4 + row) * 4 + column) * 3 + channel] == expected


def test_bytes_and_floats_are_cut_alike():
    frames = torch.randint(0, 256, (2, 4, 8, 8, 3), dtype=torch.uint8)

    clip = rearrange(frames, "b t h w c -> b c t h w").float()

    assert torch.equal(patchify_frames(frames, TUBELET).float(), patchify(clip, TUBELET))


def test_gathering_takes_each_samples_own_tokens():
    tokens = torch.arange(2 * 5 * 3).view(2, 5, 3)

    taken = gather_tokens(tokens, torch.tensor([[4, 0], [1, 2]]))

    assert torch.equal(taken, torch.stack([tokens[0, [4, 0]], tokens[1, [1, 2]]]))


def test_the_tubelets_that_change_most_are_found_in_order():
    clip = torch.zeros(2, 3, 4, 8, 8)
    clip[0, 0, 1, 0, 0] = 1  # within the first slot: here, and gone again in the second slot
    clip[1, :, 2:, 7, 7] = 5  # from the second slot on, and there for good
    clip[1, :, 1, 0, 4] = 1  # for one frame, top right, so that both of its slots change

    assert changing_tokens(clip, TUBELET, 2).tolist() == [[0, 4], [1, 7]]


def test_whose_first_frame_differs_from_nothing_is_read_all_the_same():
    still = torch.rand(1, 3, 1, 8, 8).expand(-1, -1, 4, -1, -1)

    found = changing_tokens(still, TUBELET, 3)

    assert len(set(found[0].tolist())) == 3


def test_placing_undoes_gathering():
    tokens, index = torch.randn(2, 5, 3), torch.tensor([[0, 4], [1, 2]])

    placed = place_tokens(gather_tokens(tokens, index), index, 5)

    assert torch.equal(gather_tokens(placed, index), gather_tokens(tokens, index))
    assert placed.abs().sum(2).count_nonzero(1).tolist() == [2, 2]


def test_an_encoder_of_what_changes_tells_places_and_cost_of_what_it_reads():
    config = MaskedEncoderConfig(
        num_frames=4, side_px=8, tubelet=TUBELET, width=12, depth=1, num_heads=2, num_changing=3
    )
    encoder, clip = MaskedEncoder(config).eval(), torch.rand(2, 3, 4, 8, 8)

    on_grid = encoder.on_grid(clip)

    index = changing_tokens(clip, TUBELET, 3)
    torch.testing.assert_close(gather_tokens(on_grid, index), encoder(clip))
    assert on_grid.shape == (2, 8, 12)
    assert encoder_macs(config) == encoder_macs(config, 3) < encoder_macs(config, 8)
