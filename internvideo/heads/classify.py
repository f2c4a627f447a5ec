"""Classes of a clip from either encoder: pooling, norm, dropout, linear layer.

Source: the fine-tuning model of VideoMAE (pooling "mean" and "first", encoder A); the head of
UniFormerV2 (pooling "query", encoder B); the attentive probe of V-JEPA (arXiv:2404.08471, one
cross-attention without its feed-forward part), on either.
Shapes: clip (b, c, t, h, w) float, normalised -> features (b, d) -> logits (b, y).
Differs from the released code: an encoder behind a front end keeps the start of pretraining.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import Discriminator, Tag
from torch import Tensor, nn

from internvideo.errors import CheckpointError, ConfigError, unknown_name
from internvideo.models import (
    ClipAttention,
    MaskedEncoder,
    MaskedEncoderConfig,
    UniFormer,
    UniFormerConfig,
    UniFormerOutput,
    attend_once,
)
from internvideo.tiny import (
    MaskedFrontEndConfig,
    UniFormerFrontEndConfig,
    build_masked_encoder,
    build_uniformer,
)


def _family(encoder: Any) -> str:
    """Tell a configuration of encoder A from one of B, also as a JSON value."""
    if isinstance(encoder, Mapping):
        return "masked" if "tubelet" in encoder else "uniformer"
    return "masked" if isinstance(encoder, MaskedEncoderConfig) else "uniformer"


Encoder = Annotated[
    Annotated[MaskedEncoderConfig, Tag("masked")] | Annotated[UniFormerConfig, Tag("uniformer")],
    Discriminator(_family),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoClassifierConfig:
    """A linear classifier on an encoder; the defaults are VideoMAE's on ViT-B/16."""

    encoder: Encoder = field(default_factory=lambda: MaskedEncoderConfig(final_norm=False))
    # Of tiny encoders, see internvideo/tiny.
    front_end: MaskedFrontEndConfig | UniFormerFrontEndConfig | None = None
    num_classes: int = 400  # 0: no head, what it would receive is the output
    # "mean" of A's tokens; "first" of them, the first tubelet, as the released code does without
    # mean pooling (there is no class token); "query", the vector that B pools its tokens to;
    # "attentive", what a learned query reads from all tokens of either.
    pooling: Literal["mean", "first", "query", "attentive"] = "mean"
    dropout: float = 0.0
    init_scale: float = 0.001  # start near equal scores for all classes
    norm_eps: float | None = None  # of the norm before the head; None: the encoder's
    # Whether each class is a question of its own (a sigmoid), of which any number may be true.
    multi_label: bool = False

    def __post_init__(self) -> None:
        if self.num_classes < 0:
            raise ConfigError(f"num_classes is {self.num_classes}; give how many there are")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}; give a share from 0 to below 1")
        if self.front_end is not None:
            expected = (
                UniFormerFrontEndConfig
                if isinstance(self.encoder, UniFormerConfig)
                else MaskedFrontEndConfig
            )
            if not isinstance(self.front_end, expected):
                raise ConfigError(
                    f"front_end {self.front_end.kind!r} is for the other encoder, and this one is "
                    f"a {type(self.encoder).__name__}; set front_end to none"
                )
            self.front_end.check(self.encoder)
        if isinstance(self.encoder, UniFormerConfig):
            if self.pooling not in ("query", "attentive"):
                raise ConfigError(
                    f"pooling {self.pooling!r} is for encoder A; encoder B pools by 'query' or "
                    f"'attentive'"
                )
        elif self.pooling == "query":
            raise ConfigError(
                "pooling 'query' is for encoder B; encoder A pools by 'mean', 'first' or "
                "'attentive'"
            )
        elif self.encoder.final_norm != (self.pooling == "first"):
            raise ConfigError(
                f"pooling {self.pooling!r} with final_norm={self.encoder.final_norm}: 'mean' and "
                "'attentive' normalise themselves and need an encoder with final_norm=False; "
                "pooling 'first' needs final_norm=True"
            )

    @property
    def num_salient_tubelets(self) -> int:
        """How many tubelets of a clip encoder A reads; 0: all."""
        return 0 if self.front_end is None else self.front_end.num_salient_tubelets


