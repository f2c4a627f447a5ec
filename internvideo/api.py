"""The Python surface: load a model of any kind by its name or folder, and run it.

    model = internvideo.load("runs/b")
    model.encode_video(["a.mp4", "b.mp4"])        # (2, d)
    model.encode_text(["a dog runs"])             # (1, e), in the same space
    model.match(["a dog runs"], ["a.mp4"])        # (1, 1), what the two have in common
    model.similar("a.jpg", ["a.mp4", "b.mp4"])    # [(1, 0.71), (0, 0.23)]
    model.classify("a.mp4", ["juggling", "diving"])
    model.caption("a.mp4")
    model.answer("a.mp4", "which colour is the car?")
    model.features("a.mp4", window_s=2).rows      # (windows, d), with times

Videos are paths, or clips in memory: frames (t, h, w, 3) uint8 of torch or numpy, taken as they
are; anything else in memory is refused, since it would be embedded wrongly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from internvideo.data import ClipDataset, centre_view, windows_in_seconds
from internvideo.errors import ConfigError, DecodeError
from internvideo.heads import CoordinatedClassifier, QuestionAnswerer, Retriever, VideoClassifier
from internvideo.hub import Pretrained, load_pretrained
from internvideo.metrics import prompt_probabilities
from internvideo.models import MultimodalEncoder, Viclip
from internvideo.tasks import (
    ClipSampling,
    FeatureEncoder,
    FeatureExtraction,
    QuestionAnsweringModel,
    RecognitionModel,
    RetrieverModel,
    VideoFeatures,
    VideoTextModel,
    check_length,
    class_probabilities,
    embed_sentences,
    matching,
)
from internvideo.text import PROMPTS, fill, readable_name
from internvideo.training import choose_device
from internvideo.values import Annotations, Clip, Record
from internvideo.video.in_memory import frames_in_memory

# Frames are (t, h, w, 3) uint8, which `frames_in_memory` checks.
Video = str | Path | Clip | Tensor | np.ndarray

_BATCH_SIZE = 16


def load(name_or_path: str | Path, *, device: str = "auto", averaged: bool = False) -> Model:
    """Open a model: a name from `weights list`, a saved folder, a run or one of its checkpoints.

    Args:
        name_or_path: Which model.
        device: auto, cpu, cuda or cuda:N.
        averaged: Take the moving average of the weights, where a run kept one.

    Raises:
        CheckpointError: There is no model, or it is incomplete or damaged.
    """
    pretrained = load_pretrained(name_or_path, averaged=averaged)
    pretrained.model.to(choose_device(device))
    return Model(pretrained, name=str(name_or_path))


class Model:
    """A trained model with its classes, preprocessing and tokenizer; see the top of this module."""

    def __init__(self, pretrained: Pretrained, *, name: str = "model") -> None:
        self.pretrained, self.name = pretrained, name
        seen = pretrained.preprocessing
        self._clip_sampling = ClipSampling(
            sampling=seen.sampling, stride_frames=seen.stride_frames, crop=seen.crop
        )

    def __repr__(self) -> str:
        return f"<{self.pretrained.kind} {self.name!r}: {', '.join(self.abilities)}>"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of its own head; numbers where it came without names."""
        model = self.pretrained.model
        if isinstance(model, CoordinatedClassifier):
            model = model.masked
        if not isinstance(model, VideoClassifier):
            return ()
        return self.pretrained.classes or tuple(map(str, range(model.config.num_classes)))

    @property
    def abilities(self) -> tuple[str, ...]:
        """Names of the methods that this model supports."""
        has_text = self._reads_text and self.pretrained.tokenizer is not None
        has_captioner = getattr(self.pretrained.model, "captioner", None) is not None
        can = {
            "encode_video": True,
            "encode_text": has_text and not self._compares_tokens,
            "match": has_text,
            "classify": (has_text and not self._compares_tokens) or bool(self.classes),
            "caption": has_text and has_captioner,
            "answer": self._answers_questions and self.pretrained.tokenizer is not None,
            "features": True,
            "similar": True,
        }
        return tuple(name for name, does in can.items() if does)

    def encode_video(self, videos: Video | Sequence[Video]) -> Float[Tensor, "b d"]:
        """One vector for each video; an array of five axes is a batch of clips.

        From a model with a text tower it lies in the space shared with texts and has length 1;
        otherwise it is what a head receives, or the mean of all tokens.
        """
        is_array = isinstance(videos, Tensor | np.ndarray)
        is_several = videos.ndim == 5 if is_array else isinstance(videos, Iterable)
        is_several &= not isinstance(videos, str)
        each: list[Any] = list(videos) if is_several else [videos]
        if not each:
            raise ConfigError("there are no videos to encode; give at least one")
        encoder = self.feature_encoder
        rows = [
            encoder.features(self._clips(each[at : at + _BATCH_SIZE]), encoder.usual_pooling).cpu()
            for at in range(0, len(each), _BATCH_SIZE)
        ]
        return torch.cat(rows)

    def similar(self, query: Video, videos: Sequence[Video]) -> list[tuple[int, float]]:
        """Order videos by how much they show what an image or a clip shows, the closest first.

        Returns:
            The place of each in `videos`, from 0, with its cosine to the query.
        """
        rows = F.normalize(self.encode_video(videos).float(), dim=1)
        cosines = rows @ F.normalize(self.encode_video([query]).float(), dim=1)[0]
        return [(i, float(cosines[i])) for i in cosines.argsort(descending=True).tolist()]

    def encode_text(self, sentences: str | Sequence[str]) -> Float[Tensor, "b e"]:
        """Place sentences in the space shared with videos; each has length 1."""
        sentences = _texts(sentences)
        if not sentences:
            raise ConfigError("there are no sentences to encode; give at least one")
        return embed_sentences(self._video_text("encode_text"), sentences)

    def match(
        self, sentences: str | Sequence[str], videos: Sequence[Video]
    ) -> Float[Tensor, "l v"]:
        """Compare sentences with videos as the model was trained to: by cosine, or token by token.

        Values are in [-1, 1]; those of a cosine are the products of `encode_text` and
        `encode_video`.
        """
        sentences = _texts(sentences)
        if not sentences or not videos:
            raise ConfigError("there is nothing to compare; give sentences and videos")
        model = self._video_text("match", is_compared=True)
        clips = self._clips(videos).split(_BATCH_SIZE)
        rows = torch.cat([model.embed_clips(part).float().cpu() for part in clips])
        scale = model.logit_scale.float().cpu().exp()
        return matching(model, embed_sentences(model, sentences), rows) / scale

    def classify(
        self,
        video: Video,
        labels: str | Sequence[str] | None = None,
        *,
        prompts: str = "actionclip",
    ) -> list[tuple[str, float]]:
        """Give each label with its probability, the likeliest first.

        Without labels they are the classes of the model's own head; with labels the text tower
        reads their names, put into `prompts`.
        """
        if labels is None:
            labels, probabilities = self.classes, self._own_probabilities(video)
        else:
            labels = _texts(labels)
            probabilities = self._zero_shot_probabilities(video, labels, prompts)
        order = probabilities.argsort(descending=True).tolist()
        return [(labels[i], float(probabilities[i])) for i in order]

    def caption(self, video: Video, *, num_beams: int = 1) -> str:
        """Describe a video in a sentence, by beam search where there are several beams."""
        model = self._video_text("caption")
        if "caption" not in self.abilities:
            raise ConfigError(
                f"{self.name}: this model has no caption decoder; take one that was trained with it"
            )
        return model.caption(self._clips([video]), num_beams=num_beams)[0]

    def answer(
        self, video: Video, question: str, *, written: bool = False
    ) -> list[tuple[str, float]]:
        """Give each answer with its probability, the likeliest first; or one in its own words.

        An encoder B with a caption decoder always writes, a question answerer where `written` asks
        for it.

        Raises:
            ConfigError: The model answers no questions, or the question is empty or too long.
        """
        if "answer" not in self.abilities:
            raise ConfigError(
                f"{self.name}: this model answers no questions; take the run of a training for "
                f"question-answering; it can {', '.join(self.abilities)}"
            )
        if not question.strip():
            raise ConfigError("the question is empty")
        model = QuestionAnsweringModel.from_pretrained(self.pretrained, source=self.name)
        model = model.writing() if written else model
        check_length(model, question)
        frames = self._clips([video])
        if model.writes:
            return model.write(frames, [[question]])[0]
        shares = model.probabilities(frames, [[question]])[0][0]
        answers = model.answers or tuple(map(str, range(len(shares))))
        order = shares.argsort(descending=True).tolist()
        return [(answers[i], float(shares[i])) for i in order if answers[i]]

    def features(
        self,
        video: str | Path,
        *,
        rate_fps: float | int | Literal["native"] | None = None,
        window_frames: int | None = None,
        window_s: float | int | None = None,
        stride_frames: int | None = None,
        stride_s: float | int | None = None,
        pooling: str | None = None,
        batch_size: int = 8,
    ) -> VideoFeatures:
        """Slide over a whole video; one row for each window, with its times.

        By default windows have the model's own number of frames, at 8 per second, and do not
        overlap. See `internvideo extract` for many files.
        """
        encoder = self.feature_encoder
        windows = windows_in_seconds(
            usual_frames=encoder.num_frames,
            rate_fps=rate_fps,
            window_frames=window_frames,
            window_s=window_s,
            stride_frames=stride_frames,
            stride_s=stride_s,
        )
        pooling = pooling or encoder.usual_pooling
        extraction = FeatureExtraction(windows=windows, pooling=pooling, batch_size=batch_size)
        return extraction.of(encoder, video)

    @cached_property
    def feature_encoder(self) -> FeatureEncoder:
        """The model as extraction uses it."""
        return FeatureEncoder.of(self.pretrained, name=self.name)

    @property
    def _answers_questions(self) -> bool:
        model = self.pretrained.model
        writes = isinstance(model, MultimodalEncoder) and model.captioner is not None
        return writes or isinstance(model, QuestionAnswerer)

    @property
    def _reads_text(self) -> bool:
        return isinstance(self.pretrained.model, (MultimodalEncoder, Viclip, Retriever))

    @property
    def _compares_tokens(self) -> bool:
        model = self.pretrained.model
        return isinstance(model, Retriever) and model.config.similarity == "tokens"

    def _video_text(self, wanted: str, *, is_compared: bool = False) -> VideoTextModel:
        if not self._reads_text:
            own = "; leave labels out for its own classes" if self.classes else ""
            raise ConfigError(
                f"{self.name}: this model has no text tower, which {wanted} needs{own}; it can "
                f"{', '.join(self.abilities)}"
            )
        if self.pretrained.tokenizer is None:
            raise ConfigError(
                f"{self.name}: this model came without its tokenizer.json, without which texts "
                "mean nothing; save it again with its tokenizer"
            )
        if self._compares_tokens and not is_compared:
            raise ConfigError(
                f"{self.name}: this model compares frames with words, so that no single vector "
                f"stands for either, which {wanted} needs; compare with match(sentences, videos)"
            )
        return RetrieverModel.from_pretrained(self.pretrained, source=self.name)

    def _own_probabilities(self, video: Video) -> Float[Tensor, " y"]:
        if not self.classes:
            hint = "give labels to choose from" if self._reads_text else "take a classifier"
            raise ConfigError(f"{self.name}: this model has no classes of its own; {hint}")
        named = replace(self.pretrained, classes=self.classes)
        recogniser = RecognitionModel.from_pretrained(named, source=self.name)
        logits = recogniser.classify_clips(self._clips([video]))[0]
        return class_probabilities(recogniser, logits).cpu()

    def _zero_shot_probabilities(
        self, video: Video, labels: list[str], prompts: str
    ) -> Float[Tensor, " y"]:
        model = self._video_text("classify by labels")
        if not labels or prompts not in PROMPTS:
            raise ConfigError(
                f"classify needs at least one label and prompts among {', '.join(PROMPTS)}; got "
                f"{labels} and {prompts!r}"
            )
        names = tuple(readable_name(label) for label in labels)
        sentences = embed_sentences(model, fill(PROMPTS[prompts], names))
        by_prompt = rearrange(sentences, "(p y) e -> p y e", y=len(names))
        embedding = model.embed_clips(self._clips([video])).float().cpu()
        return prompt_probabilities(embedding, by_prompt, model.logit_scale.float().cpu())[0]

    def _clips(self, videos: Sequence[Video]) -> UInt8[Tensor, "b t s s 3"]:
        clips = [self._clip(video) for video in videos]
        if len({len(clip) for clip in clips}) > 1:
            counts = ", ".join(str(len(clip)) for clip in clips)
            raise ConfigError(f"clips of one call have equally many frames; these have {counts}")
        return torch.stack(clips)

    def _clip(self, video: Video) -> UInt8[Tensor, "t s s 3"]:
        """What the model sees of a video: frames chosen as in its evaluation, or those given."""
        seen, encoder = self.pretrained.preprocessing, self.feature_encoder
        if isinstance(video, (str, Path)):
            dataset = ClipDataset(
                Annotations(records=(Record(video=Path(video)),)),
                self._clip_sampling.data(str(Path(video).parent)),
                num_frames=seen.num_frames,
                side_px=seen.side_px,
                training=False,
            )
            sample = dataset.sample(0)
            if sample.broken:
                raise DecodeError(sample.broken[0][1])
            return sample.views[0]
        frames = frames_in_memory(video.frames if isinstance(video, Clip) else video)
        encoder.check(pooling=encoder.usual_pooling, num_frames=len(frames))
        return centre_view(frames, seen.side_px, seen.crop)


def _texts(given: str | Sequence[str]) -> list[str]:
    """One string is one text; what holds anything else is refused."""
    texts = [given] if isinstance(given, str) else given
    is_several = isinstance(texts, Iterable)
    found = list(texts) if is_several else [texts]
    if not is_several or not all(isinstance(text, str) for text in found):
        wrong = next((text for text in found if not isinstance(text, str)), given)
        raise ConfigError(f"{wrong!r:.60} is no text; give a string, or a list of strings")
    return found
