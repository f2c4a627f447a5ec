"""Zero-shot retrieval: rank videos for sentences and sentences for videos.

Source: `main_task_retrieval.py` of Video-Text-Retrieval in the InternVideo release. The protocol
follows the number of sentences: one a video (MSR-VTT) or several (MSVD); see `metrics.retrieval`.
Differs from the released code: videos that cannot be decoded are named, their queries missed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from internvideo.data import ANNOTATIONS
from internvideo.errors import ConfigError
from internvideo.metrics import ranks, retrieval_metrics
from internvideo.tasks.retrieval.result import RetrievalResult
from internvideo.tasks.shared.answers import RankedTexts
from internvideo.tasks.shared.inference import (
    EmbeddedVideos,
    Embedder,
    Inference,
    embed_sentences,
    embed_videos,
)
from internvideo.tasks.shared.requests import TextRequest
from internvideo.tasks.shared.task import Answer, Progress, Task
from internvideo.tasks.shared.video_text import VideoTextModel
from internvideo.values import Annotations, Record

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RetrievalRequest(TextRequest):
    """A video and texts; of a folder each text finds the best videos."""

    takes_folders = True

    video: Path
    """A video or image, or a folder, of which each text finds the best."""


@dataclass(frozen=True, kw_only=True)
class FoundVideos:
    """The best videos for each text, with their scaled similarities."""

    of_text: dict[str, tuple[tuple[Record, float], ...]]

    def lines(self) -> list[str]:
        return [
            line
            for text, best in self.of_text.items()
            for line in (text, *(f"{score:8.3f}  {record.video}" for record, score in best))
        ]

    def to_json(self) -> dict[str, Any]:
        found = {
            text: [{"video": str(record.video), "score": score} for record, score in best]
            for text, best in self.of_text.items()
        }
        return {"found": found}


@dataclass(frozen=True, kw_only=True)
class Retrieval(Task):
    """Ranks by the cosine of embeddings."""

    name = "retrieval"
    summary = "text-to-video and video-to-text search"
    model_type = VideoTextModel
    metrics = ("*/r1", "*/r5", "*/r10", "*/median_rank", "*/mean_rank")
    datasets = ("MSR-VTT", "MSVD", "DiDeMo", "ActivityNet Captions", "LSMDC", "VATEX")
    formats = (
        "manifest",
        "msr-vtt",
        "msvd",
        "didemo",
        "activitynet-captions",
        "lsmdc",
        "vatex",
        "webvid",
    )
    request_type = RetrievalRequest

    sentences: Literal["each", "joined", "first"] = "each"
    """What a record's captions are: a query each, one query all together (paragraphs of ActivityNet
    and DiDeMo), or only the first counts."""
    inference: Inference = field(default_factory=Inference)

    def evaluate(
        self,
        model: Embedder,
        data: Annotations,
        *,
        videos: EmbeddedVideos | None = None,
        progress: Progress | None = None,
    ) -> RetrievalResult:
        """Rank all against all; raises `ConfigError` where a record has no caption."""
        queries = [self._queries(record) for record in data.records]
        videos = embed_videos(model, data.records, self.inference, videos=videos, progress=progress)
        sentences = tuple(sentence for group in queries for sentence in group)
        sizes = torch.tensor([len(group) for group in queries])
        video_of_text = videos.of_record.repeat_interleave(sizes)
        similarity = _similarity(model, sentences, videos.embeddings)
        present = videos.present
        return RetrievalResult(
            scores=retrieval_metrics(similarity, video_of_text, present=present),
            num_evaluated=int(present.sum()),
            num_total=len(videos.clips),
            failed=videos.failed,
            similarity=similarity,
            video_of_text=video_of_text,
            ranks=ranks(similarity.where(present, -torch.inf), video_of_text).where(
                present[video_of_text], len(videos.clips) - 1
            ),
            sentences=sentences,
            videos=videos.clips,
        )

    def predict(
        self, model: Embedder, request: TextRequest, *, progress: Progress | None = None
    ) -> Answer:
        """Give the sentences closest to a video, or of a folder the videos closest to each.

        Scores are scaled similarities.
        """
        if request.video.is_dir():
            records = ANNOTATIONS["videos"](request.video).records
            ranked = self.search(model, records, request.text, progress=progress)
            best = (tuple(row[: request.top]) for row in ranked)
            return FoundVideos(of_text=dict(zip(request.text, best, strict=True)))
        records = [Record(video=request.video)]
        videos = embed_videos(model, records, self.inference, progress=progress)
        scores = _similarity(model, request.text, videos.embeddings)[:, 0]
        return RankedTexts.best(request.text, scores, top=request.top)

    def search(
        self,
        model: Embedder,
        records: Sequence[Record],
        sentences: Sequence[str],
        *,
        progress: Progress | None = None,
    ) -> list[list[tuple[Record, float]]]:
        """For each sentence give all videos with their scaled similarity, the closest first.

        Videos that cannot be decoded are left out and named in the log.
        """
        videos = embed_videos(model, records, self.inference, progress=progress)
        for failed in videos.failed:
            logger.warning("%s: left out (%s)", failed.path, failed.reason)
        there = videos.present.nonzero()[:, 0]
        scores = _similarity(model, sentences, videos.embeddings[there])
        return [
            [(videos.clips[int(there[i])], float(row[i])) for i in row.argsort(descending=True)]
            for row in scores
        ]

    def _queries(self, record: Record) -> tuple[str, ...]:
        if not record.captions:
            raise ConfigError(f"{record.video}: has no caption; retrieval needs one of each video")
        if self.sentences == "joined":
            return (" ".join(record.captions),)
        return record.captions if self.sentences == "each" else record.captions[:1]


def _similarity(
    model: Embedder, sentences: Sequence[str], videos: Float[Tensor, "v e"]
) -> Float[Tensor, "l v"]:
    texts = F.normalize(embed_sentences(model, sentences), dim=-1)
    return model.logit_scale.detach().float().cpu().exp() * texts @ F.normalize(videos, dim=-1).T