class VideoClassifier(nn.Module):
    """Encoder, pooling, norm, dropout, linear."""

    def __init__(self, config: VideoClassifierConfig) -> None:
        super().__init__()
        self.config = config
        encoder = config.encoder
        width, eps = encoder.width, config.norm_eps or encoder.norm_eps
        if isinstance(encoder, UniFormerConfig):
            self.encoder: MaskedEncoder | UniFormer = build_uniformer(encoder, config.front_end)
        else:
            self.encoder = build_masked_encoder(encoder, config.front_end)
            if config.front_end is None:
                self.encoder.apply(_initialise)
        self.pool = None
        if config.pooling == "attentive":
            self.pool = AttentivePooling(width, encoder.num_heads, norm_eps=encoder.norm_eps)
        normalised = config.pooling == "first"
        self.fc_norm = nn.Identity() if normalised else nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(config.dropout)
        self.head: nn.Module = nn.Identity()
        if config.num_classes:
            self.head = nn.Linear(width, config.num_classes)
            _initialise(self.head)
            self.head.weight.data.mul_(config.init_scale)

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b y"]:
        return self.classify(self.features(clip))

    def features(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d"]:
        """What dropout and the linear layer receive."""
        return self.normalise(self.represent(clip))

    def represent(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b *n d"]:
        """What the encoder gives to the head: one vector of a clip, or tokens to read."""
        return self.select(self.encoder(clip))

    def select(self, output: Float[Tensor, "b n d"] | UniFormerOutput) -> Float[Tensor, "b *n d"]:
        """Of all that encoder A or B gives, what the head reads."""
        if isinstance(output, UniFormerOutput):
            if self.pool is None:
                return output.pooled
            return torch.cat([output.pooled[:, None], output.tokens.flatten(1, 2)], dim=1)
        if self.pool is not None:
            return output
        return output.mean(1) if self.config.pooling == "mean" else output[:, 0]

    def normalise(self, represented: Float[Tensor, "b *n d"]) -> Float[Tensor, "b d"]:
        """Turn what `represent` gives into features."""
        return self.fc_norm(represented if self.pool is None else self.pool(represented))

    def classify(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b y"]:
        return self.head(self.dropout(features))

    def train(self, mode: bool = True) -> VideoClassifier:
        """Switch between training and evaluation; a part that is frozen as a whole stays in the
        latter, so that nothing of it is dropped and its batch norms keep their statistics."""
        super().train(mode)
        for part in (self.encoder, *self.encoder.blocks):
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self


class AttentivePooling(nn.Module):
    """A learned query attends once to normalised tokens."""

    def __init__(self, width: int, num_heads: int, *, norm_eps: float) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.empty(width))
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self.attn = ClipAttention(width, num_heads)
        nn.init.trunc_normal_(self.query, std=0.02)
        self.attn.apply(_initialise)

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b d"]:
        return attend_once(self.attn, self.query.expand(tokens.shape[0], -1), self.norm(tokens))


def map_head_rows(weights: Mapping[str, Tensor], rows: Sequence[int]) -> dict[str, Tensor]:
    """Let a classifier's weights answer with other classes: class i is what was class `rows[i]`.

    Args:
        weights: State dict with `head.weight` (y, d) and `head.bias` (y), official or ours.
        rows: Row of the old head for each new class; see `rows_of_classes` for names.

    Raises:
        CheckpointError: There is no head, or not so many rows.
    """
    mapped = dict(weights)
    for name in ("head.weight", "head.bias"):
        if name not in weights:
            raise CheckpointError(f"the weights have no {name}: they are not of a classifier")
        count = len(weights[name])
        if outside := [row for row in rows if not 0 <= row < count]:
            raise CheckpointError(
                f"{name} has {count} rows, but row {outside[0]} is asked for; "
                f"is this the list of another head?"
            )
        mapped[name] = weights[name][torch.tensor(rows, dtype=torch.int64)]
    return mapped


def rows_of_classes(wanted: Sequence[str], known: Sequence[str]) -> list[int]:
    """Find the row of each wanted class among the classes of a head.

    Raises:
        ConfigError: The head has no such class; the message has the nearest one.
    """
    places = {name: row for row, name in enumerate(known)}
    for name in wanted:
        if name not in places:
            raise unknown_name("class", name, known)
    return [places[name] for name in wanted]


def _initialise(module: nn.Module) -> None:
    # Fine-tuning starts from narrower weights than pretraining does (official).
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
