"""Cutting clips into tubelets."""

from __future__ import annotations

import torch
from einops import rearrange

from internvideo.models import (
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


def test_placing_undoes_gathering():
    tokens, index = torch.randn(2, 5, 3), torch.tensor([[0, 4], [1, 2]])

    placed = place_tokens(gather_tokens(tokens, index), index, 5)

    assert torch.equal(gather_tokens(placed, index), gather_tokens(tokens, index))
    assert placed.abs().sum(2).count_nonzero(1).tolist() == [2, 2]
