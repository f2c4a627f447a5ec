"""Text-video retrieval: ranks, recall at k, median and mean rank, both ways, with dual softmax.

Source: `metrics.py` and the end of `main_task_retrieval.py` in Video-Text-Retrieval of the
InternVideo release; the protocols of MSR-VTT (one sentence a video) and MSVD (several).
Shapes: similarity (l, v) of l texts and v videos; ranks count from 0; recalls lie in [0, 1].
Differs from the released code: several sentences need no padding; videos may be absent, and then
their texts count as missed; a score that is NaN is ranked last and not left out.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

CUTOFFS = (1, 5, 10)
_ROWS = 256


def ranks(
    similarity: Float[Tensor, "queries gallery"], targets: Int64[Tensor, " queries"]
) -> Int64[Tensor, " queries"]:
    """Count what stands before each query's target; of equal scores the earlier stands first."""
    above, _, earlier = _counts(similarity, targets)
    return above + earlier


def tied_ranks(
    similarity: Float[Tensor, "queries gallery"], targets: Int64[Tensor, " queries"]
) -> Int64[Tensor, " places"]:
    """List all the places that each target shares with those of equal score, query by query.

    A target tied with k others gives k + 1 ranks, so there may be more ranks than queries.
    """
    above, equal, _ = _counts(similarity, targets)
    counts = equal.clamp(min=1)  # a NaN equals nothing, and must not drop out
    firsts = torch.cumsum(counts, 0) - counts
    places = torch.arange(int(counts.sum()), device=similarity.device)
    return (above - firsts).repeat_interleave(counts) + places


def _counts(
    similarity: Float[Tensor, "queries gallery"], targets: Int64[Tensor, " queries"]
) -> Int64[Tensor, "3 queries"]:
    """Count what scores above each target, what scores the same, and what of that is earlier."""
    column = torch.arange(similarity.shape[1], device=similarity.device)
    found = []
    # A few rows at a time stay in the processor's cache.
    for scores, wanted in zip(
        similarity.contiguous().split(_ROWS), targets.split(_ROWS), strict=True
    ):
        own = scores.gather(1, wanted[:, None])
        equal = scores == own
        # Not `scores > own`: whatever is compared with NaN counts against the query.
        above = (~(scores <= own)).sum(1)
        earlier = (equal & (column < wanted[:, None])).sum(1)
        found.append(torch.stack([above, equal.sum(1), earlier]))
    return torch.cat(found, dim=1)


def recall_and_ranks(
    places: Int64[Tensor, " places"], *, lower_median: bool = False
) -> dict[str, float]:
    """Summarise ranks as `r1`, `r5`, `r10`, `median_rank`, `mean_rank`; the best rank is 1.

    The median of an even number is the mean of the middle two, or the lower with `lower_median`.
    """
    if not len(places):
        return dict.fromkeys(
            [*(f"r{k}" for k in CUTOFFS), "median_rank", "mean_rank"], float("nan")
        )
    in_order = places.double().sort().values
    lower, upper = in_order[(len(places) - 1) // 2], in_order[len(places) // 2]
    median = lower if lower_median else (lower + upper) / 2
    return {
        **{f"r{k}": float((places < k).double().mean()) for k in CUTOFFS},
        "median_rank": float(median) + 1,
        "mean_rank": float(in_order.mean()) + 1,
    }


def two_way_accuracy(true: Float[Tensor, " pairs"], false: Float[Tensor, " pairs"]) -> float:
    """Share of pairs whose true sentence scores higher; a tie is half, a NaN is wrong."""
    return float(((true > false) + 0.5 * (true == false)).double().mean())


def dual_softmax(similarity: Float[Tensor, "l v"]) -> Float[Tensor, "l v"]:
    """Weigh each score by its share among all rows of its column; needs the whole test set.

    Source: Cheng et al. 2021, "Improving Video-Text Retrieval by Multi-Stream Corpus Alignment and
    Dual Softmax Loss" (arXiv:2109.04290), equation 4.
    """
    return similarity * similarity.softmax(0)


def best_of_each_video(
    similarity: Float[Tensor, "l v"], video_of_text: Int64[Tensor, " l"], num_videos: int
) -> Float[Tensor, "v {num_videos}"]:
    """Score every video against every video's sentences: the highest of them."""
    best = similarity.new_full((num_videos, similarity.shape[1]), -torch.inf)
    index = video_of_text[:, None].expand_as(similarity)
    return best.scatter_reduce(0, index, similarity, "amax").T


def retrieval_metrics(
    similarity: Float[Tensor, "l v"],
    video_of_text: Int64[Tensor, " l"],
    *,
    present: Bool[Tensor, " v"] | None = None,
) -> dict[str, float]:
    """Rank videos for texts and texts for videos, plainly and with dual softmax.

    With one sentence a video all metrics are those of MSR-VTT's protocol, else those of MSVD's:
    the median for texts is the lower one, their ties go by the order of the gallery, and the dual
    softmax of both directions runs over the texts.

    Args:
        similarity: Scaled as the model scales it (dual softmax depends on the scale).
        video_of_text: Column that each text describes; every video has a text.
        present: False for videos that could not be read. They are in no gallery, and they and
            their texts count as missed: behind the whole gallery and beyond every cut-off.

    Returns:
        `t2v/r1`, ..., `v2t/mean_rank`, and the same under `t2v_dsl` and `v2t_dsl`.
    """
    num_videos = similarity.shape[1]
    if present is None:
        present = torch.ones(num_videos, dtype=torch.bool, device=similarity.device)
    scores, found = similarity[:, present], present[video_of_text]
    column = torch.cumsum(present, 0) - 1
    several = len(video_of_text) > num_videos
    last = max(num_videos, *CUTOFFS)

    def of_texts(scores: Float[Tensor, "l v"]) -> dict[str, float]:
        ranked = (ranks if several else tied_ranks)(scores[found], column[video_of_text[found]])
        missed = ranked.new_full((int((~found).sum()),), last)
        return recall_and_ranks(torch.cat([ranked, missed]), lower_median=several)

    def of_videos(scores: Float[Tensor, "v all"]) -> dict[str, float]:
        ranked = tied_ranks(scores, present.nonzero()[:, 0])
        missed = ranked.new_full((int((~present).sum()),), last)
        return recall_and_ranks(torch.cat([ranked, missed]))

    weighted = dual_softmax(scores)
    plain_videos = best_of_each_video(scores, video_of_text, num_videos)
    weighted_videos = (
        best_of_each_video(weighted, video_of_text, num_videos)
        if several
        else dual_softmax(plain_videos)
    )
    results = {
        "t2v": of_texts(scores),
        "t2v_dsl": of_texts(weighted),
        "v2t": of_videos(plain_videos),
        "v2t_dsl": of_videos(weighted_videos),
    }
    return {f"{way}/{name}": v for way, summary in results.items() for name, v in summary.items()}
