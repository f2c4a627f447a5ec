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
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.metrics import ranks, retrieval_metrics
from internvideo.tasks.embedding import (
    EmbeddedVideos,
    Embedder,
    FailedVideo,
    Progress,
    Viewing,
    embed_sentences,
    embed_videos,
)
from internvideo.values import Annotations, Record

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RetrievalResult:
    """Scores such as `t2v/r1`, `v2t_dsl/mean_rank`, and what they were counted from.

    `similarity` is scaled; the columns of failed videos are NaN. `ranks` are those of the right
    video for each sentence, from 0, without dual softmax; failed videos have the last.
    """

    scores: dict[str, float]
    num_evaluated: int
    num_total: int
    failed: tuple[FailedVideo, ...]
    similarity: Float[Tensor, "l v"]
    video_of_text: Int64[Tensor, " l"]
    ranks: Int64[Tensor, " l"]
    sentences: tuple[str, ...]
    videos: tuple[Record, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrieval:
    """Ranks by the cosine of embeddings.

    `sentences` says what a record's captions are: queries each, one query all together (paragraphs
    of ActivityNet and DiDeMo), or only the first counts.
    """

    sentences: Literal["each", "joined", "first"] = "each"
    viewing: Viewing = field(default_factory=Viewing)

    def evaluate(
        self,
        embedder: Embedder,
        annotations: Annotations,
        *,
        videos: EmbeddedVideos | None = None,
        progress: Progress | None = None,
    ) -> RetrievalResult:
        """Rank all against all; raises `ConfigError` where a record has no caption."""
        queries = [self._queries(record) for record in annotations.records]
        videos = embed_videos(
            embedder, annotations.records, self.viewing, videos=videos, progress=progress
        )
        sentences = tuple(sentence for group in queries for sentence in group)
        sizes = torch.tensor([len(group) for group in queries])
        video_of_text = videos.of_record.repeat_interleave(sizes)
        similarity = _similarity(embedder, sentences, videos.embeddings)
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
        self, embedder: Embedder, video: Path, sentences: Sequence[str]
    ) -> list[tuple[str, float]]:
        """Give every sentence with its scaled similarity to the video, the closest first."""
        seen = embed_videos(embedder, [Record(video=video)], self.viewing)
        scores = _similarity(embedder, sentences, seen.embeddings)[:, 0]
        return [(sentences[i], float(scores[i])) for i in scores.argsort(descending=True).tolist()]

    def search(
        self,
        embedder: Embedder,
        records: Sequence[Record],
        sentences: Sequence[str],
        *,
        progress: Progress | None = None,
    ) -> list[list[tuple[Record, float]]]:
        """For each sentence give all videos with their scaled similarity, the closest first.

        Videos that cannot be decoded are left out and named in the log.
        """
        videos = embed_videos(embedder, records, self.viewing, progress=progress)
        for failed in videos.failed:
            logger.warning("%s: left out (%s)", failed.path, failed.reason)
        there = videos.present.nonzero()[:, 0]
        scores = _similarity(embedder, sentences, videos.embeddings[there])
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
    embedder: Embedder, sentences: Sequence[str], videos: Float[Tensor, "v e"]
) -> Float[Tensor, "l v"]:
    texts = F.normalize(embed_sentences(embedder, sentences), dim=-1)
    return embedder.logit_scale.detach().float().cpu().exp() * texts @ F.normalize(videos, dim=-1).T
