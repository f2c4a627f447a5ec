"""Retrieval, zero-shot or fine-tuned: rank videos for sentences and sentences for videos.

Source: `main_task_retrieval.py` of Video-Text-Retrieval in the InternVideo release. The protocol
follows the number of sentences: one a video (MSR-VTT) or several (MSVD); see `metrics.retrieval`.
Differs from the released code: videos that cannot be decoded are named, their queries missed;
sentences that say the opposite in time, or deny, are scored beside.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from internvideo.data import ANNOTATIONS
from internvideo.errors import ConfigError
from internvideo.metrics import ranks, retrieval_metrics
from internvideo.tasks.retrieval.finetuning import RetrievalGuide
from internvideo.tasks.retrieval.protocols import protocol
from internvideo.tasks.retrieval.result import RetrievalResult
from internvideo.tasks.retrieval.training import RetrievalTraining
from internvideo.tasks.shared.answers import RankedTexts
from internvideo.tasks.shared.captioned_data import merged
from internvideo.tasks.shared.evaluation_data import EvaluationData
from internvideo.tasks.shared.inference import EmbeddedVideos, Embedder, Inference, embed_videos
from internvideo.tasks.shared.matching import (
    compare,
    matching,
    sentences_of,
    similarity_of,
    time_scores,
)
from internvideo.tasks.shared.requests import RankingRequest
from internvideo.tasks.shared.task import Answer, Progress, Task
from internvideo.tasks.shared.video_text import RetrieverModel, VideoTextModel
from internvideo.values import Annotations, Record

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RetrievalData(EvaluationData):
    """Videos with sentences; a named protocol says format and split."""

    protocol: str | None = None
    """A named protocol, such as msrvtt-9k-1ka, instead of --format and --split."""

    def read(self) -> Annotations:
        """Read the videos to test on; rows of one video are one record.

        Raises:
            AnnotationError: The file cannot be read.
            ConfigError: It has no such split, or there is no such protocol.
        """
        if self.protocol is None:
            read = super().read()
        else:
            known = protocol(self.protocol)
            data = replace(known.data(self.data), root=self.root).read()
            read = data.of_split(self.split or known.test_split)
        return replace(read, records=merged(read.records))


@dataclass(frozen=True, kw_only=True)
class RetrievalRequest(RankingRequest):
    """A video and texts; or a folder, of which each text, image or clip finds the best videos."""

    takes_folders = True

    video: Path
    """A video or image, or a folder, of which each query finds the best."""
    text: tuple[str, ...] = ()
    """A sentence; give it once for each."""
    query: tuple[Path, ...] = ()
    """An image or clip that shows what to look for in a folder; give it once for each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.text or self.query):
            raise ConfigError("what shall be found? give --text, or --query with an image or clip")
        if not all(text.strip() for text in self.text):
            raise ConfigError("one --text is empty; give it words or leave it out")
        if missing := next((path for path in self.query if not path.is_file()), None):
            raise ConfigError(f"{missing}: no such image or clip to look for")
        if self.query and not self.video.is_dir():
            raise ConfigError(f"{self.video} is one video; --query looks for videos of a folder")


@dataclass(frozen=True, kw_only=True)
class FoundVideos:
    """The best videos for each query, with their scaled similarities."""

    of_query: dict[str, tuple[tuple[Record, float], ...]]

    def lines(self) -> list[str]:
        return [
            line
            for query, best in self.of_query.items()
            for line in (query, *(f"{score:8.3f}  {record.video}" for record, score in best))
        ]

    def to_json(self) -> dict[str, Any]:
        found = {
            query: [{"video": str(record.video), "score": score} for record, score in best]
            for query, best in self.of_query.items()
        }
        return {"found": found}


