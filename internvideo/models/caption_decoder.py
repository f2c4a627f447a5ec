"""Caption decoder: predicts the next token of a caption, given the video.

It reads the causal text encoder's tokens, not word embeddings, and attends to the video.
Source: InternVideo, section 3.1 (a plain decoder of 6 layers, then two linear layers: `standard`)
and its released code, which pools the video by learned queries as CoCa does (`parallel`; official
parameter names). Shapes: text (b, l, d) without the last position, video tokens (b, m, c), class
tokens included -> logits (b, l, y); position i scores token i + 1.
Differs: nothing for `parallel`. Details of `standard` are ours, since the paper gives none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.models.caption_blocks import CrossAttention, ParallelLayer, StandardLayer
from internvideo.models.key_values import KeyValueCache

_LAYERS = {"parallel": ParallelLayer, "standard": StandardLayer}


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionDecoderConfig:
    """Caption decoder; the defaults are those released beside B/16.

    `width` is the text encoder's and `context_width` that of video tokens. With `num_queries` 0 the
    layers attend to all video tokens instead of pooled ones, as the paper's do.
    """

    kind: Literal["parallel", "standard"] = "parallel"
    width: int = 512
    context_width: int = 768
    depth: int = 4
    num_heads: int = 8
    head_width: int = 64
    ff_multiple: int = 4
    num_queries: int = 256
    vocabulary_size: int = 49408

    def __post_init__(self) -> None:
        for name in ("width", "context_width", "depth", "num_heads", "vocabulary_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"caption decoder: {name} {getattr(self, name)} is below 1")
        if self.head_width < 2 or self.head_width % 2:
            raise ConfigError(
                f"caption decoder: head_width {self.head_width} is not even and positive; "
                "rotary positions turn channels in pairs"
            )
        if self.ff_multiple < 1 or self.num_queries < 0:
            raise ConfigError(
                f"caption decoder: ff_multiple {self.ff_multiple} must be at least 1 and "
                f"num_queries {self.num_queries} at least 0"
            )


class CaptionDecoder(nn.Module):
    """Layers of text attending to a video, and a predictor of the next token."""

    def __init__(self, config: CaptionDecoderConfig) -> None:
        super().__init__()
        self.config = config
        width, heads = config.width, (config.num_heads, config.head_width)
        context_width = config.context_width
        if config.num_queries:
            self.visual_queries = nn.Parameter(torch.randn(config.num_queries, width) * width**-0.5)
            self.visual_attn_pooler = CrossAttention(
                width, context_width, *heads, context_normed=True
            )
            context_width = width
        self.visual_pooler_norm = nn.LayerNorm(context_width)
        self.text_norm = nn.LayerNorm(width)
        layer = _LAYERS[config.kind]
        self.multimodal_layers = nn.ModuleList(
            layer(width, context_width, *heads, config.ff_multiple) for _ in range(config.depth)
        )
        self.predictor = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.GELU(),
            nn.LayerNorm(width),
            nn.Linear(width, config.vocabulary_size),
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(
        self, text: Float[Tensor, "b l d"], video_tokens: Float[Tensor, "b m video"]
    ) -> Float[Tensor, "b l y"]:
        """Score the token after each position of the text encoder's output."""
        return self.predictor(self.hidden(text, self.pool(video_tokens)))

    def pool(self, video_tokens: Float[Tensor, "b m video"]) -> Float[Tensor, "b q context"]:
        """Make the context that `hidden` attends to: the same for all text about a video."""
        if not self.config.num_queries:
            return self.visual_pooler_norm(video_tokens)
        queries = self.visual_queries.expand(len(video_tokens), -1, -1)
        return self.visual_pooler_norm(self.visual_attn_pooler(queries, video_tokens))

    def hidden(
        self,
        text: Float[Tensor, "b l d"],
        context: Float[Tensor, "b q context"],
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "b l d"]:
        """Represent each position of the text by what it and the video say, before the predictor.

        With a cache, `text` holds only the positions after those that it was called with before.
        """
        text = self.text_norm(text)
        for layer in self.multimodal_layers:
            text = layer(text, context, cache)
        return text
