"""Models of videos and texts with their vocabulary, as tasks use them: embeddings and text out.

Shapes: frames (b, t, h, w, 3) uint8 -> embeddings (b, e) of length 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.heads import CoordinatedClassifier
from internvideo.models import (
    GenerationConfig,
    MultimodalEncoder,
    Viclip,
    caption_context,
    coordinated_embedding,
    generate,
)
from internvideo.text import Tokenizer
from internvideo.video.transforms import CLIP_MEAN, CLIP_STD, normalise


class VideoTextModel:
    """An `Embedder`, and a `Captioner` where the encoder has a caption decoder.

    `crop` is the share of a video's short side that it is used to see. Sentences longer than the
    text tower's context are cut. Captions are searched for with `num_beams`; 1 takes the likeliest
    word each time.
    """

    def __init__(
        self,
        model: MultimodalEncoder | Viclip,
        tokenizer: Tokenizer,
        *,
        num_frames: int,
        crop: float = 224 / 256,
        num_beams: int = 1,
        mean: tuple[float, float, float] = CLIP_MEAN,
        std: tuple[float, float, float] = CLIP_STD,
    ) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.num_frames, self.crop = num_frames, crop
        self.num_beams = num_beams
        self.mean, self.std = mean, std

    @property
    def side_px(self) -> int:
        return self.model.config.video.side_px

    @property
    def device(self) -> torch.device:
        return self.model.logit_scale.device

    @property
    def logit_scale(self) -> Float[Tensor, ""]:
        return self.model.logit_scale.detach()

    @torch.no_grad()
    def embed_clips(self, frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b e"]:
        return self.model.encode_video(self._clip(frames)).embedding

    @torch.no_grad()
    def embed_texts(self, sentences: Sequence[str]) -> Float[Tensor, "b e"]:
        length = self.model.config.text.context_length
        ids = self.tokenizer(sentences, context_length=length, truncate=True)
        longest = int((~self.tokenizer.padding_mask(ids)).sum(1).max())
        return self.model.encode_text(ids[:, :longest].to(self.device)).embedding

    @torch.no_grad()
    def caption(self, frames: UInt8[Tensor, "b t h w 3"]) -> list[str]:
        """Describe each clip; raises `ConfigError` where the encoder has no caption decoder."""
        model, tokenizer = self.model, self.tokenizer
        if isinstance(model, Viclip) or model.captioner is None:
            raise ConfigError("this encoder was trained without a caption decoder")
        config = GenerationConfig(
            start_id=tokenizer.start_id,
            end_id=tokenizer.end_id,
            max_length=model.config.text.context_length,
            num_beams=self.num_beams,
            # Few captions train fewer tokens of an own vocabulary than the network has room for.
            num_tokens=tokenizer.vocabulary_size,
        )
        video = model.encode_video(self._clip(frames))
        written = generate(model.text, model.captioner, caption_context(video.tokens), config)
        return [tokenizer.decode(ids) for ids in written.ids]

    def _clip(self, frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b 3 t h w"]:
        return normalise(frames.to(self.device), mean=self.mean, std=self.std)


class CoordinatedTextModel:
    """An `Embedder`: B's query token after it has read A's tokens, and the sentences of `words`.

    `words` is the encoder B from which the pair's own was post-pretrained; both are on one device.
    Frames come as A sees them. Nothing in the pair's training asks that clips still meet their
    texts (InternVideo, section 3.2), so what this is worth is to be measured.
    """

    def __init__(self, pair: CoordinatedClassifier, words: VideoTextModel) -> None:
        encoder = words.model
        if not isinstance(encoder, MultimodalEncoder) or (
            encoder.config.video.width != pair.config.encoders[1].width
        ):
            raise ConfigError(
                "the pair's encoder B is of another size than the one that knows the words; take "
                "the run of multimodal pretraining that its post-pretraining started from"
            )
        self.pair, self.words, self._encoder = pair.eval(), words, encoder

    @property
    def num_frames(self) -> int:
        return self.pair.config.encoders[0].num_frames

    @property
    def side_px(self) -> int:
        return self.pair.config.encoders[0].side_px

    @property
    def logit_scale(self) -> Float[Tensor, ""]:
        return self.words.logit_scale

    @torch.no_grad()
    def embed_clips(self, frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b e"]:
        frames = frames.to(self.words.device)
        clip = frames.permute(0, 4, 1, 2, 3).float() / 255  # b t h w c -> b c t h w
        output = self.pair.coordinate(self.pair.read(clip))
        return coordinated_embedding(self._encoder, output)

    def embed_texts(self, sentences: Sequence[str]) -> Float[Tensor, "b e"]:
        return self.words.embed_texts(sentences)
