"""ActionFormer: features of a video in, class logits and boundary distances of every point out.

Source: Zhang et al. 2022, "ActionFormer: Localizing Moments of Actions with Transformers"
(arXiv:2202.07925), section 3; `meta_archs.py`, `backbones.py`, `blocks.py`, `necks.py` of the
release under InternVideo's Temporal-Action-Localization.
Shapes: features (b, f, d) with padded (b, f), True for steps past the end -> logits (b, p, y) and
distances (b, p, 2) of the p points of all pyramid levels, finest first.
Differs: sequences of any length; the released point table ends at a fixed multiple of max_length.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.models.actionformer.attention import ConvAttention, MaskedConv
from internvideo.models.actionformer.config import ActionFormerConfig
from internvideo.models.layers import StochasticDepth
from internvideo.models.positions import sine_table


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PointPredictions:
    """What the heads say of each point; `level_sizes` has the number of points of each level.

    Distances are those to start and end in strides of the level, not negative.
    """

    logits: Float[Tensor, "b p y"]
    distances: Float[Tensor, "b p 2"]
    padded: Bool[Tensor, "b p"]
    level_sizes: tuple[int, ...]


class ConvNorm(nn.Module):
    """Masked convolution, LayerNorm (or a bias of the convolution instead), ReLU."""

    def __init__(self, in_width: int, width: int, kernel: int, *, with_norm: bool) -> None:
        super().__init__()
        self.conv = MaskedConv(in_width, width, kernel, bias=not with_norm)
        self.norm = nn.LayerNorm(width) if with_norm else nn.Identity()

    def forward(
        self, sequence: Float[Tensor, "b f d"], padded: Bool[Tensor, "b f"]
    ) -> Float[Tensor, "b f d_out"]:
        return F.relu(self.norm(self.conv(sequence, padded)))


class TransformerBlock(nn.Module):
    """Pre-norm block with local attention; with a stride the skip connection is max-pooled."""

    def __init__(self, config: ActionFormerConfig, *, window: int, stride: int = 1) -> None:
        super().__init__()
        width = config.width
        self.stride = stride
        self.norm1 = nn.LayerNorm(width)
        self.attn = ConvAttention(
            width,
            config.num_heads,
            window=window,
            stride=stride,
            relative_positions=config.relative_positions,
            dropout=config.dropout,
        )
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(config.dropout)
        self.drop_path = StochasticDepth(config.drop_path)
        self.attn_scale: nn.Parameter | None = None
        self.mlp_scale: nn.Parameter | None = None
        if config.residual_scale is not None:
            self.attn_scale = nn.Parameter(torch.full((width,), config.residual_scale))
            self.mlp_scale = nn.Parameter(torch.full((width,), config.residual_scale))

    def forward(
        self, sequence: Float[Tensor, "b f d"], padded: Bool[Tensor, "b f"]
    ) -> Float[Tensor, "b f_out d"]:
        """Return every `stride`-th step."""
        left = padded[:, :: self.stride, None]
        branch = self.attn(self.norm1(sequence), padded)
        sequence = self._skip(sequence).masked_fill(left, 0)
        sequence = sequence + self._residual(branch, self.attn_scale)
        hidden = self.dropout(F.gelu(self.fc1(self.norm2(sequence))))
        branch = self.dropout(self.fc2(hidden)).masked_fill(left, 0)
        return sequence + self._residual(branch, self.mlp_scale)

    def _skip(self, sequence: Tensor) -> Tensor:
        if self.stride == 1:
            return sequence
        return F.max_pool1d(sequence.mT, self.stride + 1, self.stride, self.stride // 2).mT

    def _residual(self, branch: Tensor, scale: Tensor | None) -> Tensor:
        return self.drop_path(branch if scale is None else branch * scale)


class ConvBlock(nn.Module):
    """Block of the purely convolutional backbone: two convolutions around a residual."""

    def __init__(self, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = MaskedConv(width, 2 * width, 3, stride=stride)
        self.conv2 = MaskedConv(2 * width, width, 3)
        self.downsample = MaskedConv(width, width, 1, stride=stride) if stride > 1 else None

    def forward(
        self, sequence: Float[Tensor, "b f d"], padded: Bool[Tensor, "b f"]
    ) -> Float[Tensor, "b f_out d"]:
        """Return every `stride`-th step."""
        hidden = F.relu(self.conv1(sequence, padded))
        branch = self.conv2(hidden, padded[:, :: self.stride])
        if self.downsample is not None:
            sequence = self.downsample(sequence, padded)
        return F.relu(sequence + branch)


class Pyramid(nn.Module):
    """A norm for each level, or the top-down pyramid of convolutions (FPN) before it."""

    def __init__(self, config: ActionFormerConfig) -> None:
        super().__init__()
        self.downsampling = config.downsampling
        width, levels, with_norm = config.pyramid_width, config.num_levels, config.pyramid_norm
        self.laterals, self.convs = nn.ModuleList(), nn.ModuleList()
        if config.pyramid == "convolution":
            for _ in range(levels):
                self.laterals.append(MaskedConv(config.width, width, 1, bias=not with_norm))
                self.convs.append(MaskedConv(width, width, 3, depthwise=True, bias=not with_norm))
        norm = nn.LayerNorm if with_norm else nn.Identity
        self.norms = nn.ModuleList(norm(width) for _ in range(levels))

    def forward(self, levels: list[Tensor], padded: list[Tensor]) -> list[Tensor]:
        """Map the levels (b, f, d), finest first."""
        if len(self.laterals):
            levels = [conv(x, p) for conv, x, p in zip(self.laterals, levels, padded, strict=True)]
            for finer in reversed(range(len(levels) - 1)):
                above = levels[finer + 1].repeat_interleave(self.downsampling, dim=1)
                levels[finer] = levels[finer] + above
            levels = [conv(x, p) for conv, x, p in zip(self.convs, levels, padded, strict=True)]
        return [norm(level) for norm, level in zip(self.norms, levels, strict=True)]


class Head(nn.Module):
    """Convolutions shared by all levels: those of classification, or of regression."""

    def __init__(self, config: ActionFormerConfig, num_outputs: int) -> None:
        super().__init__()
        widths = [config.pyramid_width] + [config.head_width] * (config.num_head_layers - 1)
        self.layers = nn.ModuleList(
            ConvNorm(before, after, config.head_kernel, with_norm=config.head_norm)
            for before, after in itertools.pairwise(widths)
        )
        self.output = MaskedConv(widths[-1], num_outputs, config.head_kernel)

    def forward(
        self, level: Float[Tensor, "b f d"], padded: Bool[Tensor, "b f"]
    ) -> Float[Tensor, "b f outputs"]:
        for layer in self.layers:
            level = layer(level, padded)
        return self.output(level, padded)


class ActionFormer(nn.Module):
    """Embedding, stem, branch of down-sampling blocks, pyramid and the two heads."""

    positions: Tensor

    def __init__(self, config: ActionFormerConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.input_width] + [config.width] * config.num_embedding_layers
        self.embedding = nn.ModuleList(
            ConvNorm(before, after, config.embedding_kernel, with_norm=config.embedding_norm)
            for before, after in itertools.pairwise(widths)
        )
        if config.position_table:
            table = sine_table(config.max_length, config.width) / config.width**0.5
            self.register_buffer("positions", table, persistent=False)
        stem, *branch = config.windows
        self.stem = nn.ModuleList(self._block(stem) for _ in range(config.num_stem_blocks))
        self.branch = nn.ModuleList(self._block(w, config.downsampling) for w in branch)
        self.pyramid = Pyramid(config)
        self.classify = Head(config, config.num_classes)
        self.regress = Head(config, 2)
        self.level_scales = nn.ParameterList(torch.ones(()) for _ in range(config.num_levels))
        self._initialise()

    def forward(
        self, features: Float[Tensor, "b f d"], padded: Bool[Tensor, "b f"]
    ) -> PointPredictions:
        """Predict for every point.

        Args:
            features: Padded to `config.padded_length` for the numbers of the release; any multiple
                of the coarsest stride is accepted.
            padded: True for steps past the end of a sequence.

        Raises:
            ConfigError: If the length or width of the features does not fit.
        """
        self._check(features)
        sequence = features.masked_fill(padded[..., None], 0)
        for layer in self.embedding:
            sequence = layer(sequence, padded)
        if self.config.position_table:
            table = self._positions(sequence.shape[1])
            sequence = sequence + table.masked_fill(padded[..., None], 0)
        for block in self.stem:
            sequence = block(sequence, padded)
        levels, masks = [sequence], [padded]
        for block in self.branch:
            levels.append(block(levels[-1], masks[-1]))
            masks.append(masks[-1][:, :: self.config.downsampling])
        levels = self.pyramid(levels, masks)
        logits = [self.classify(x, p) for x, p in zip(levels, masks, strict=True)]
        distances = [
            F.relu(scale * self.regress(x, p))
            for scale, x, p in zip(self.level_scales, levels, masks, strict=True)
        ]
        return PointPredictions(
            logits=torch.cat(logits, dim=1),
            distances=torch.cat(distances, dim=1),
            padded=torch.cat(masks, dim=1),
            level_sizes=tuple(level.shape[1] for level in levels),
        )

    def _block(self, window: int, stride: int = 1) -> nn.Module:
        if self.config.backbone == "convolution":
            return ConvBlock(self.config.width, stride=stride)
        return TransformerBlock(self.config, window=window, stride=stride)

    def _check(self, features: Tensor) -> None:
        (_, length, width), config = features.shape, self.config
        if width != config.input_width:
            raise ConfigError(
                f"features have {width} channels, this network reads {config.input_width}"
            )
        if length % config.strides[-1]:
            raise ConfigError(
                f"a sequence of {length} steps is not a multiple of {config.strides[-1]}; pad it "
                f"to {config.padded_length(length)}"
            )
        if self.training and config.position_table and length > config.max_length:
            raise ConfigError(
                f"a training sequence has {length} steps, the position table {config.max_length}; "
                "truncate the sequence"
            )

    def _positions(self, length: int) -> Float[Tensor, "f d"]:
        """First rows of the table; for longer sequences it is stretched."""
        table = self.positions
        if length > len(table):
            table = F.interpolate(table.T[None], length, mode="linear")[0].T
        return table[:length]

    def _initialise(self) -> None:
        """Zero the biases; start every class at its prior probability."""
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        bias = self.classify.output.bias
        assert bias is not None
        with torch.no_grad():
            bias.fill_(_logit(self.config.class_prior))
            bias[list(self.config.empty_classes)] = _logit(1e-6)


def _logit(probability: float) -> float:
    return -math.log((1 - probability) / probability)