@dataclass(frozen=True, kw_only=True)
class Retrieval(Task):
    """Ranks by the similarity of embeddings."""

    name = "retrieval"
    summary = "text-to-video and video-to-text search"
    model_type = RetrieverModel
    metrics = ("*/r1", "*/r5", "*/r10", "*/median_rank", "*/mean_rank", "time/*")
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
    data_type = RetrievalData
    request_type = RetrievalRequest
    training = RetrievalTraining
    finetuning = RetrievalGuide()

    sentences: Literal["each", "joined", "first"] = "each"
    """What a record's captions are: a query each, one query all together (paragraphs of ActivityNet
    and DiDeMo), or only the first counts."""
    pair: Path | None = None
    """Run of a coordinated pair whose embeddings are scored as well."""
    inference: Inference = field(default_factory=Inference)

    def evaluate(
        self,
        model: Embedder,
        data: Annotations,
        *,
        videos: EmbeddedVideos | None = None,
        progress: Progress | None = None,
    ) -> RetrievalResult:
        """Rank all against all, by the coordinated pair as well where one is named.

        Raises:
            ConfigError: A record has no caption.
        """
        for record in data.records:
            sentences_of(record, self.sentences)  # fails before anything is decoded
        videos = embed_videos(model, data.records, self.inference, videos=videos, progress=progress)
        found = compare(model, data.records, videos, lambda r: sentences_of(r, self.sentences))
        similarity, video_of_text = found.similarity, found.video_of_text
        present = videos.present
        scores = {
            **retrieval_metrics(similarity, video_of_text, present=present),
            **time_scores(model, found, videos),
        }
        if self.pair is not None and isinstance(model, VideoTextModel):
            pair = model.coordinated_with(str(self.pair))
            theirs = replace(self, pair=None).evaluate(pair, data, progress=progress)
            scores |= {f"coordinated/{name}": value for name, value in theirs.scores.items()}
        return RetrievalResult(
            scores=scores,
            num_evaluated=int(present.sum()),
            num_total=len(videos.clips),
            failed=videos.failed,
            similarity=similarity,
            video_of_text=video_of_text,
            ranks=ranks(similarity.where(present, -float("inf")), video_of_text).where(
                present[video_of_text], len(videos.clips) - 1
            ),
            sentences=found.sentences,
            videos=videos.clips,
        )

    def predict(
        self, model: Embedder, request: RetrievalRequest, *, progress: Progress | None = None
    ) -> Answer:
        """Give the sentences closest to a video, or of a folder the videos closest to each query.

        Scores are scaled similarities.
        """
        if request.video.is_dir():
            records = ANNOTATIONS["videos"](request.video).records
            videos = self.embed(model, records, progress=progress)
            best = dict(zip(request.text, self.search(model, videos, request.text), strict=True))
            if request.query:
                like = self.search_like(model, videos, request.query)
                best |= dict(zip(map(str, request.query), like, strict=True))
            return FoundVideos(of_query={q: tuple(row[: request.top]) for q, row in best.items()})
        videos = embed_videos(model, [Record(video=request.video)], self.inference)
        scores = similarity_of(model, request.text, videos.embeddings)[:, 0]
        return RankedTexts.best(request.text, scores, top=request.top)

    def embed(
        self, model: Embedder, records: Sequence[Record], *, progress: Progress | None = None
    ) -> EmbeddedVideos:
        """Embed videos once, for any number of searches; those that fail are named in the log."""
        videos = embed_videos(model, records, self.inference, progress=progress)
        for failed in videos.failed:
            logger.warning("%s: left out (%s)", failed.path, failed.reason)
        return videos

    def search(
        self, model: Embedder, videos: EmbeddedVideos, sentences: Sequence[str]
    ) -> list[list[tuple[Record, float]]]:
        """For each sentence give all videos with their scaled similarity, the closest first."""
        if not sentences:
            return []
        return _ranked(videos, similarity_of(model, sentences, videos.embeddings[videos.present]))

    def search_like(
        self, model: Embedder, videos: EmbeddedVideos, queries: Sequence[Path]
    ) -> list[list[tuple[Record, float]]]:
        """For each image or clip give all videos, those that show the like first.

        Raises:
            TrainingError, DecodeError: An image or clip cannot be decoded.
        """
        asked = embed_videos(model, [Record(video=path) for path in queries], self.inference)
        if asked.failed:
            raise ConfigError(asked.failed[0].reason)
        rows = asked.embeddings[asked.of_record]
        return _ranked(videos, matching(model, rows, videos.embeddings[videos.present]))


def _ranked(
    videos: EmbeddedVideos, scores: Float[Tensor, "q v"]
) -> list[list[tuple[Record, float]]]:
    """All videos that could be read, the highest score first."""
    there = videos.present.nonzero()[:, 0].tolist()
    return [
        [(videos.clips[there[i]], float(row[i])) for i in row.argsort(descending=True).tolist()]
        for row in scores
    ]
