"""Zero-shot recognition: the class whose name, put into prompts, fits a video best.

Source: `scripts/zs_classify.sh` and `compute_zs_classify` of multi-modalities-downstream in the
InternVideo release: 16 prompts, probabilities averaged over them (as in Radford et al. 2021,
section 3.1.4, but there embeddings are).
Differs from the released code: a video that cannot be decoded counts as wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.errors import ConfigError, unknown_name
from internvideo.metrics import mean_class_accuracy, prompt_probabilities, top_k_accuracy
from internvideo.tasks.embedding import (
    EmbeddedVideos,
    Embedder,
    FailedVideo,
    Progress,
    Viewing,
    embed_sentences,
    embed_videos,
)
from internvideo.text import PROMPTS, fill, readable_name
from internvideo.values import Annotations, Record


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RecognitionResult:
    """Accuracies over all videos, `top1` first; probabilities are NaN where a video failed."""

    scores: dict[str, float]
    num_evaluated: int
    num_total: int
    failed: tuple[FailedVideo, ...]
    probabilities: Float[Tensor, "b y"]
    labels: Int64[Tensor, " b"]
    classes: tuple[str, ...]
    videos: tuple[Record, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ZeroShotRecognition:
    """Names classes never trained on.

    `prompts` names templates of `internvideo.text.PROMPTS`. A class is spelled as in `words` where
    it is there, otherwise by its own name in words.
    """

    prompts: str = "actionclip"
    words: dict[str, str] = field(default_factory=dict)
    viewing: Viewing = field(default_factory=Viewing)

    def __post_init__(self) -> None:
        if self.prompts not in PROMPTS:
            raise unknown_name("list of prompts", self.prompts, PROMPTS)

    def evaluate(
        self,
        embedder: Embedder,
        annotations: Annotations,
        *,
        videos: EmbeddedVideos | None = None,
        progress: Progress | None = None,
    ) -> RecognitionResult:
        """Name every record's video; raises `ConfigError` where one has no label."""
        _check_classes(annotations.classes)
        labels = []
        for record in annotations.records:
            if record.label is None:
                raise ConfigError(f"{record.video}: has no label; recognition needs one")
            labels.append(record.label)
        videos = embed_videos(
            embedder, annotations.records, self.viewing, videos=videos, progress=progress
        )
        probabilities = self._probabilities(embedder, videos, annotations.classes)
        truth = torch.tensor(labels)
        scores = {
            f"top{k}": top_k_accuracy(probabilities, truth, k=k)
            for k in (1, 5)
            if k < len(annotations.classes)
        }
        return RecognitionResult(
            scores={**scores, "mean_class": mean_class_accuracy(probabilities, truth)},
            num_evaluated=int(videos.present[videos.of_record].sum()),
            num_total=len(labels),
            failed=videos.failed,
            probabilities=probabilities,
            labels=truth,
            classes=annotations.classes,
            videos=annotations.records,
        )

    def predict(
        self, embedder: Embedder, video: Path, classes: Sequence[str]
    ) -> list[tuple[str, float]]:
        """Give every class with its probability, the most likely first."""
        _check_classes(classes)
        seen = embed_videos(embedder, [Record(video=video)], self.viewing)
        probabilities = self._probabilities(embedder, seen, classes)[0]
        order = probabilities.argsort(descending=True).tolist()
        return [(classes[i], float(probabilities[i])) for i in order]

    def _probabilities(
        self, embedder: Embedder, videos: EmbeddedVideos, classes: Sequence[str]
    ) -> Float[Tensor, "b y"]:
        names = tuple(self.words.get(name, readable_name(name)) for name in classes)
        sentences = embed_sentences(embedder, fill(PROMPTS[self.prompts], names))
        prompts = rearrange(sentences, "(p y) e -> p y e", y=len(names))
        scale = embedder.logit_scale.detach().float().cpu()
        return prompt_probabilities(videos.embeddings, prompts, scale)[videos.of_record]


def _check_classes(classes: Sequence[str]) -> None:
    if not classes:
        raise ConfigError("there are no class names to choose from; recognition needs them")
