"""Scores of videos with sentences while a model is trained: retrieval, time, choices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.metrics import retrieval_metrics, top_k_accuracy
from internvideo.tasks.shared.inference import EmbeddedVideos, Embedder
from internvideo.tasks.shared.matching import compare, own_similarity, sentences_of, time_scores
from internvideo.values import Record


def score_held_out(
    model: Embedder, records: Sequence[Record], videos: EmbeddedVideos
) -> dict[str, float]:
    """Retrieval among records with captions, whether time is read; accuracy among options.

    Where every record has options these alone are scored.
    """
    if all(record.candidates for record in records):
        scores, answers = option_scores(model, records, videos)
        return {"accuracy": top_k_accuracy(scores, answers)}
    compared = compare(model, records, videos, lambda record: sentences_of(record, "each"))
    found = retrieval_metrics(compared.similarity, compared.video_of_text, present=videos.present)
    return {
        **found,
        **time_scores(model, compared, videos),
        "videos": float(videos.present.sum()),
    }


def option_scores(
    model: Embedder, records: Sequence[Record], videos: EmbeddedVideos
) -> tuple[Float[Tensor, "b y"], Int64[Tensor, " b"]]:
    """Scaled similarities of each record's options, and the places of the right ones.

    Minus infinity past a question's last option, NaN where the video failed.
    """
    groups = [record.statements for record in records]
    sizes = torch.tensor([len(group) for group in groups])
    rows = videos.embeddings[videos.of_record].repeat_interleave(sizes, dim=0)
    found = own_similarity(model, [option for group in groups for option in group], rows)
    given = torch.arange(int(sizes.max())) < sizes[:, None]
    scores = found.new_full(given.shape, -torch.inf)
    scores[given] = found
    return scores, torch.tensor([answer_of(record) for record in records], dtype=torch.int64)


def answer_of(record: Record) -> int:
    """The place of the right option; raises `ConfigError` where it is not among them."""
    if record.answer is None or record.answer not in record.candidates:
        raise ConfigError(
            f"{record.video}: its answer {record.answer!r} is not one of its options "
            f"{list(record.candidates)}"
        )
    return record.candidates.index(record.answer)
