"""Zero-shot recognition: the class whose name, put into prompts, fits a video best.

Source: `scripts/zs_classify.sh` and `compute_zs_classify` of multi-modalities-downstream in the
InternVideo release: 16 prompts, probabilities averaged over them (as in Radford et al. 2021,
section 3.1.4, but there embeddings are).
Differs from the released code: a video that cannot be decoded counts as wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.errors import ConfigError, unknown_name
from internvideo.metrics import mean_class_accuracy, prompt_probabilities, top_k_accuracy
from internvideo.tasks.shared.answers import RankedTexts
from internvideo.tasks.shared.inference import (
    EmbeddedVideos,
    Embedder,
    Inference,
    embed_sentences,
    embed_videos,
)
from internvideo.tasks.shared.requests import TextRequest
from internvideo.tasks.shared.task import Progress, Result, Task
from internvideo.tasks.shared.video_text import VideoTextModel
from internvideo.text import PROMPTS, fill, readable_name
from internvideo.values import Annotations, Record


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RecognitionResult(Result):
    """Accuracies over all videos, `top1` first; probabilities are NaN where a video failed."""

    probabilities: Float[Tensor, "b y"]
    labels: Int64[Tensor, " b"]
    classes: tuple[str, ...]
    videos: tuple[Record, ...]


@dataclass(frozen=True, kw_only=True)
class ZeroShotRecognition(Task):
    """Names classes never trained on."""

    name = "zero-shot-recognition"
    summary = "the class of a video, by the names of the classes in prompts"
    model_type = VideoTextModel
    metrics = ("top1", "top5", "mean_class")
    datasets = ("Kinetics-400/600/700", "UCF101", "HMDB51")
    formats = ("manifest", "folder", "kinetics", "ucf101", "hmdb51")
    request_type = TextRequest

    prompts: str = "actionclip"
    """Prompt templates, among those of `internvideo.text.PROMPTS`."""
    words: dict[str, str] = field(default_factory=dict)
    """Other words for classes, as in: --words slide_left "sliding left"; default their names."""
    inference: Inference = field(default_factory=Inference)

    def __post_init__(self) -> None:
        if self.prompts not in PROMPTS:
            raise unknown_name("list of prompts", self.prompts, PROMPTS)

    def evaluate(
        self,
        model: Embedder,
        data: Annotations,
        *,
        videos: EmbeddedVideos | None = None,
        progress: Progress | None = None,
    ) -> RecognitionResult:
        """Name every record's video; raises `ConfigError` where one has no label."""
        if not data.classes:
            raise ConfigError("there are no class names to choose from; recognition needs them")
        labels = []
        for record in data.records:
            if record.label is None:
                raise ConfigError(f"{record.video}: has no label; recognition needs one")
            labels.append(record.label)
        videos = embed_videos(model, data.records, self.inference, videos=videos, progress=progress)
        probabilities = self._probabilities(model, videos, data.classes)
        truth = torch.tensor(labels)
        scores = {
            f"top{k}": top_k_accuracy(probabilities, truth, k=k)
            for k in (1, 5)
            if k < len(data.classes)
        }
        return RecognitionResult(
            scores={**scores, "mean_class": mean_class_accuracy(probabilities, truth)},
            num_evaluated=int(videos.present[videos.of_record].sum()),
            num_total=len(labels),
            failed=videos.failed,
            probabilities=probabilities,
            labels=truth,
            classes=data.classes,
            videos=data.records,
        )

    def predict(
        self, model: Embedder, request: TextRequest, *, progress: Progress | None = None
    ) -> RankedTexts:
        """Give the likeliest of the classes with their probabilities."""
        records = [Record(video=request.video)]
        videos = embed_videos(model, records, self.inference, progress=progress)
        probabilities = self._probabilities(model, videos, request.text)[0]
        return RankedTexts.best(request.text, probabilities, top=request.top)

    def _probabilities(
        self, model: Embedder, videos: EmbeddedVideos, classes: Sequence[str]
    ) -> Float[Tensor, "b y"]:
        names = tuple(self.words.get(name, readable_name(name)) for name in classes)
        sentences = embed_sentences(model, fill(PROMPTS[self.prompts], names))
        prompts = rearrange(sentences, "(p y) e -> p y e", y=len(names))
        scale = model.logit_scale.detach().float().cpu()
        return prompt_probabilities(videos.embeddings, prompts, scale)[videos.of_record]
