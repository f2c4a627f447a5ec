"""Masks and what becomes of them."""

from __future__ import annotations

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.models import MASKS, MaskingConfig, mask_indices, sample_masks
from internvideo.models.masking import running_cell
from internvideo.values import TokenGrid

GRID = TokenGrid(time=8, height=14, width=14)
SEEDS = torch.tensor([5, 6, 7])


def test_tube_mask_of_the_paper_shows_twenty_places_per_slot():
    masks = sample_masks(MaskingConfig(), GRID, SEEDS)

    assert masks.visible_index.shape == (3, 160)
    assert masks.predicted_index.shape == (3, 1408)


def test_masks_depend_on_the_samples_own_seed_alone():
    together = sample_masks(MaskingConfig(), GRID, SEEDS)
    alone = sample_masks(MaskingConfig(), GRID, SEEDS[1:2])

    assert torch.equal(together.visible_index[1:2], alone.visible_index)


def test_masks_of_different_seeds_differ():
    masks = sample_masks(MaskingConfig(), GRID, SEEDS)

    assert not torch.equal(masks.visible_index[0], masks.visible_index[1])


def test_running_cell_decodes_every_place_in_half_of_the_slots():
    left_out = running_cell(GRID, 0.5, torch.randperm).view(8, 14, 14)

    assert (left_out.sum(0) == 4).all()
    assert (left_out.view(8, 7, 2, 7, 2).sum((2, 4)) == 2).all()


def test_running_cell_moves_on_in_every_slot():
    left_out = running_cell(GRID, 0.5, torch.randperm).view(8, 14, 14)

    assert all(not torch.equal(left_out[t], left_out[t + 1]) for t in range(7))
    assert torch.equal(left_out[0], left_out[4])


def test_dual_masking_under_a_tube_predicts_only_what_counts():
    masks = sample_masks(MaskingConfig(decoder_mask_ratio=0.5), GRID, SEEDS)

    assert masks.predicted_index.shape == (3, 704)  # half of the 1408 hidden ones
    assert masks.loss_mask is None


def test_dual_masking_under_a_random_mask_tells_which_tokens_count():
    config = MaskingConfig(kind="random", decoder_mask_ratio=0.5)
    masks = sample_masks(config, GRID, SEEDS)

    assert masks.predicted_index.shape == (3, 784)  # the whole decode set
    for visible, predicted, in_loss in zip(
        masks.visible_index, masks.predicted_index, masks.loss_mask, strict=True
    ):
        assert torch.equal(in_loss, ~torch.isin(predicted, visible))


def test_indices_keep_increasing_order():
    masked = torch.tensor([[True, False, True, False], [False, False, True, True]])

    masks = mask_indices(masked)

    assert masks.visible_index.tolist() == [[1, 3], [0, 1]]
    assert masks.predicted_index.tolist() == [[0, 2], [2, 3]]


def test_progressive_mask_shows_fewer_of_the_same_places():
    masked = MASKS["progressive"](GRID, 0.5, torch.randperm).view(8, -1)

    assert masked.sum(1).tolist() == [99, 112, 125, 138, 150, 163, 176, 188]
    assert all((masked[t + 1] >= masked[t]).all() for t in range(7))


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"kind": "tubes"}, "did you mean 'tube'"),
        ({"ratio": 1.0}, "mask ratio 1.0 is not between 0 and 1"),
        ({"decoder_mask_ratio": 0.4}, "decoder_mask_ratio 0.4 is not 0, 0.25, 0.5 or 0.75"),
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
            MaskingConfig(decoder_mask_ratio=0.5),
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
        sample_masks(config, grid, SEEDS)
