"""BERT's embeddings and layers, of which the policy and the waypoint predictor are made.

Source: Devlin et al. 2019, "BERT" (arXiv:1810.04805). Parameters are named as in the released code,
so that its weights load as they are. Shapes: tokens (b, l, d); `padded` and `allowed` say which
tokens are no words, and which may attend to which.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from internvideo.models.masked_encoder import check_blocks


@dataclass(frozen=True, kw_only=True, slots=True)
class BertConfig:
    """Sizes of BERT; the defaults are those of the base model."""

    vocabulary_size: int = 30522
    context_length: int = 512
    width: int = 768
    depth: int = 12
    num_heads: int = 12
    hidden: int = 3072
    dropout: float = 0.1

    def __post_init__(self) -> None:
        check_blocks("BERT", self.width, self.depth, self.num_heads)


def layer_norm(width: int) -> nn.LayerNorm:
    """LayerNorm with BERT's epsilon."""
    return nn.LayerNorm(width, eps=1e-12)


class BertEmbeddings(nn.Module):
    """Words, positions and the type of the sentence, normalised."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocabulary_size, config.width, padding_idx=0)
        self.position_embeddings = nn.Embedding(config.context_length, config.width)
        self.token_type_embeddings = nn.Embedding(2, config.width)
        self.LayerNorm = layer_norm(config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids: Int64[Tensor, "b l"]) -> Float[Tensor, "b l d"]:
        positions = torch.arange(ids.shape[1], device=ids.device)
        words = self.word_embeddings(ids) + self.position_embeddings(positions)
        return self.dropout(self.LayerNorm(words + self.token_type_embeddings.weight[0]))


class AttentionWeights(nn.Module):
    """Multi-head attention without its output projection."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(
        self,
        tokens: Float[Tensor, "b q d"],
        context: Float[Tensor, "b k d"],
        allowed: Bool[Tensor, "#b #q k"],
    ) -> Float[Tensor, "b q d"]:
        heads = (
            rearrange(x, "b l (a e) -> b a l e", a=self.num_heads)
            for x in (self.query(tokens), self.key(context), self.value(context))
        )
        dropped = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(*heads, attn_mask=allowed[:, None], dropout_p=dropped)
        return rearrange(out, "b a l e -> b l (a e)")

    def weights(
        self,
        tokens: Float[Tensor, "b q d"],
        context: Float[Tensor, "b k d"],
        allowed: Bool[Tensor, "#b #q k"],
    ) -> Float[Tensor, "b q k"]:
        """Share of attention that each token pays to each of the context, mean over heads."""
        query, key = (
            rearrange(x, "b l (a e) -> b a l e", a=self.num_heads)
            for x in (self.query(tokens), self.key(context))
        )
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        return scores.masked_fill(~allowed[:, None], -torch.inf).float().softmax(-1).mean(1)


class ResidualOutput(nn.Module):
    """Projection, dropout, residual and norm, as after every part of a BERT layer."""

    def __init__(self, width_in: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width_in, width)
        self.LayerNorm = layer_norm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, hidden: Float[Tensor, "b l w"], tokens: Float[Tensor, "b l d"]
    ) -> Float[Tensor, "b l d"]:
        return self.LayerNorm(self.dropout(self.dense(hidden)) + tokens)


class SelfAttention(nn.Module):
    """Attention of tokens to one another."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.self = AttentionWeights(width, num_heads, dropout)
        self.output = ResidualOutput(width, width, dropout)

    def forward(
        self, tokens: Float[Tensor, "b l d"], allowed: Bool[Tensor, "#b #l k"]
    ) -> Float[Tensor, "b l d"]:
        return self.output(self.self(tokens, tokens, allowed), tokens)


class CrossAttention(nn.Module):
    """Attention of tokens to those of a context."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.att = AttentionWeights(width, num_heads, dropout)
        self.output = ResidualOutput(width, width, dropout)

    def forward(
        self,
        tokens: Float[Tensor, "b q d"],
        context: Float[Tensor, "b k d"],
        allowed: Bool[Tensor, "#b #q k"],
    ) -> Float[Tensor, "b q d"]:
        return self.output(self.att(tokens, context, allowed), tokens)


class Intermediate(nn.Module):
    """The wide half of a feed-forward part."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, hidden)

    def forward(self, tokens: Float[Tensor, "b l d"]) -> Float[Tensor, "b l hidden"]:
        return F.gelu(self.dense(tokens))


class BertLayer(nn.Module):
    """Self-attention and feed-forward, each with its residual and norm after it."""

    def __init__(self, width: int, num_heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(width, num_heads, dropout)
        self.intermediate = Intermediate(width, hidden)
        self.output = ResidualOutput(hidden, width, dropout)

    def forward(
        self, tokens: Float[Tensor, "b l d"], allowed: Bool[Tensor, "#b #l k"]
    ) -> Float[Tensor, "b l d"]:
        tokens = self.attention(tokens, allowed)
        return self.output(self.intermediate(tokens), tokens)


def initialise(module: nn.Module) -> None:
    """Draw weights as BERT does: normal of 0.02, biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=0.02)
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)
