"""Encoder B: a video tower and a text tower that meet in one space, and may describe in words.

Source: InternVideo, section 3.1 (arXiv:2212.03191) and its released code; Radford et al. 2021.
Shapes: clip (b, c, t, h, w) -> embedding (b, e) of length 1; ids (b, l) -> embedding (b, e).
Differs from the released code: nothing in the numbers. Without `global_layers` the video tower is
CLIP's image tower, and this is CLIP.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.models.caption_decoder import CaptionDecoder, CaptionDecoderConfig
from internvideo.models.text_encoder import TextEncoder, TextEncoderConfig
from internvideo.models.uniformer import UniFormer, UniFormerConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class MultimodalEncoderConfig:
    """Encoder B; the defaults are InternVideo-MM-B/16 without its caption decoder."""

    video: UniFormerConfig = field(default_factory=UniFormerConfig)
    text: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    embed_dim: int = 512
    captioner: CaptionDecoderConfig | None = None

    def __post_init__(self) -> None:
        if self.embed_dim < 1:
            raise ConfigError(f"embed_dim {self.embed_dim} is below 1")
        if self.captioner is None:
            return
        for name, ours, theirs in (
            ("width", self.captioner.width, self.text.width),
            ("context_width", self.captioner.context_width, self.video.width),
            ("vocabulary_size", self.captioner.vocabulary_size, self.text.vocabulary_size),
        ):
            if ours != theirs:
                raise ConfigError(
                    f"caption decoder: {name} {ours} does not fit the towers, which need {theirs}"
                )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class VideoEmbedding:
    """A clip in the shared space (length 1), and the tokens of the tower's last layer."""

    embedding: Float[Tensor, "b e"]
    tokens: Float[Tensor, "b t n d"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TextEmbedding:
    """A text in the shared space (length 1), and all its tokens after the last norm."""

    embedding: Float[Tensor, "b e"]
    tokens: Float[Tensor, "b l d"]


class MultimodalEncoder(nn.Module):
    """See the top of this file; `video` may be a tower of that configuration made elsewhere."""

    def __init__(self, config: MultimodalEncoderConfig, *, video: UniFormer | None = None) -> None:
        super().__init__()
        self.config = config
        width, text = config.video.width, config.text.width
        self.video = UniFormer(config.video) if video is None else video
        self.norm_post = nn.LayerNorm(width, eps=config.video.norm_eps)
        self.video_projection = nn.Parameter(torch.randn(width, config.embed_dim) * width**-0.5)
        self.text = TextEncoder(config.text)
        self.text_projection = nn.Parameter(torch.randn(text, config.embed_dim) * text**-0.5)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.captioner = None if config.captioner is None else CaptionDecoder(config.captioner)

    def forward(
        self, clip: Float[Tensor, "b c t h w"], ids: Int64[Tensor, "b l"]
    ) -> tuple[VideoEmbedding, TextEmbedding]:
        """Place clips and texts in the shared space."""
        return self.encode_video(clip), self.encode_text(ids)

    def encode_video(self, clip: Float[Tensor, "b c t h w"]) -> VideoEmbedding:
        """Place clips, or images of one frame, in the shared space."""
        output = self.video(clip)
        projected = self.project_video(output.pooled)
        return VideoEmbedding(embedding=unit_length(projected), tokens=output.tokens)

    def encode_text(
        self, ids: Int64[Tensor, "b l"], masked: Bool[Tensor, "b l"] | None = None
    ) -> TextEmbedding:
        """Place texts in the shared space."""
        output = self.text(ids, masked)
        return TextEmbedding(
            embedding=unit_length(output.pooled @ self.text_projection), tokens=output.tokens
        )

    def caption_logits(
        self, text_tokens: Float[Tensor, "b l w"], video_tokens: Float[Tensor, "b t n d"]
    ) -> Float[Tensor, "b captioned y"]:
        """Score the token after each of a text's tokens but the last, given the clip."""
        if self.captioner is None:
            raise ConfigError("this encoder has no caption decoder; configure captioner=...")
        return self.captioner(text_tokens[:, :-1], caption_context(video_tokens))

    def project_video(self, pooled: Float[Tensor, "b d"]) -> Float[Tensor, "b e"]:
        """Take a pooled vector of the video tower into the shared space, at its own length."""
        return self.norm_post(pooled) @ self.video_projection


def caption_context(video_tokens: Float[Tensor, "b t n d"]) -> Float[Tensor, "b m d"]:
    """Line up video tokens for the caption decoder: in space first, as the released code does."""
    return rearrange(video_tokens, "b t n d -> b (n t) d")


def unit_length(vectors: Float[Tensor, "b e"]) -> Float[Tensor, "b e"]:
    """Divide by the length, without a guard against zero, as CLIP does; in float32 or wider."""
    vectors = vectors if vectors.dtype == torch.float64 else vectors.float()
    return vectors / vectors.norm(dim=-1, keepdim=True)
