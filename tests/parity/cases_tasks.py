"""Checks of recorded cases: retrieval, multiple choice and zero-shot scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from internvideo.heads import (
    TokenWeights,
    equal_weights,
    mean_frame_similarity,
    token_similarity,
)
from internvideo.metrics import (
    best_of_each_video,
    choice_scores,
    dual_softmax,
    prompt_probabilities,
    ranks,
    retrieval_metrics,
    tied_ranks,
    top_k_accuracy,
)
from internvideo.objectives import dual_softmax_loss
from tests.parity.case import Case

# Our name of a direction to the official one.
DIRECTIONS = {
    "t2v": "tv_metrics",
    "v2t": "vt_metrics",
    "t2v_dsl": "dsl_tv_metrics",
    "v2t_dsl": "dsl_vt_metrics",
}


def _official(metrics: dict[str, float], way: str) -> dict[str, float]:
    """Our metrics of one direction under the official names, recalls in percent."""
    own = {name.split("/")[1]: v for name, v in metrics.items() if name.startswith(f"{way}/")}
    recalls = {f"R{k}": 100 * own[f"r{k}"] for k in (1, 5, 10)}
    median = own["median_rank"]
    return {**recalls, "MR": median, "MedianR": median, "MeanR": own["mean_rank"]}


def check_retrieval(case: Case) -> None:
    similarity, given = case.tensor("inputs/similarity"), case.data["inputs"] or {}
    num_texts, num_videos = similarity.shape
    ends = given.get("cut_off_points") or list(range(1, num_videos + 1))
    video_of_text = torch.bucketize(torch.arange(num_texts), torch.tensor(ends), right=True)
    metrics = retrieval_metrics(similarity, video_of_text)
    listed = _listed_ranks(similarity, video_of_text, num_videos)
    for way, official in DIRECTIONS.items():
        expected: dict[str, Any] = case.data["expected"][official]
        spread = float(listed[way].double().std(correction=0))
        got = {**_official(metrics, way), "cols": listed[way].tolist(), "Std_Rank": spread}
        case.equal(official, {name: got[name] for name in expected}, expected)


def _listed_ranks(similarity: Tensor, video_of_text: Tensor, num_videos: int) -> dict[str, Tensor]:
    own, several = torch.arange(num_videos), len(similarity) > num_videos
    videos = best_of_each_video(similarity, video_of_text, num_videos)
    of_texts = ranks if several else tied_ranks
    weighted = dual_softmax(similarity)
    weighted_videos = (
        best_of_each_video(weighted, video_of_text, num_videos) if several else dual_softmax(videos)
    )
    return {
        "t2v": of_texts(similarity, video_of_text),
        "t2v_dsl": of_texts(weighted, video_of_text),
        "v2t": tied_ranks(videos, own),
        "v2t_dsl": tied_ranks(weighted_videos, own),
    }


def check_retrieval_similarity(case: Case) -> None:
    given = case.group("inputs")
    case.require(dim=given["text"].shape[-1])
    text, tokens, frames = given["text"], given["text_tokens"], given["video"]
    padded_tokens, padded_frames = given["text_mask"] == 0, given["video_mask"] == 0
    scale = given["logit_scale"].exp()

    logits = scale * mean_frame_similarity(text, frames, padded_frames)
    pairs = torch.arange(len(logits))
    losses = [F.cross_entropy(logits, pairs), F.cross_entropy(logits.T, pairs)]
    case.close("logits_meanP", logits)
    case.close("loss_text_to_video", losses[0].reshape(1))
    case.close("loss_video_to_text", losses[1].reshape(1))
    case.close("loss", (sum(losses) / 2).reshape(1))
    case.close("loss_dual_softmax_per_row", dual_softmax_loss(logits))

    masks = {"padded_tokens": padded_tokens, "padded_frames": padded_frames}
    equal = {
        "token_weights": equal_weights(padded_tokens),
        "frame_weights": equal_weights(padded_frames),
    }
    case.close("logits_ti", token_similarity(tokens, frames, **equal, **masks))
    weights = TokenWeights(tokens.shape[-1])
    weights.load_state_dict(case.group("weights"))
    learned = {
        "token_weights": weights.of_tokens(tokens, padded_tokens),
        "frame_weights": weights.of_frames(frames, padded_frames),
    }
    case.close("logits_wti", token_similarity(tokens, frames, **learned, **masks))


def check_multiple_choice(case: Case) -> None:
    given = case.group("inputs")
    options = rearrange(given["text"], "(b y) e -> b y e", y=case.config["options"])
    scores = choice_scores(given["video"], options, given["logit_scale"])
    case.close("scores", scores)
    case.close("loss", F.cross_entropy(scores, given["answers"]).reshape(1))
    accuracy = top_k_accuracy(scores, given["answers"])
    case.equal("accuracy", accuracy, case.data["expected"]["accuracy"])


def check_zero_shot(case: Case) -> None:
    given = case.group("inputs")
    num_prompts = case.config["templates"]
    prompts = rearrange(given["text"], "(p y) e -> p y e", p=num_prompts, y=case.config["classes"])
    probabilities = prompt_probabilities(given["video"], prompts, given["logit_scale"])
    case.close("probability", probabilities)
    case.close("top5", probabilities.topk(case.tensor("expected/top5").shape[1]).indices)
    accuracy = top_k_accuracy(probabilities, given["labels"])
    case.equal("top1_accuracy", accuracy, case.data["expected"]["top1_accuracy"])


CHECKS: dict[str, Callable[[Case], None]] = {
    "retrieval_similarity": check_retrieval_similarity,
    "retrieval": check_retrieval,
    "multiple_choice": check_multiple_choice,
    "zero_shot": check_zero_shot,
}
