"""Answers to questions about a clip, chosen among a fixed list, from encoder B with its decoder.

Source: `compute_openend_vqa` and its classifier in the multimodal downstream code of InternVideo.
Shapes: clip (b, c, t, h, w), ids of a question (b, l) -> logits (b, y), one for each answer. The
end token must not be the last of the l ids: the decoder reads all positions but the last.
Differs from the released code: the encoder's projections and the decoder's predictor, which nothing
reads, are not there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.models import (
    CaptionDecoder,
    CaptionDecoderConfig,
    MultimodalEncoderConfig,
    TextEncoder,
    UniFormer,
    caption_context,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionAnswererConfig:
    """Encoder B with a caption decoder, and how many answers there are to choose from."""

    encoder: MultimodalEncoderConfig = field(
        default_factory=lambda: MultimodalEncoderConfig(captioner=CaptionDecoderConfig())
    )
    num_answers: int = 1500
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if self.encoder.captioner is None:
            raise ConfigError("a question answerer needs encoder.captioner, which reads both")
        if self.num_answers < 1 or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"num_answers is {self.num_answers} and dropout {self.dropout}; there is at least "
                "one answer, and dropout is a share from 0 to below 1"
            )


class QuestionAnswerer(nn.Module):
    """What decoder, video tower and text tower say at the end of the question, classified."""

    def __init__(self, config: QuestionAnswererConfig) -> None:
        super().__init__()
        self.config = config
        encoder = config.encoder
        if encoder.captioner is None:
            raise ConfigError("a question answerer needs encoder.captioner, which reads both")
        self.video = UniFormer(encoder.video)
        self.norm_post = nn.LayerNorm(encoder.video.width, eps=encoder.video.norm_eps)
        self.text = TextEncoder(encoder.text)
        self.captioner = CaptionDecoder(encoder.captioner)
        self.captioner.predictor = nn.Identity()
        width = 2 * encoder.text.width + encoder.video.width
        self.classifier = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(width, 2 * width),
            nn.LayerNorm(2 * width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(2 * width, config.num_answers),
        )

    def forward(
        self, clip: Float[Tensor, "b c t h w"], ids: Int64[Tensor, "b l"]
    ) -> Float[Tensor, "b y"]:
        video, text = self.video(clip), self.text(ids)
        vector = self.norm_post(video.pooled)
        context = self.captioner.pool(caption_context(video.tokens))
        read = self.captioner.hidden(text.tokens[:, :-1], context)
        end = ids.argmax(1)
        if bool((end == ids.shape[1] - 1).any()):
            raise ConfigError(
                f"a question fills all {ids.shape[1]} ids; cut it so that one follows its end token"
            )
        asked = read[torch.arange(len(ids), device=ids.device), end]
        return self.classifier(torch.cat([asked, vector, text.pooled], dim=1))
