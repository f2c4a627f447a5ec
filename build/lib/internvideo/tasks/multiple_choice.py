"""Zero-shot multiple choice: which of a few sentences describes the video.

Source: `scripts/zs_choice_*.sh` and `compute_multiple_choice` of multi-modalities-downstream in the
InternVideo release (the highest cosine; no dual softmax).
Differs from the released code: questions may have different numbers of options; a video that
cannot be decoded counts as wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.metrics import choice_scores, top_k_accuracy
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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MultipleChoiceResult:
    """`accuracy` over all questions, and `chance`, what guessing would give.

    `options` are scaled cosines, minus infinity past a question's last option, NaN where the video
    failed.
    """

    scores: dict[str, float]
    num_evaluated: int
    num_total: int
    failed: tuple[FailedVideo, ...]
    options: Float[Tensor, "b y"]
    answers: Int64[Tensor, " b"]
    questions: tuple[Record, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MultipleChoice:
    """Chooses among a record's `candidates`, of which one is its `answer`."""

    viewing: Viewing = field(default_factory=Viewing)

    def evaluate(
        self,
        embedder: Embedder,
        annotations: Annotations,
        *,
        videos: EmbeddedVideos | None = None,
        progress: Progress | None = None,
    ) -> MultipleChoiceResult:
        """Answer every record; raises `ConfigError` where its answer is not among the options."""
        records = annotations.records
        answers = torch.tensor([_answer(record) for record in records], dtype=torch.int64)
        videos = embed_videos(embedder, records, self.viewing, videos=videos, progress=progress)
        embeddings = videos.embeddings[videos.of_record]
        scores = _scores(embedder, embeddings, [record.candidates for record in records])
        guesses = [1 / len(record.candidates) for record in records]
        return MultipleChoiceResult(
            scores={
                "accuracy": top_k_accuracy(scores, answers),
                "chance": sum(guesses) / len(guesses),
            },
            num_evaluated=int(videos.present[videos.of_record].sum()),
            num_total=len(records),
            failed=videos.failed,
            options=scores,
            answers=answers,
            questions=records,
        )

    def predict(
        self, embedder: Embedder, video: Path, options: Sequence[str]
    ) -> list[tuple[str, float]]:
        """Give every option with its share of the softmax over them, the best first."""
        seen = embed_videos(embedder, [Record(video=video)], self.viewing)
        shares = _scores(embedder, seen.embeddings, [tuple(options)])[0].softmax(0)
        return [(options[i], float(shares[i])) for i in shares.argsort(descending=True).tolist()]


def _answer(record: Record) -> int:
    if record.answer is None or record.answer not in record.candidates:
        raise ConfigError(
            f"{record.video}: its answer {record.answer!r} is not one of its options "
            f"{list(record.candidates)}"
        )
    return record.candidates.index(record.answer)


def _scores(
    embedder: Embedder, videos: Float[Tensor, "b e"], options: Sequence[tuple[str, ...]]
) -> Float[Tensor, "b y"]:
    sentences = embed_sentences(embedder, [option for group in options for option in group])
    sizes = torch.tensor([len(group) for group in options])
    given = torch.arange(int(sizes.max())) < sizes[:, None]
    padded = sentences.new_zeros(*given.shape, sentences.shape[1])
    padded[given] = sentences
    scale = embedder.logit_scale.detach().float().cpu()
    return choice_scores(videos, padded, scale).masked_fill(~given, -torch.inf)
