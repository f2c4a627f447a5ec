"""Configuration of ActionFormer.

Source: Zhang et al. 2022, "ActionFormer: Localizing Moments of Actions with Transformers"
(arXiv:2202.07925), section 3 and appendix; `libs/core/config.py` of the release.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from internvideo.errors import ConfigError

REGRESSION_RANGES = ((0.0, 4.0), (4.0, 8.0), (8.0, 16.0), (16.0, 32.0), (32.0, 64.0), (64.0, 1e4))


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionFormerConfig:
    """The defaults are the THUMOS14 model on features of `input_width` channels.

    `num_classes` is 1 for a class-agnostic head. `max_length` is the number of steps of a training
    sequence; shorter sequences are padded to it, longer ones are accepted in evaluation. `windows`
    has the attention window of each pyramid level in steps of that level, -1 for global attention.
    `regression_ranges` bounds, level by level, the distance to the farther boundary in steps of the
    input. `residual_scale` is the initial value of the learnable factor of each residual channel;
    None leaves the factor out. `empty_classes` have no training data and start at a score of 1e-6.
    """

    input_width: int
    num_classes: int
    max_length: int = 2304
    backbone: Literal["transformer", "convolution"] = "transformer"
    width: int = 512
    num_heads: int = 4
    num_embedding_layers: int = 2
    num_stem_blocks: int = 2
    num_branch_blocks: int = 5
    downsampling: int = 2
    windows: tuple[int, ...] = (19,) * 6
    embedding_kernel: int = 3
    embedding_norm: bool = True
    position_table: bool = False
    relative_positions: bool = False
    pyramid: Literal["identity", "convolution"] = "identity"
    pyramid_width: int = 512
    pyramid_norm: bool = True
    head_width: int = 512
    num_head_layers: int = 3
    head_kernel: int = 3
    head_norm: bool = True
    regression_ranges: tuple[tuple[float, float], ...] = REGRESSION_RANGES
    class_prior: float = 0.01
    empty_classes: tuple[int, ...] = ()
    dropout: float = 0.0
    drop_path: float = 0.1
    residual_scale: float | None = 1e-4

    def __post_init__(self) -> None:
        for name in ("input_width", "num_classes", "max_length", "width", "num_heads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected 1 or more")
        if self.width % self.num_heads:
            raise ConfigError(
                f"width {self.width} is not divisible by {self.num_heads} heads; choose num_heads "
                f"among the divisors of {self.width}"
            )
        if self.downsampling < 2 or self.downsampling % 2:
            raise ConfigError(f"downsampling is {self.downsampling}, expected an even number")
        for name in ("embedding_kernel", "head_kernel"):
            if getattr(self, name) % 2 == 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected an odd number")
        for name in ("windows", "regression_ranges"):
            if len(getattr(self, name)) != self.num_levels:
                raise ConfigError(
                    f"{name} has {len(getattr(self, name))} entries, the pyramid has "
                    f"{self.num_levels} levels; give one entry a level"
                )
        if self.backbone == "convolution" and (self.position_table or self.relative_positions):
            raise ConfigError("a backbone of convolutions has no positions; turn them off")
        if self.relative_positions and any(w > 1 and w % 2 == 0 for w in self.windows):
            raise ConfigError(f"relative positions need odd windows, found {self.windows}")
        if self.pyramid == "identity" and self.pyramid_width != self.width:
            raise ConfigError(
                f"an identity pyramid keeps the width {self.width}, pyramid_width is "
                f'{self.pyramid_width}; make them equal or use pyramid="convolution"'
            )
        if self.max_length % self.strides[-1]:
            raise ConfigError(
                f"max_length {self.max_length} is not a multiple of {self.strides[-1]}, the stride "
                "of the coarsest level"
            )
        if outside := [c for c in self.empty_classes if not 0 <= c < self.num_classes]:
            raise ConfigError(f"empty_classes {outside} are not among {self.num_classes} classes")

    @property
    def num_levels(self) -> int:
        return self.num_branch_blocks + 1

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of each pyramid level in steps of the input."""
        return tuple(self.downsampling**level for level in range(self.num_levels))

    def padded_length(self, num_steps: int) -> int:
        """Length to which a sequence of `num_steps` is padded, a function of nothing else.

        `max_length`, or above it the next multiple of the largest stride times window. The release
        pads in this way, and its network reads the step after the end of a sequence (a norm turns
        the zeros there into its bias), so a detection depends on whether there is padding. It does
        not depend on what else is in the batch as long as sequences of one length go together.
        """
        if num_steps <= self.max_length:
            return self.max_length
        chunks = [
            stride * (window // 2) * 2 if window > 1 else stride
            for stride, window in zip(self.strides, self.windows, strict=True)
        ]
        multiple = math.lcm(max(chunks), self.strides[-1])
        return -(-num_steps // multiple) * multiple
