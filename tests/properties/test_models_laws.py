"""Laws of tubelets and masks that hold on every grid."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from internvideo.models import MaskingConfig, patchify, sample_masks, unpatchify
from internvideo.models.masking import random_mask, tube_mask
from internvideo.values import TokenGrid, Tubelet

extents = st.integers(1, 4)
grids = st.builds(
    TokenGrid, time=st.integers(1, 8), height=st.integers(2, 8), width=st.integers(2, 8)
)
tubelets = st.builds(Tubelet, time=extents, height=extents, width=extents)


@settings(deadline=None, max_examples=40)
@given(grid=grids, tubelet=tubelets)
def test_unpatchify_undoes_patchify(grid: TokenGrid, tubelet: Tubelet):
    clip = torch.randn(
        1, 3, grid.time * tubelet.time, grid.height * tubelet.height, grid.width * tubelet.width
    )

    patches = patchify(clip, tubelet)

    assert patches.shape == (1, grid.num_tokens, tubelet.num_pixels)
    assert torch.equal(unpatchify(patches, grid, tubelet), clip)


@settings(deadline=None, max_examples=40)
@given(grid=grids, ratio=st.floats(0.3, 0.7), seed=st.integers(0, 2**63 - 1))
def test_visible_and_predicted_tokens_partition_the_grid(grid: TokenGrid, ratio: float, seed: int):
    masks = sample_masks(MaskingConfig(ratio=ratio), grid, torch.tensor([seed]))

    together = torch.cat([masks.visible_index, masks.predicted_index], dim=1)
    assert torch.equal(together.sort().values[0], torch.arange(grid.num_tokens))


@settings(deadline=None, max_examples=40)
@given(grid=grids, ratio=st.floats(0.1, 0.95))
def test_tube_mask_hides_the_same_places_in_every_slot(grid: TokenGrid, ratio: float):
    slots = tube_mask(grid, ratio, torch.randperm).view(grid.time, -1)

    assert (slots == slots[0]).all()
    assert slots[0].sum() == int(ratio * grid.num_places)


@settings(deadline=None, max_examples=40)
@given(grid=grids, ratio=st.floats(0.1, 0.95))
def test_random_mask_hides_an_exact_number(grid: TokenGrid, ratio: float):
    masked = random_mask(grid, ratio, torch.randperm)

    assert masked.shape == (grid.num_tokens,)
    assert masked.sum() == int(ratio * grid.num_tokens)


@settings(deadline=None, max_examples=40)
@given(
    slots=st.sampled_from([4, 8, 12]),
    height=st.sampled_from([2, 4, 8]),
    decoder_ratio=st.sampled_from([0.25, 0.5, 0.75]),
    seed=st.integers(0, 1000),
)
def test_dual_masking_over_four_slots_has_one_count_for_all_samples(
    slots: int, height: int, decoder_ratio: float, seed: int
):
    grid = TokenGrid(time=slots, height=height, width=4)
    config = MaskingConfig(ratio=0.75, decoder_mask_ratio=decoder_ratio)

    masks = sample_masks(config, grid, torch.arange(seed, seed + 5))

    num_hidden = grid.num_tokens - masks.visible_index.shape[1]
    assert masks.loss_mask is None
    assert masks.predicted_index.shape[1] == round(num_hidden * (1 - decoder_ratio))
