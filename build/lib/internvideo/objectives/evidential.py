"""Evidential classification: logits are evidence for classes, and little evidence is uncertainty.

Source: Sensoy et al. 2018, "Evidential Deep Learning to Quantify Classification Uncertainty"
(arXiv:1806.01768), and Bao et al. 2021, "Evidential Deep Learning for Open Set Action Recognition"
(DEAR, arXiv:2107.10161), whose loss the InternVideo release uses without its KL term
(`edl_loss.py` of Open-Set-Action-Recognition).
Shapes: logits (b, y) -> probabilities (b, y), uncertainty (b), terms of the loss (b).
Differs from the released code: every term has one number a sample; the coefficient of annealing
and the statistics of evidence are not among the losses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.errors import ConfigError

Evidence = Literal["exp", "relu", "softplus"]

_EPS = 1e-10


@dataclass(frozen=True, kw_only=True, slots=True)
class EvidentialLoss:
    """Which evidential loss; the defaults are InternVideo's.

    `kind` is the risk: "log" and "digamma" compare the label's evidence with all evidence, "mse"
    and "cross_entropy" the expected probabilities with the label. With `kl` evidence for wrong
    classes is pulled to none (in "cross_entropy" it always is), with `calibrated` DEAR's term
    wants right answers certain and wrong ones uncertain; in its `disentangled` form the two
    factors stand inside one logarithm. Both are annealed: from `annealing_start` to 1 over the
    epochs ("exp"), or linearly within `annealing_epochs` ("step").
    """

    evidence: Evidence = "exp"
    kind: Literal["log", "digamma", "mse", "cross_entropy"] = "log"
    kl: bool = False
    calibrated: bool = False
    disentangled: bool = False
    annealing: Literal["exp", "step"] = "exp"
    annealing_start: float = 0.01
    annealing_epochs: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.annealing_start <= 1:
            raise ConfigError(f"annealing_start is {self.annealing_start}, expected in (0, 1]")
        if self.annealing_epochs < 1:
            raise ConfigError(f"annealing_epochs is {self.annealing_epochs}, expected 1 or more")
        if self.calibrated and self.kind in ("mse", "cross_entropy"):
            raise ConfigError(f"the calibrated term does not exist for {self.kind!r}; use 'log'")

    def coefficient(self, epoch: int | float, num_epochs: int | float) -> float:
        """Weight of the annealed terms; `epoch` counts from 0 and may be a fraction."""
        if self.annealing == "step":
            return min(1.0, epoch / self.annealing_epochs)
        return self.annealing_start ** (1 - epoch / num_epochs)


def concentration(logits: Float[Tensor, "b y"], evidence: Evidence = "exp") -> Float[Tensor, "b y"]:
    """Parameters of the Dirichlet distribution: evidence plus one."""
    logits = logits.float()
    if evidence == "exp":
        return logits.clamp(-10, 10).exp() + 1
    return (F.relu(logits) if evidence == "relu" else F.softplus(logits)) + 1


def evidential_probabilities(
    logits: Float[Tensor, "b y"], evidence: Evidence = "exp"
) -> Float[Tensor, "b y"]:
    """Expected probabilities of the classes."""
    alpha = concentration(logits, evidence)
    return alpha / alpha.sum(1, keepdim=True)


def evidential_uncertainty(
    logits: Float[Tensor, "b y"], evidence: Evidence = "exp"
) -> Float[Tensor, " b"]:
    """Share of the distribution that is not backed by evidence: 1 without any, towards 0 with."""
    return logits.shape[1] / concentration(logits, evidence).sum(1)


def evidential_terms(
    logits: Float[Tensor, "b y"],
    labels: Int64[Tensor, " b"],
    config: EvidentialLoss | None = None,
    *,
    coefficient: float = 1.0,
) -> dict[str, Float[Tensor, " b"]]:
    """Terms of the loss of every sample, by name; their sum is what is minimised.

    `coefficient` is `EvidentialLoss.coefficient` of the epoch.
    """
    config = config or EvidentialLoss()
    alpha = concentration(logits, config.evidence)
    total = alpha.sum(1, keepdim=True)
    one_hot = F.one_hot(labels, logits.shape[1]).to(alpha)
    expected = alpha / total
    # Of the expected probabilities; it shrinks as evidence grows.
    variance = (alpha * (total - alpha) / (total * total * (total + 1))).sum(1)
    terms: dict[str, Tensor] = {}
    if config.kind == "mse":
        terms |= {"cls": ((one_hot - expected) ** 2).sum(1), "var": variance}
    elif config.kind == "cross_entropy":
        terms |= {"cls": F.nll_loss(expected.log(), labels, reduction="none"), "var": variance}
    else:
        measure = torch.log if config.kind == "log" else torch.digamma
        terms["cls"] = (one_hot * (measure(total) - measure(alpha))).sum(1)
    if config.kl or config.kind == "cross_entropy":
        terms["kl"] = coefficient * _kl_to_no_evidence((alpha - 1) * (1 - one_hot) + 1)
    if config.calibrated:
        terms["calibration"] = _calibration(alpha, labels, coefficient, config.disentangled)
    return terms


def evidential_loss(
    logits: Float[Tensor, "b y"],
    labels: Int64[Tensor, " b"],
    config: EvidentialLoss | None = None,
    *,
    coefficient: float = 1.0,
) -> Float[Tensor, ""]:
    """Mean over samples of the sum of `evidential_terms`."""
    terms = evidential_terms(logits, labels, config, coefficient=coefficient)
    return torch.stack(list(terms.values())).sum(0).mean()


def _kl_to_no_evidence(alpha: Float[Tensor, "b y"]) -> Float[Tensor, " b"]:
    """Divergence of Dirichlet(alpha) from the one with no evidence, all ones."""
    total = alpha.sum(1, keepdim=True)
    difference = ((alpha - 1) * (alpha.digamma() - total.digamma())).sum(1)
    normalisers = total[:, 0].lgamma() - alpha.lgamma().sum(1) - math.lgamma(alpha.shape[1])
    return difference + normalisers


def _calibration(
    alpha: Float[Tensor, "b y"], labels: Int64[Tensor, " b"], coefficient: float, disentangled: bool
) -> Float[Tensor, " b"]:
    """DEAR's accuracy versus uncertainty: wants right answers certain, wrong ones uncertain."""
    total = alpha.sum(1)
    score, answer = (alpha / total[:, None]).max(1)
    uncertainty, right = alpha.shape[1] / total, (answer == labels).to(alpha)
    if disentangled:
        of_right = -(score * (1 - uncertainty) + _EPS).log()
        of_wrong = -((1 - score) * uncertainty + _EPS).log()
    else:
        of_right = -score * (1 - uncertainty + _EPS).log()
        of_wrong = -(1 - score) * (uncertainty + _EPS).log()
    return coefficient * right * of_right + (1 - coefficient) * (1 - right) * of_wrong
