"""Classes from the mean token of encoder A.

Source: the fine-tuning model of VideoMAE. Shapes: clip (b, c, t, h, w) -> logits (b, y).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.models import MaskedEncoder, MaskedEncoderConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoClassifierConfig:
    """A linear classifier on an encoder."""

    encoder: MaskedEncoderConfig = field(
        default_factory=lambda: MaskedEncoderConfig(final_norm=False)
    )
    num_classes: int = 400
    # "first": the first tubelet, as the released code does without mean pooling (no class token).
    pooling: Literal["mean", "first"] = "mean"
    dropout: float = 0.0
    init_scale: float = 0.001  # start near equal scores for all classes

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise ConfigError(f"num_classes is {self.num_classes}; a classifier has at least one")
        if self.encoder.final_norm == (self.pooling == "mean"):
            raise ConfigError(
                "pooling 'mean' normalises after the mean and needs an encoder with "
                "final_norm=False; pooling 'first' needs final_norm=True"
            )


class VideoClassifier(nn.Module):
    """Encoder, pooling, norm, dropout, linear."""

    def __init__(self, config: VideoClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = MaskedEncoder(config.encoder)
        width, eps = config.encoder.width, config.encoder.norm_eps
        mean = config.pooling == "mean"
        self.fc_norm = nn.LayerNorm(width, eps=eps) if mean else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(width, config.num_classes)
        self.apply(_initialise)
        self.head.weight.data.mul_(config.init_scale)

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b y"]:
        return self.head(self.dropout(self.features(clip)))

    def features(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d"]:
        """What the head receives."""
        tokens = self.encoder(clip)
        pooled = tokens.mean(1) if self.config.pooling == "mean" else tokens[:, 0]
        return self.fc_norm(pooled)


def _initialise(module: nn.Module) -> None:
    # Fine-tuning starts from narrower weights than pretraining does (official).
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
