"""Models of videos and texts with their vocabulary, as tasks use them: embeddings and text out.

Shapes: frames (b, t, h, w, 3) uint8 -> embeddings (b, e) of length 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import CoordinatedClassifier, Retriever
from internvideo.models import (
    GenerationConfig,
    MultimodalEncoder,
    Viclip,
    caption_context,
    coordinated_embedding,
    generate,
)
from internvideo.tasks.shared.classification import RecognitionModel
from internvideo.tasks.shared.inference import ClipSampling
from internvideo.tasks.shared.task import Pretrained
from internvideo.text import Tokenizer
from internvideo.values import Sampling
from internvideo.video.transforms import CLIP_MEAN, CLIP_STD, normalise


class VideoTextModel:
    """An `Embedder`, and a `Captioner` where the encoder has a caption decoder.

    `crop` is the share of a video's short side that it is used to see. Sentences longer than the
    text tower's context are cut. `open_recogniser` opens a run, for the coordinated pair.
    """

    kind: ClassVar[str] = "video-text"

    def __init__(
        self,
        model: MultimodalEncoder | Viclip,
        tokenizer: Tokenizer,
        *,
        num_frames: int,
        crop: float = 224 / 256,
        sampling: Sampling = "segments",
        mean: tuple[float, float, float] = CLIP_MEAN,
        std: tuple[float, float, float] = CLIP_STD,
    ) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.num_frames, self.crop, self.sampling = num_frames, crop, sampling
        self.mean, self.std = mean, std
        self.open_recogniser: Callable[[str], RecognitionModel] | None = None

    @classmethod
    def from_pretrained(cls, pretrained: Pretrained, *, source: str) -> VideoTextModel:
        """Take up an encoder B or a ViCLIP with its vocabulary, to place videos and sentences.

        Raises:
            CheckpointError: If the model knows no words, or came without its tokenizer.
        """
        if isinstance(pretrained.model, Retriever):
            raise CheckpointError(
                f"{source}: was fine-tuned to compare {pretrained.model.config.similarity}, which "
                "only retrieval and multiple choice do"
            )
        if not isinstance(pretrained.model, MultimodalEncoder | Viclip):
            raise CheckpointError(
                f"{source}: holds a {pretrained.kind} model, which knows no words; take the "
                "checkpoint of a multimodal-pretraining run"
            )
        if pretrained.tokenizer is None:
            raise CheckpointError(f"{source}: no tokenizer.json, without which texts mean nothing")
        seen = pretrained.preprocessing
        return cls(
            pretrained.model,
            pretrained.tokenizer,
            num_frames=seen.num_frames,
            crop=seen.crop,
            sampling="seconds" if seen.sampling == "seconds" else "segments",
            mean=seen.mean,
            std=seen.std,
        )

    @property
    def side_px(self) -> int:
        return self.model.config.video.side_px

    @property
    def clip_sampling(self) -> ClipSampling:
        """How clips are taken for it: a frame of each segment, or of each second."""
        return ClipSampling(sampling=self.sampling, crop=self.crop)

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
        ids, _ = self.tokenizer.batch(sentences, context_length=length)
        return self.model.encode_text(ids.to(self.device)).embedding

    @torch.no_grad()
    def caption(self, frames: UInt8[Tensor, "b t h w 3"], *, num_beams: int = 1) -> list[str]:
        """Describe each clip, with beam search; 1 beam takes the likeliest word each time.

        Raises:
            ConfigError: The encoder has no caption decoder.
        """
        model, tokenizer = self.model, self.tokenizer
        if isinstance(model, Viclip) or model.captioner is None:
            raise ConfigError("this encoder was trained without a caption decoder")
        config = GenerationConfig(
            start_id=tokenizer.start_id,
            end_id=tokenizer.end_id,
            max_length=model.config.text.context_length,
            num_beams=num_beams,
            # Few captions train fewer tokens of an own vocabulary than the network has room for.
            num_tokens=tokenizer.vocabulary_size,
        )
        video = model.encode_video(self._clip(frames))
        written = generate(model.text, model.captioner, caption_context(video.tokens), config)
        return [tokenizer.decode(ids) for ids in written.ids]

    def coordinated_with(self, run: str) -> CoordinatedTextModel:
        """The same sentences beside the clips of a coordinated pair.

        Raises:
            CheckpointError: The run is no coordinated pair, or of another encoder B.
        """
        if self.open_recogniser is None:
            raise ConfigError(f"{run}: there is no way to open it; set `open_recogniser`")
        pair = self.open_recogniser(run)
        if not isinstance(pair.model, CoordinatedClassifier):
            raise CheckpointError(f"{run}: is no run of coordination")
        return CoordinatedTextModel(pair.model, self, clip_sampling=pair.clip_sampling)

    def _clip(self, frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b 3 t h w"]:
        return normalise(frames.to(self.device), mean=self.mean, std=self.std)


class RetrieverModel(VideoTextModel):
    """Encoder B fine-tuned for retrieval; its rows may hold the vectors of frames and tokens."""

    def __init__(self, retriever: Retriever, tokenizer: Tokenizer, **options: Any) -> None:
        super().__init__(retriever.encoder, tokenizer, **options)
        self.retriever = retriever

    @classmethod
    def from_pretrained(cls, pretrained: Pretrained, *, source: str) -> VideoTextModel:
        """Take up a retriever; an encoder B or a ViCLIP compares whole clips, as everywhere.

        Raises:
            CheckpointError: As `VideoTextModel`.
        """
        if not isinstance(pretrained.model, Retriever):
            return VideoTextModel.from_pretrained(pretrained, source=source)
        if pretrained.tokenizer is None:
            raise CheckpointError(f"{source}: no tokenizer.json, without which texts mean nothing")
        seen = pretrained.preprocessing
        return cls(
            pretrained.model.eval(),
            pretrained.tokenizer,
            num_frames=seen.num_frames,
            crop=seen.crop,
            mean=seen.mean,
            std=seen.std,
        )

    @torch.no_grad()
    def embed_clips(self, frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b e"]:
        return self.retriever.embed_video(self._clip(frames)).flatten(1)

    @torch.no_grad()
    def embed_texts(self, sentences: Sequence[str]) -> Float[Tensor, "b e"]:
        length = self.model.config.text.context_length
        ids, padded = self.tokenizer.batch(sentences, context_length=length)
        return self.retriever.embed_text(ids.to(self.device), padded.to(self.device)).flatten(1)

    @torch.no_grad()
    def match(
        self, texts: Float[Tensor, "l d"], videos: Float[Tensor, "v e"]
    ) -> Float[Tensor, "l v"]:
        """Compare rows as in training."""
        if self.retriever.config.similarity == "tokens":
            width = self.model.config.embed_dim + 1
            texts, videos = (rows.unflatten(1, (-1, width)) for rows in (texts, videos))
        return self.retriever.similarity(texts, videos)


class CoordinatedTextModel:
    """An `Embedder`: B's query token after it has read A's tokens, and the sentences of `words`.

    `words` is the encoder B from which the pair's own was post-pretrained; both are on one device.
    `clip_sampling` is that of the pair, dense without crop unless it is given.
    Frames come as A sees them. Nothing in the pair's training asks that clips still meet their
    texts (InternVideo, section 3.2), so what this is worth is to be measured.
    """

    def __init__(
        self,
        pair: CoordinatedClassifier,
        words: VideoTextModel,
        *,
        clip_sampling: ClipSampling | None = None,
    ) -> None:
        encoder = words.model
        if not isinstance(encoder, MultimodalEncoder) or (
            encoder.config.video.width != pair.config.encoders[1].width
        ):
            raise ConfigError(
                "the pair's encoder B is of another size than the one that knows the words; take "
                "the run of multimodal pretraining that its post-pretraining started from"
            )
        self.pair, self.words, self._encoder = pair.eval(), words, encoder
        self.clip_sampling = clip_sampling or ClipSampling(sampling="dense", crop=1.0)

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
