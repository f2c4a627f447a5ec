"""Masks: tube masking, and dual masking, where a running cell thins out what is decoded.

Source: VideoMAE (tube masking, arXiv:2203.12602); VideoMAE V2 (dual masking: the encoder's mask and
a decoder mask, arXiv:2303.16727); the two progressive masks of the released InternVideo code.
Shapes: a mask is Bool (n), True where a token is hidden. How many are hidden follows from the
configuration alone, so all samples of a batch agree and shapes are static.
Differs from the V2 code: with a tube mask over a multiple of four slots, no mask token is decoded
where a token is visible. V2 decodes one beside the visible token and leaves it out of the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from einops import repeat
from jaxtyping import Bool, Int64
from torch import Tensor

from internvideo.errors import ConfigError, unknown_name
from internvideo.values import TokenGrid

Permute = Callable[[int], Tensor]
"""Returns a random permutation of 0 .. count - 1: the only source of chance of a mask."""

_PROGRESSIVE_FLOOR = 0.05  # share of places that the most hidden slot still shows (official)


def tube_mask(grid: TokenGrid, ratio: float, permute: Permute) -> Bool[Tensor, " n"]:
    """Hide the same int(ratio * places) places in every temporal slot."""
    num_shown = grid.num_places - int(ratio * grid.num_places)
    return repeat(permute(grid.num_places) >= num_shown, "p -> (t p)", t=grid.time)


def random_mask(grid: TokenGrid, ratio: float, permute: Permute) -> Bool[Tensor, " n"]:
    """Hide int(ratio * n) tokens, wherever they fall."""
    return permute(grid.num_tokens) >= grid.num_tokens - int(ratio * grid.num_tokens)


def progressive_mask(grid: TokenGrid, ratio: float, permute: Permute) -> Bool[Tensor, " n"]:
    """Show fewer and fewer of the same places: 1 - ratio of them at first, a twentieth at last."""
    return _hide_but(_fading(grid, ratio, grid.time), grid, permute)


def centred_mask(grid: TokenGrid, ratio: float, permute: Permute) -> Bool[Tensor, " n"]:
    """Show most in the middle of the clip and fewer and fewer towards both ends."""
    if grid.time % 2:
        raise ConfigError(f"a centred mask needs an even number of slots, not {grid.time}")
    after = _fading(grid, ratio, grid.time // 2)
    return _hide_but(torch.cat([after.flip(0), after]), grid, permute)


def running_cell(grid: TokenGrid, ratio: float, permute: Permute) -> Bool[Tensor, " n"]:
    """Hide int(4 * ratio) patches of every 2 x 2 cell, moving on by one patch per temporal slot.

    The decoder mask of VideoMAE V2's dual masking.
    """
    if grid.height % 2 or grid.width % 2:
        raise ConfigError(
            f"a running cell needs even rows and columns, the grid has {grid.height} x "
            f"{grid.width}; change the tubelet or the side, or decode everything"
        )
    place = torch.arange(grid.height)[:, None] % 2 * 2 + torch.arange(grid.width) % 2
    turn = torch.arange(grid.time)[:, None, None] + permute(4)[0]
    return ((place + turn) % 4 < int(4 * ratio)).flatten()


def _fading(grid: TokenGrid, ratio: float, num_slots: int) -> Tensor:
    first = int((1 - ratio) * grid.num_places)
    last = int(_PROGRESSIVE_FLOOR * grid.num_places)
    if last < 1 or num_slots < 1:
        raise ConfigError(
            f"a progressive mask shows a twentieth of the places in its last slot, which on "
            f"{grid.time} x {grid.height} x {grid.width} tokens is none; use a tube mask"
        )
    shown = torch.linspace(first, last, num_slots, dtype=torch.float64).long()
    return shown - 1  # the released code keeps one place fewer than it announces


def _hide_but(num_shown: Tensor, grid: TokenGrid, permute: Permute) -> Tensor:
    return (permute(grid.num_places) >= num_shown[:, None]).flatten()


MASKS: dict[str, Callable[[TokenGrid, float, Permute], Tensor]] = {
    "tube": tube_mask,
    "random": random_mask,
    "progressive": progressive_mask,
    "centred": centred_mask,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskingConfig:
    """What is hidden from the encoder and, with dual masking, from the decoder."""

    kind: str = "tube"
    # 0.9 and not the 0.75 used for images: neighbouring frames repeat each other (VideoMAE, 3.3).
    ratio: float = 0.9
    # Dual masking: the decoder mask leaves out this share of all tokens (V2 takes 0.5).
    decoder_mask_ratio: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in MASKS:
            raise unknown_name("mask", self.kind, MASKS)
        if not 0 < self.ratio < 1:
            raise ConfigError(f"mask ratio {self.ratio} is not between 0 and 1")
        if self.decoder_mask_ratio not in (0, 0.25, 0.5, 0.75):
            raise ConfigError(
                f"decoder_mask_ratio {self.decoder_mask_ratio} is not 0, 0.25, 0.5 or 0.75: "
                f"it counts the patches of a 2 x 2 cell"
            )

    def sample(self, grid: TokenGrid, generator: torch.Generator) -> Bool[Tensor, " n"]:
        """Draw the mask of one sample; True = hidden from the encoder."""
        masked = MASKS[self.kind](grid, self.ratio, partial(torch.randperm, generator=generator))
        num_masked = int(masked.sum())
        if not 0 < num_masked < grid.num_tokens:
            raise ConfigError(
                f"a {self.kind} mask with ratio {self.ratio} hides {num_masked} of the "
                f"{grid.num_tokens} tokens of a {grid.time} x {grid.height} x {grid.width} grid; "
                f"choose a ratio that hides some and shows some"
            )
        return masked


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MaskIndices:
    """Token indices of a batch, visible ones and those to predict; both in increasing order.

    `loss_mask` is True for the predicted tokens that count in the loss; None where all do.
    """

    visible_index: Int64[Tensor, "b k"]
    predicted_index: Int64[Tensor, "b m"]
    loss_mask: Bool[Tensor, "b m"] | None = None

    def to(self, device: torch.device | str) -> MaskIndices:
        """Copy to a device, without waiting for it."""
        moved = [
            None if index is None else index.to(device, non_blocking=True)
            for index in (self.visible_index, self.predicted_index, self.loss_mask)
        ]
        return MaskIndices(visible_index=moved[0], predicted_index=moved[1], loss_mask=moved[2])


def mask_indices(
    masked: Bool[Tensor, "b n"], decoder_masked: Bool[Tensor, "b n"] | None = None
) -> MaskIndices:
    """Turn masks into indices; every row of `masked` hides equally many tokens.

    Tokens under the decoder mask are not predicted. Where the rows differ in how many are hidden
    from the encoder alone, all tokens outside the decoder mask are predicted, and `loss_mask`
    tells the hidden ones.
    """
    visible_index = _indices(~masked)
    predicted = masked if decoder_masked is None else masked & ~decoder_masked
    num_predicted = predicted.sum(1)
    if decoder_masked is None or bool((num_predicted == num_predicted[0]).all()):
        return MaskIndices(visible_index=visible_index, predicted_index=_indices(predicted))
    predicted_index = _indices(~decoder_masked)
    return MaskIndices(
        visible_index=visible_index,
        predicted_index=predicted_index,
        loss_mask=masked.gather(1, predicted_index),
    )


def sample_masks(config: MaskingConfig, grid: TokenGrid, seeds: Int64[Tensor, " b"]) -> MaskIndices:
    """Draw the masks of a batch on the CPU; those of sample i depend on `seeds[i]` alone."""
    masked, decoder_masked = [], []
    for seed in seeds.tolist():
        generator = torch.Generator().manual_seed(seed)
        masked.append(config.sample(grid, generator))
        if config.decoder_mask_ratio:
            permute = partial(torch.randperm, generator=generator)
            decoder_masked.append(running_cell(grid, config.decoder_mask_ratio, permute))
    return mask_indices(
        torch.stack(masked), torch.stack(decoder_masked) if decoder_masked else None
    )


def _indices(chosen: Tensor) -> Tensor:
    return chosen.nonzero()[:, 1].view(len(chosen), -1)
