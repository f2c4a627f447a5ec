"""The text tower of encoder B: CLIP's causal transformer, read at the end token.

Source: Radford et al. 2021, "CLIP" (arXiv:2103.00020); InternVideo's released code, which adds an
embedding for masked tokens.
Shapes: ids (b, l) -> tokens (b, l, d) and pooled (b, d), neither projected. Any l up to the context
length: attention is causal, so what follows the end token changes nothing and can be cut off.
Differs from the released code: nothing in the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from internvideo.errors import ConfigError
from internvideo.models.clip_blocks import Activation, ClipBlock, initialise_blocks
from internvideo.models.key_values import KeyValueCache
from internvideo.models.layers import hidden_width
from internvideo.models.masked_encoder import check_blocks


@dataclass(frozen=True, kw_only=True, slots=True)
class TextEncoderConfig:
    """CLIP's text tower; the defaults are those beside a B/16 image tower."""

    vocabulary_size: int = 49408  # the end token is the largest id in a text
    context_length: int = 77
    width: int = 512
    depth: int = 12
    num_heads: int = 8
    mlp_ratio: float = 4.0
    activation: Activation = "quick-gelu"
    norm_eps: float = 1e-5
    mask_token: bool = False  # an embedding that can replace tokens; InternVideo's weights have it
    recompute_activations: bool = False  # spends a second forward to save memory

    def __post_init__(self) -> None:
        check_blocks("text tower", self.width, self.depth, self.num_heads)
        if min(self.vocabulary_size, self.context_length) < 1:
            raise ConfigError(
                f"text tower has a vocabulary of {self.vocabulary_size} and a context of "
                f"{self.context_length} tokens; each is at least 1"
            )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TextOutput:
    """All tokens after the last norm, and among them the end token of each text."""

    tokens: Float[Tensor, "b l d"]
    pooled: Float[Tensor, "b d"]


class TextEncoder(nn.Module):
    """See the top of this file."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.token_embed = nn.Embedding(config.vocabulary_size, width)
        self.positions = nn.Parameter(torch.randn(config.context_length, width) * 0.01)
        self.mask_token: nn.Parameter | None = None
        if config.mask_token:
            self.mask_token = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(
            ClipBlock(
                width,
                config.num_heads,
                hidden_width(width, config.mlp_ratio),
                causal=True,
                activation=config.activation,
                norm_eps=config.norm_eps,
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)
        nn.init.normal_(self.token_embed.weight, std=0.02)
        initialise_blocks(self.blocks, width)

    def forward(
        self,
        ids: Int64[Tensor, "b l"],
        masked: Bool[Tensor, "b l"] | None = None,
        *,
        cache: KeyValueCache | None = None,
    ) -> TextOutput:
        """Encode texts; the embedding of a token that is `masked` is replaced by `mask_token`.

        With a cache, `ids` are only those that follow what it was called with before.
        """
        first = 0 if cache is None else cache.num_read(self.blocks[0].attn)
        length = first + ids.shape[1]
        if length > self.config.context_length:
            raise ConfigError(
                f"texts of {length} tokens do not fit the context of "
                f"{self.config.context_length}; truncate them"
            )
        tokens = self.token_embed(ids)
        if masked is not None:
            if self.mask_token is None:
                raise ConfigError("this text tower has no mask token; configure mask_token=True")
            tokens = torch.where(masked[:, :, None], self.mask_token, tokens)
        tokens = tokens + self.positions[first:length]
        recompute = self.config.recompute_activations and torch.is_grad_enabled()
        for block in self.blocks:
            if recompute:
                tokens = checkpoint(block, tokens, cache, use_reentrant=False)
            else:
                tokens = block(tokens, cache)
        tokens = self.norm(tokens)
        end = ids.argmax(1)
        return TextOutput(
            tokens=tokens, pooled=tokens[torch.arange(ids.shape[0], device=ids.device), end]
        )
