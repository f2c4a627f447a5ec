"""Answers to questions about a clip, chosen among a fixed list, from encoder B with its decoder.

Source: `compute_openend_vqa` and its classifier in the multimodal downstream code of InternVideo.
Shapes: clip (b, c, t, h, w), ids of a question (b, l) -> logits (b, y), one for each answer. The
end token must not be the last of the l ids: the decoder reads all positions but the last.
Differs from the released code: the encoder's projections are not there, which nothing reads, nor is
the decoder's predictor, unless `writes` has it go on behind the question. With `pair`, which
nothing released has, the video is read by coordinated encoders (InternVideo, section 3.2), which
stay as they are: clips are then as A sees them, in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.heads.coordinated import CoordinatedClassifier, CoordinatedClassifierConfig
from internvideo.models import (
    CaptionDecoder,
    CaptionDecoderConfig,
    MultimodalEncoderConfig,
    TextEncoder,
    UniFormerOutput,
    caption_context,
)
from internvideo.tiny import UniFormerFrontEndConfig, build_uniformer


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionAnswererConfig:
    """Encoder B with a caption decoder, and how many answers there are to choose from.

    With `writes` the decoder also writes answers in its own words.
    """

    encoder: MultimodalEncoderConfig = field(
        default_factory=lambda: MultimodalEncoderConfig(captioner=CaptionDecoderConfig())
    )
    front_end: UniFormerFrontEndConfig | None = None  # of a tiny encoder, see internvideo/tiny
    pair: CoordinatedClassifierConfig | None = None  # takes the place of encoder.video
    num_answers: int = 1500
    dropout: float = 0.5
    writes: bool = False

    def __post_init__(self) -> None:
        if self.encoder.captioner is None:
            raise ConfigError("a question answerer needs encoder.captioner, which reads both")
        if self.num_answers < 1 or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"num_answers is {self.num_answers} and dropout {self.dropout}; there is at least "
                "one answer, and dropout is a share from 0 to below 1"
            )
        if self.front_end is not None:
            self.front_end.check(self.encoder.video)
        if self.pair is not None and self.pair.encoders[1].width != self.encoder.video.width:
            raise ConfigError(
                f"pair: its encoder B is {self.pair.encoders[1].width} wide, encoder.video "
                f"{self.encoder.video.width}; take the pair whose encoder B grew out of this one"
            )


class VideoReading(NamedTuple):
    """What is read of a clip, whatever is asked: its vector, and the decoder's context."""

    vector: Float[Tensor, "b d"]
    context: Float[Tensor, "b q context"]


class QuestionAnswerer(nn.Module):
    """What decoder, video tower and text tower say at the end of the question, classified."""

    def __init__(self, config: QuestionAnswererConfig) -> None:
        super().__init__()
        self.config = config
        encoder = config.encoder
        if encoder.captioner is None:
            raise ConfigError("a question answerer needs encoder.captioner, which reads both")
        if config.pair is None:
            self.video = build_uniformer(encoder.video, config.front_end)
        else:
            self.pair = CoordinatedClassifier(config.pair).requires_grad_(False).eval()
        self.norm_post = nn.LayerNorm(encoder.video.width, eps=encoder.video.norm_eps)
        self.text = TextEncoder(encoder.text)
        self.captioner = CaptionDecoder(encoder.captioner)
        if not config.writes:
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

    def train(self, mode: bool = True) -> QuestionAnswerer:
        """Set the mode of what learns; a pair stays in evaluation mode."""
        super().train(mode)
        if self.config.pair is not None:
            self.pair.eval()
        return self

    def forward(
        self, clip: Float[Tensor, "b c t h w"], ids: Int64[Tensor, "b l"]
    ) -> Float[Tensor, "b y"]:
        return self.answer(self.read(clip), ids)

    def read(self, clip: Float[Tensor, "b c t h w"]) -> VideoReading:
        """Read clips, once for all questions about them."""
        video = self._watch(clip)
        return VideoReading(
            vector=self.norm_post(video.pooled),
            context=self.captioner.pool(caption_context(video.tokens)),
        )

    def answer(self, video: VideoReading, ids: Int64[Tensor, "b l"]) -> Float[Tensor, "b y"]:
        """Score the answers to a question about each clip."""
        text = self.text(ids)
        read = self.captioner.hidden(text.tokens[:, :-1], video.context)
        end = ids.argmax(1)
        if bool((end == ids.shape[1] - 1).any()):
            raise ConfigError(
                f"a question fills all {ids.shape[1]} ids; cut it so that one follows its end token"
            )
        asked = read[torch.arange(len(ids), device=ids.device), end]
        return self.classifier(torch.cat([asked, video.vector, text.pooled], dim=1))

    def next_token(self, video: VideoReading, ids: Int64[Tensor, "b l"]) -> Float[Tensor, "b l y"]:
        """Score the token after each of a question and the beginning of its answer."""
        return self.captioner.predictor(self.captioner.hidden(self.text(ids).tokens, video.context))

    def caption_tokens(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b m video"]:
        """What `generate` attends to in writing about clips."""
        return caption_context(self._watch(clip).tokens)

    def _watch(self, clip: Float[Tensor, "b c t h w"]) -> UniFormerOutput:
        if self.config.pair is None:
            return self.video(clip)
        with torch.no_grad():
            return self.pair.coordinate(self.pair.read(clip)).multimodal
