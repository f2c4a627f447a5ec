"""Checks of recorded cases: question answering and navigation."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from internvideo.metrics import (
    UNKNOWN_ANSWER,
    Episode,
    answer_labels,
    dynamic_time_warping,
    fast_dtw,
    navigation_metrics,
    open_ended_accuracy,
    resample,
)
from tests.parity.case import Case, plain


def check_vqa_accuracy(case: Case) -> None:
    given, expected = case.data["inputs"], case.data["expected"]
    logits = case.tensor("inputs/logits")
    labels = answer_labels(given["answers"], dict(given["answer_to_label"]))
    scores = open_ended_accuracy(logits, labels)
    case.close("labels", labels)
    case.close("predictions", logits.argmax(1))
    names = {
        "accuracy_in_vocabulary": "accuracy_official_ignoring_unknown_answers",
        "accuracy": "accuracy_counting_unknown_answers_as_wrong",
    }
    for ours, theirs in names.items():
        case.equal(theirs, scores[ours], expected[theirs])
    batches = zip(
        logits.split(case.config["batch"]), labels.split(case.config["batch"]), strict=True
    )
    got = [open_ended_accuracy(*batch)["accuracy_in_vocabulary"] for batch in batches]
    case.equal("per_batch", got, expected["per_batch"])
    loss = F.cross_entropy(logits, labels, ignore_index=UNKNOWN_ANSWER).item()
    case.equal("loss", loss, expected["loss_cross_entropy_ignoring"])
    case.equal("n", len(labels), expected["n"])
    unknown = round(scores["unknown_answer_rate"] * len(labels))
    case.equal("n_unknown", unknown, expected["n_unknown"])


def check_navigation(case: Case) -> None:
    radius, step_m = case.config["success_distance"], case.config["densify_step"]
    episodes = []
    for given, expected in zip(case.data["inputs"], case.data["expected"]["episodes"], strict=True):
        reference, decided = plain(given["gt_locations"]), plain(given["positions"])
        # Without the simulator's own steps the path between decisions is taken as straight.
        path = plain(given["current_path"]) or resample(decided, step_m=step_m).tolist()
        episode = Episode(
            path=path,
            reference_path=reference,
            distances_m=plain(given["distances"]),
            stopped=given["last_action"] == 0,
            num_decisions=given["steps"],
            collided=plain(given["collisions"]) or (),
        )
        ours = navigation_metrics(episode, success_distance_m=radius, step_m=step_m)
        ours.pop("sdtw")
        wanted = resample(reference, step_m=step_m)
        sparse = decided, reference

        def ndtw(cost: float, count: int) -> float:
            return float(torch.tensor(-cost / (count * radius), dtype=torch.float64).exp())

        # What the release computes elsewhere, out of the same parts.
        ours |= {
            "ndtw_with_exact_dtw": ndtw(dynamic_time_warping(path, wanted), len(wanted)),
            "ndtw_measure_sparse_fastdtw": ndtw(fast_dtw(*sparse), len(reference)),
            "ndtw_measure_sparse_exact": ndtw(dynamic_time_warping(*sparse), len(reference)),
            "densified_length_path": float(len(path)),
            "densified_length_gt": float(len(wanted)),
            "oracle_success_measure_strict": float(min(given["distances"]) < radius),
        }
        case.equal("episode", ours, expected)
        episodes.append(ours)
    mean = {name: sum(e[name] for e in episodes) / len(episodes) for name in episodes[0]}
    case.equal("mean", mean, case.data["expected"]["mean"])


CHECKS: dict[str, Callable[[Case], None]] = {
    "vqa_accuracy": check_vqa_accuracy,
    "vln_ce_metrics": check_navigation,
}
