"""Comparing videos with sentences: similarities, retrieval scores, and whether time is read.

Shapes: rows of videos (v, e) and of sentences (l, d), as an `Embedder` gives them, d = e but for a
`Matcher` -> scaled similarities (l, v); NaN rows are of videos that could not be read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.metrics import two_way_accuracy
from internvideo.tasks.shared.inference import EmbeddedVideos, Embedder, embed_sentences
from internvideo.text import time_pairs
from internvideo.values import Record

_ROWS_AT_A_TIME = 64


@runtime_checkable
class Matcher(Embedder, Protocol):
    """An embedder whose rows are not compared by their cosine."""

    def match(self, texts: Float[Tensor, "l d"], videos: Float[Tensor, "v e"]) -> Tensor:
        """Compare rows of sentences with rows of videos, as (l, v)."""
        ...


def matching(
    model: Embedder, texts: Float[Tensor, "l d"], videos: Float[Tensor, "v e"]
) -> Float[Tensor, "l v"]:
    """Scaled similarities of rows with rows of videos; the former are sentences, or videos too."""
    scale = model.logit_scale.detach().float().cpu().exp()
    if isinstance(model, Matcher):
        parts = [model.match(part, videos) for part in texts.split(_ROWS_AT_A_TIME)]
        return scale * torch.cat(parts)
    return scale * F.normalize(texts, dim=-1) @ F.normalize(videos, dim=-1).T


def similarity_of(
    model: Embedder, sentences: Sequence[str], videos: Float[Tensor, "v e"]
) -> Float[Tensor, "l v"]:
    """Scaled similarities of sentences and rows of videos."""
    return matching(model, embed_sentences(model, sentences), videos)


def own_similarity(
    model: Embedder, sentences: Sequence[str], videos: Float[Tensor, "l e"]
) -> Float[Tensor, " l"]:
    """Scaled similarity of each sentence to the video of the same place."""
    texts = embed_sentences(model, sentences)
    if not isinstance(model, Matcher):
        scale = model.logit_scale.detach().float().cpu().exp()
        return scale * F.cosine_similarity(texts, videos)
    pairs = zip(texts.split(1), videos.split(1), strict=True)
    return torch.cat([matching(model, *pair)[0] for pair in pairs])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Compared:
    """All sentences of records against all their different clips."""

    sentences: tuple[str, ...]
    video_of_text: Int64[Tensor, " l"]
    similarity: Float[Tensor, "l v"]


def compare(
    model: Embedder,
    records: Sequence[Record],
    videos: EmbeddedVideos,
    queries: Callable[[Record], tuple[str, ...]],
) -> Compared:
    """Compare what `queries` takes of each record with all the videos."""
    groups = [queries(record) for record in records]
    sentences = tuple(sentence for group in groups for sentence in group)
    sizes = torch.tensor([len(group) for group in groups])
    return Compared(
        sentences=sentences,
        video_of_text=videos.of_record.repeat_interleave(sizes),
        similarity=similarity_of(model, sentences, videos.embeddings),
    )


def time_scores(model: Embedder, compared: Compared, videos: EmbeddedVideos) -> dict[str, float]:
    """Two-way accuracy on the pairs of a true and a false sentence that `time_pairs` makes.

    Each kind has `time/KIND`, where guessing gives 0.5, and `time/num_KIND` of pairs; without any
    pair it has neither. A video that could not be read is wrong.
    """
    pairs: dict[str, list[tuple[int, str, str]]] = {}
    for place, said in enumerate(compared.sentences):
        for kind, (true, false) in time_pairs(said).items():
            pairs.setdefault(kind, []).append((place, true, false))
    scores: dict[str, float] = {}
    for kind, of_kind in sorted(pairs.items()):
        places = torch.tensor([place for place, _, _ in of_kind])
        rows = videos.embeddings[compared.video_of_text[places]]
        true = own_similarity(model, [said for _, said, _ in of_kind], rows)
        false = own_similarity(model, [said for _, _, said in of_kind], rows)
        scores[f"time/{kind}"] = two_way_accuracy(true, false)
        scores[f"time/num_{kind}"] = float(len(of_kind))
    return scores


def sentences_of(record: Record, how: str) -> tuple[str, ...]:
    """Queries of a record: each of its captions, all joined, or the first.

    Raises:
        ConfigError: It has none.
    """
    if not record.captions:
        raise ConfigError(f"{record.video}: has no caption; retrieval needs one of each video")
    if how == "joined":
        return (" ".join(record.captions),)
    return record.captions if how == "each" else record.captions[:1]
