"""Encoder B for retrieval: a clip as one vector, as the mean of its frames, or token by token.

Source: `CLIP4Clip` in `modules/modeling.py` of Video-Text-Retrieval in the InternVideo release,
whose fine-tuning takes the whole clip; the two others see every frame as an image.
Shapes: clip (b, c, t, h, w) -> rows (b, ...), ids (b, l) -> rows (b, ...), both -> cosines (l, v).
Rows are (b, e) of length 1; with `similarity` "tokens" they are (b, n, e + 1), the vectors of t
frames or of the context's l tokens, zero where there is none, and the weight of each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.heads.retrieval import TokenWeights, equal_weights, token_similarity
from internvideo.models import MultimodalEncoder, MultimodalEncoderConfig
from internvideo.models.multimodal_encoder import unit_length
from internvideo.tiny import UniFormerFrontEndConfig, build_multimodal

Similarity = Literal["clip", "frames", "tokens"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrieverConfig:
    """Encoder B and how clips and sentences are compared.

    `learned_weights` weighs tokens and frames by what they are, else all the same.
    """

    encoder: MultimodalEncoderConfig = field(default_factory=MultimodalEncoderConfig)
    front_end: UniFormerFrontEndConfig | None = None
    similarity: Similarity = "clip"
    learned_weights: bool = False

    def __post_init__(self) -> None:
        if self.learned_weights and self.similarity != "tokens":
            raise ConfigError(
                f"learned_weights are of tokens, similarity is {self.similarity!r}; take "
                "similarity='tokens' or learned_weights=false"
            )


class Retriever(nn.Module):
    """See the top of this file."""

    def __init__(self, config: RetrieverConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder: MultimodalEncoder = build_multimodal(config.encoder, config.front_end)
        self.token_weights: TokenWeights | None = None
        if config.learned_weights:
            self.token_weights = TokenWeights(config.encoder.embed_dim)

    def embed_video(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b ..."]:
        """Rows of clips."""
        if self.config.similarity == "clip":
            return self.encoder.encode_video(clip).embedding
        images = rearrange(clip, "b c t h w -> (b t) c 1 h w")
        projected = self.encoder.project_video(self.encoder.video(images).pooled)
        frames = rearrange(projected, "(b t) e -> b t e", b=len(clip))
        if self.config.similarity == "frames":
            return unit_length(frames.mean(1))
        padded = torch.zeros(frames.shape[:2], dtype=torch.bool, device=clip.device)
        learned = None if self.token_weights is None else self.token_weights.of_frames
        return _weighted(frames, padded, learned)

    def embed_text(
        self, ids: Int64[Tensor, "b l"], padded: Bool[Tensor, "b l"]
    ) -> Float[Tensor, "b ..."]:
        """Rows of sentences."""
        text = self.encoder.encode_text(ids)
        if self.config.similarity != "tokens":
            return text.embedding
        tokens = text.tokens @ self.encoder.text_projection
        learned = None if self.token_weights is None else self.token_weights.of_tokens
        missing = self.config.encoder.text.context_length - ids.shape[1]
        return F.pad(_weighted(tokens, padded, learned), (0, 0, 0, missing))

    def similarity(
        self, text: Float[Tensor, "l ..."], video: Float[Tensor, "v ..."]
    ) -> Float[Tensor, "l v"]:
        """Compare rows; cosines, or averages of them, in float32."""
        with torch.autocast(text.device.type, enabled=False):
            text, video = text.float(), video.float()
            if self.config.similarity != "tokens":
                return text @ video.mT
            return token_similarity(
                text[..., :-1],
                video[..., :-1],
                token_weights=text[..., -1],
                frame_weights=video[..., -1],
                padded_tokens=text[..., -1] == 0,
                padded_frames=video[..., -1] == 0,
            )


def _weighted(
    vectors: Float[Tensor, "b n e"], padded: Bool[Tensor, "b n"], learned: object
) -> Float[Tensor, "b n packed"]:
    """Vectors of length 1, or zero where padded, with their weights behind them."""
    weights = learned(vectors, padded) if callable(learned) else equal_weights(padded)
    kept = F.normalize(vectors.float(), dim=-1) * (~padded)[..., None]
    return torch.cat([kept, weights.float()[..., None]], dim=-1)
