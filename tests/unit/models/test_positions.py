"""Position tables."""

from __future__ import annotations

import torch

from internvideo.models import resize_positions, sine_table
from internvideo.values import TokenGrid


def test_first_row_of_the_sine_table_is_zero_one_repeated():
    assert sine_table(5, 8)[0].tolist() == [0, 1] * 4


def test_first_two_columns_are_sine_and_cosine_of_the_row():
    rows = torch.arange(5.0)

    torch.testing.assert_close(sine_table(5, 8)[:, 0], rows.sin())
    torch.testing.assert_close(sine_table(5, 8)[:, 1], rows.cos())


def test_more_frames_only_add_rows():
    assert torch.equal(sine_table(3136, 48)[:1568], sine_table(1568, 48))


def test_unchanged_grid_returns_the_table_itself():
    grid = TokenGrid(time=8, height=14, width=14)
    table = sine_table(grid.num_tokens, 16)

    assert resize_positions(table, grid, grid) is table


def test_change_of_time_keeps_places_apart():
    old, new = TokenGrid(time=2, height=1, width=2), TokenGrid(time=3, height=1, width=2)
    table = torch.tensor([[0.0], [10.0], [4.0], [14.0]])

    resized = resize_positions(table, old, new)

    assert resized[:, 0].tolist() == [0.0, 10.0, 2.0, 12.0, 4.0, 14.0]
