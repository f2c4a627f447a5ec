"""How well a score tells unknown samples from known ones, and where to draw the line.

Source: `compare_openness_new.py` and `get_threshold_dist.py` of Open-Set-Action-Recognition in the
InternVideo release; energy after Liu et al. 2020, "Energy-based Out-of-distribution Detection"
(arXiv:2010.03759). Shapes: novelty (b), higher for what seems less known; unknown (b) True for
samples of no known class.
Differs from the released code: its threshold takes the 5th percentile, ours the 95th, as DEAR's.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def open_set_metrics(novelty: Float[Tensor, " b"], unknown: Bool[Tensor, " b"]) -> dict[str, float]:
    """Give `auroc`, `aupr` and `fpr95`; unknown samples are the positive ones."""
    return {
        "auroc": auroc(novelty, unknown),
        "aupr": area_under_precision(novelty, unknown),
        "fpr95": false_alarms_at_recall(novelty, unknown),
    }


def auroc(scores: Float[Tensor, " b"], positive: Bool[Tensor, " b"]) -> float:
    """Chance that a positive sample scores above a negative one; ties count half.

    NaN where one of the two kinds is missing.
    """
    hits, alarms = _curve(scores, positive)
    return float(torch.trapezoid(hits, alarms))


def area_under_precision(scores: Float[Tensor, " b"], positive: Bool[Tensor, " b"]) -> float:
    """Area under precision over recall, between thresholds by straight lines, from (0, 1) on.

    As released; average precision, without the lines, is lower. NaN without positives.
    """
    found, kept = _counts(scores, positive)
    start = found.new_zeros(1)
    recall = torch.cat([start, found / found[-1:]])
    return float(torch.trapezoid(torch.cat([start + 1, found / kept]), recall))


def false_alarms_at_recall(
    scores: Float[Tensor, " b"], positive: Bool[Tensor, " b"], *, recall: float = 0.95
) -> float:
    """Share of negatives above the threshold whose recall of positives is nearest to `recall`.

    As released: only corners of the curve are thresholds, and of equally near ones the highest is
    taken. NaN where one of the two kinds is missing.
    """
    hits, alarms = _curve(scores, positive, only_corners=True)
    return float(alarms[(hits - recall).abs().argmin()])


def acceptance_threshold(novelty: Float[Tensor, " b"], *, accepted: float = 0.95) -> float:
    """Novelty that this share of known (training) samples lies below, as DEAR takes it.

    What lies at it or below is accepted.
    """
    count = int(len(novelty) * accepted) + 1
    return float(novelty.kthvalue(min(count, len(novelty))).values)


def negative_energy(logits: Float[Tensor, "b y"]) -> Float[Tensor, " b"]:
    """Logarithm of the summed exponentials of the logits: high for what is known."""
    return logits.float().logsumexp(1)


def _curve(
    scores: Float[Tensor, " b"], positive: Bool[Tensor, " b"], *, only_corners: bool = False
) -> tuple[Float[Tensor, " thresholds"], Float[Tensor, " thresholds"]]:
    """Recall of positives and share of negatives from the threshold above everything down."""
    found, kept = _counts(scores, positive)
    alarms = kept - found
    if only_corners and len(found) > 2:
        end = torch.ones(1, dtype=torch.bool)
        turns = (found.diff(n=2) != 0) | (alarms.diff(n=2) != 0)
        corner = torch.cat([end, turns, end])
        found, alarms = found[corner], alarms[corner]
    start = found.new_zeros(1)
    return torch.cat([start, found / found[-1:]]), torch.cat([start, alarms / alarms[-1:]])


def _counts(
    scores: Float[Tensor, " b"], positive: Bool[Tensor, " b"]
) -> tuple[Float[Tensor, " thresholds"], Float[Tensor, " thresholds"]]:
    """Positives and all samples at or above every different score, the highest first."""
    order = scores.argsort(descending=True)
    ordered = scores[order]
    last_of_ties = torch.cat([ordered[1:] != ordered[:-1], torch.ones(1, dtype=torch.bool)])
    found = positive[order].double().cumsum(0)[last_of_ties]
    return found, (last_of_ties.nonzero()[:, 0] + 1).double()
