"""Masks and what becomes of them."""

from __future__ import annotations

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.models import MASKS, MaskingConfig, split_of, split_tokens
from internvideo.models.masking import running_cell
from internvideo.values import TokenGrid

GRID = TokenGrid(time=8, height=14, width=14)
SEEDS = torch.tensor([5, 6, 7])


def test_tube_mask_of_the_paper_shows_twenty_places_per_slot():
    split = split_tokens(MaskingConfig(), GRID, SEEDS)

    assert split.visible_index.shape == (3, 160)
    assert split.predicted_index.shape == (3, 1408)


def test_masks_depend_on_the_samples_own_seed_alone():
    together = split_tokens(MaskingConfig(), GRID, SEEDS)
    alone = split_tokens(MaskingConfig(), GRID, SEEDS[1:2])

    assert torch.equal(together.visible_index[1:2], alone.visible_index)


def test_masks_of_different_seeds_differ():
    split = split_tokens(MaskingConfig(), GRID, SEEDS)

    assert not torch.equal(split.visible_index[0], split.visible_index[1])


def test_running_cell_decodes_every_place_in_half_of_the_slots():
    skipped = running_cell(GRID, 0.5, torch.randperm).view(8, 14, 14)

    assert (skipped.sum(0) == 4).all()
    assert (skipped.view(8, 7, 2, 7, 2).sum((2, 4)) == 2).all()


def test_running_cell_moves_on_in_every_slot():
    skipped = running_cell(GRID, 0.5, torch.randperm).view(8, 14, 14)

    assert all(not torch.equal(skipped[t], skipped[t + 1]) for t in range(7))
    assert torch.equal(skipped[0], skipped[4])


def test_dual_masking_under_a_tube_predicts_only_what_counts():
    split = split_tokens(MaskingConfig(skipped_ratio=0.5), GRID, SEEDS)

    assert split.predicted_index.shape == (3, 704)  # half of the 1408 hidden ones
    assert split.counted is None


def test_dual_masking_under_a_random_mask_tells_which_tokens_count():
    config = MaskingConfig(kind="random", skipped_ratio=0.5)
    split = split_tokens(config, GRID, SEEDS)

    assert split.predicted_index.shape == (3, 784)  # the whole decode set
    for visible, predicted, counted in zip(
        split.visible_index, split.predicted_index, split.counted, strict=True
    ):
        assert torch.equal(counted, ~torch.isin(predicted, visible))


def test_split_keeps_increasing_order():
    masked = torch.tensor([[True, False, True, False], [False, False, True, True]])

    split = split_of(masked)

    assert split.visible_index.tolist() == [[1, 3], [0, 1]]
    assert split.predicted_index.tolist() == [[0, 2], [2, 3]]


def test_progressive_mask_shows_fewer_of_the_same_places():
    masked = MASKS["progressive"](GRID, 0.5, torch.randperm).view(8, -1)

    assert masked.sum(1).tolist() == [99, 112, 125, 138, 150, 163, 176, 188]
    assert all((masked[t + 1] >= masked[t]).all() for t in range(7))


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"kind": "tubes"}, "did you mean 'tube'"),
        ({"ratio": 1.0}, "mask ratio 1.0 is not between 0 and 1"),
        ({"skipped_ratio": 0.4}, "skipped_ratio 0.4 is not 0, 0.25, 0.5 or 0.75"),
    ],
)
def test_impossible_masking_is_refused_at_once(switches: dict[str, float], message: str):
    with pytest.raises(ConfigError, match=message):
        MaskingConfig(**switches)


@pytest.mark.parametrize(
    ("grid", "config", "message"),
    [
        (TokenGrid(time=2, height=2, width=2), MaskingConfig(ratio=0.1), "hides 0 of the 8 tokens"),
        (
            TokenGrid(time=2, height=5, width=5),
            MaskingConfig(skipped_ratio=0.5),
            "needs even rows and columns, the grid has 5 x 5",
        ),
        (
            TokenGrid(time=2, height=4, width=4),
            MaskingConfig(kind="progressive"),
            "which on 2 x 4 x 4 tokens is none; use a tube mask",
        ),
        (
            TokenGrid(time=3, height=14, width=14),
            MaskingConfig(kind="centred"),
            "needs an even number of slots, not 3",
        ),
    ],
)
def test_masks_that_do_not_fit_the_grid_are_refused(
    grid: TokenGrid, config: MaskingConfig, message: str
):
    with pytest.raises(ConfigError, match=message):
        split_tokens(config, grid, SEEDS)
