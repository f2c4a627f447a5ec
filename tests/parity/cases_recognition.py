"""Checks of recorded cases: merging views, ensembles, evidential losses, open-set metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from internvideo.metrics import (
    acceptance_threshold,
    merge_views,
    open_set_metrics,
    top_k_accuracy,
)
from internvideo.objectives import (
    EvidentialLoss,
    evidential_probabilities,
    evidential_terms,
    evidential_uncertainty,
)
from tests.parity.case import Case

OUR_NAME = {"loss_cls": "cls", "loss_var": "var", "loss_kl": "kl", "loss_avu": "calibration"}


def _views(shards: Iterable[list[Any]]) -> dict[str, tuple[int, Tensor]]:
    """Label and logits of the views of each video, without repeated views."""
    rows: dict[str, dict[str, list[float]]] = {}
    labels: dict[str, int] = {}
    for name, logits, label, chunk, split in (row for shard in shards for row in shard):
        labels[name] = label
        rows.setdefault(name, {}).setdefault(f"{chunk}{split}", logits)  # no separator: official
    return {
        name: (labels[name], torch.tensor(list(views.values()), dtype=torch.float64))
        for name, views in rows.items()
    }


def _merged(views: dict[str, tuple[int, Tensor]], *others: Any, softmax: bool) -> Any:
    """Merged scores and labels of all videos, over the views of several models."""
    pooled = [torch.cat([part[name][1] for part in (views, *others)]) for name in views]
    video = torch.arange(len(pooled)).repeat_interleave(torch.tensor([len(p) for p in pooled]))
    scores = torch.cat(pooled)
    scores = scores.softmax(1) if softmax else scores
    labels = torch.tensor([label for label, _ in views.values()])
    return merge_views(scores, video, len(pooled)), labels


def check_multiview_merge(case: Case) -> None:
    views = {name: _views(shards) for name, shards in case.data["inputs"].items()}
    case.config.without_effect("views")  # some of them are missing or twice in the shards
    first, *others = views.values()
    got = {
        "merge_prob": _merged(first, softmax=True),
        "merge_score": _merged(first, softmax=False),
        "ensemble_a_b_softmax": _merged(first, *others, softmax=True),
        "ensemble_a_b_raw": _merged(first, *others, softmax=False),
    }
    expected = case.data["expected"]
    for name, (scores, labels) in got.items():
        accuracies = [100 * top_k_accuracy(scores, labels, k=k) for k in (1, 5)]
        case.equal(name, accuracies, expected[name])
    merged = dict(zip(first, got["merge_prob"][0].tolist(), strict=True))
    case.equal("merged_probability_a", merged, expected["merged_probability_a"])
    kept = {name: len(logits) for name, (_, logits) in first.items()}
    case.equal("views_kept_a", kept, expected["views_kept_a"])


def check_multiview_testmeter(case: Case) -> None:
    given, num_views = case.group("inputs"), case.config["clips"]
    case.require(classes=given["clip_scores"].shape[1])
    video, count = given["clip_ids"] // num_views, case.config["videos"]
    merged = merge_views(given["clip_scores"], video, count, by=case.config["method"])
    case.close("video_scores", merged)
    labels = torch.zeros(count, dtype=torch.int64).index_copy(0, video, given["labels"])
    case.close("video_labels", labels)
    case.close("clip_count", torch.bincount(video, minlength=count))


def check_average_clips(case: Case) -> None:
    scores, num_views = case.tensor("inputs/scores"), case.config["views"]
    video = torch.arange(len(scores)) // num_views
    count = len(scores) // num_views
    mean = merge_views(scores, video, count)
    case.close("score", mean)
    case.close("prob", merge_views(scores.softmax(1), video, count))
    kinds = [k.removeprefix("evidence_") for k in case.group("expected") if "evidence_" in k]
    for kind in kinds:
        probabilities = evidential_probabilities(scores, kind)
        case.close(f"evidence_{kind}", merge_views(probabilities, video, count))
    case.close("uncertainty_from_mean_score_exp", evidential_uncertainty(mean, "exp"))
    uncertainty = case.tensor("inputs/train_uncertainty")
    right = acceptance_threshold(uncertainty)
    case.close("threshold_original_descending", torch.tensor([right]))
    # The slip of the released script is ours only as what it is: counting from the wrong end.
    slip = -acceptance_threshold(-uncertainty)
    case.close("threshold_internvideo", torch.tensor([slip]))


def check_open_set(case: Case) -> None:
    given = case.group("inputs")
    logits, labels = given["logits"], given["labels"]
    for number, variant in enumerate(case.config["variants"]):
        for epoch in case.config["epochs"]:
            _check_variant(case, f"{number}/epoch{epoch}", variant, epoch)
    unknown = torch.arange(len(logits) + len(given["logits_unknown"])) >= len(logits)
    scores, expected = {}, case.data["expected"]
    for name in expected:
        if name.endswith("_continuous"):
            kind = name.removeprefix("edl_").removesuffix("_continuous")
            parts = [evidential_uncertainty(p, kind) for p in (logits, given["logits_unknown"])]
            case.close(f"uncertainty_{kind}_known", parts[0])
            case.close(f"uncertainty_{kind}_unknown", parts[1])
            case.close(f"probability_{kind}_known", evidential_probabilities(logits, kind))
            scores[name] = torch.cat(parts)
            half = sum(part.mean() for part in parts) / 2
            thresholded = f"edl_{kind}_threshold_half_of_sum_of_mean_uncertainties"
            scores[thresholded] = (scores[name] > half).float()
    likely = torch.cat([logits, given["logits_unknown"]]).softmax(1).amax(1)
    scores["softmax_max_prob"] = 1 - likely
    accuracy = top_k_accuracy(logits, labels)
    got = {
        name: {"closed_set_accuracy": accuracy, **open_set_metrics(score, unknown)}
        for name, score in scores.items()
    }
    case.equal("metrics", got, expected)
    _check_passes(case, logits)


def _check_variant(case: Case, prefix: str, variant: dict[str, Any], epoch: int) -> None:
    given = case.group("inputs")
    kind = variant["loss_type"]
    config = EvidentialLoss(
        evidence=variant["evidence"],
        kind=kind,
        kl=variant.get("with_kldiv", False),
        calibrated=variant.get("with_avuloss", False) and kind in ("log", "digamma"),
        disentangled=variant.get("disentangle", False),
        annealing=variant["annealing_method"],
        annealing_start=case.config["annealing_start"],
        annealing_epochs=case.config["annealing_step"],
    )
    logits, labels = given["logits"].clone().requires_grad_(), given["labels"]
    coefficient = config.coefficient(epoch, case.config["total_epoch"])
    terms = evidential_terms(logits, labels, config, coefficient=coefficient)
    expected = case.group(f"expected/{prefix}")
    official = {name for name in expected if name.startswith("loss_")}
    case.equal(f"{prefix} terms", sorted(terms), sorted(OUR_NAME[name] for name in official))
    for name in official:
        term = terms[OUR_NAME[name]].detach()
        case.close(f"{prefix}/{name}", term.reshape(expected[name].shape))
    sum(term.mean() for term in terms.values()).backward()
    case.close(f"{prefix}/grad_of_sum_of_mean_losses", logits.grad)
    case.close(f"{prefix}/lambda", torch.tensor([coefficient]))
    uncertainty = evidential_uncertainty(given["logits"], config.evidence)
    case.close(f"{prefix}/uncertainty", rearrange(uncertainty, "b -> b 1"))
    total = given["logits"].shape[1] / uncertainty - given["logits"].shape[1]
    right = given["logits"].argmax(1) == labels
    for name, chosen in (("evidence_succ", right), ("evidence_fail", ~right)):
        case.close(f"{prefix}/{name}", total[chosen].mean().reshape(1))


def _check_passes(case: Case, logits: Tensor) -> None:
    """Entropy and mutual information of three passes, plain formulas that we do not offer."""
    passes = torch.stack([logits, 0.7 * logits + 0.3, 0.2 * logits.flip(0) + 0.8 * logits])
    probabilities = passes.softmax(-1)
    mean = probabilities.mean(0)
    entropy = -(mean * mean.log()).sum(1)
    case.close("entropy", entropy)
    case.close("bald", entropy + (probabilities * probabilities.log()).sum(-1).mean(0))


CHECKS: dict[str, Callable[[Case], None]] = {
    "multiview_merge": check_multiview_merge,
    "multiview_testmeter": check_multiview_testmeter,
    "open_set_average_clips": check_average_clips,
    "open_set": check_open_set,
}
