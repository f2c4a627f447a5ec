from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Dirichlet, kl_divergence

from internvideo.errors import ConfigError
from internvideo.objectives import (
    EvidentialLoss,
    evidential_loss,
    evidential_probabilities,
    evidential_terms,
    evidential_uncertainty,
)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LABELS = torch.tensor([0, 2, 1, 3])


@pytest.mark.parametrize("evidence", ["exp", "relu", "softplus"])
def test_probabilities_are_the_mean_of_the_distribution(evidence):
    total = evidential_probabilities(random(4, 5), evidence).sum(1)

    assert total.tolist() == pytest.approx([1] * 4)


def test_nothing_known_is_wholly_uncertain():
    assert evidential_uncertainty(torch.full((1, 6), -1.0), "relu").tolist() == [1]


def test_uncertainty_falls_as_evidence_grows():
    logits = torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [9.0, 0.0, 0.0]])

    uncertain = evidential_uncertainty(logits).tolist()

    assert uncertain == sorted(uncertain, reverse=True)


def test_the_default_is_the_logarithm_of_the_expected_probability():
    logits = random(4, 5)

    expected = -evidential_probabilities(logits)[torch.arange(4), LABELS].log().mean()

    assert float(evidential_loss(logits, LABELS)) == pytest.approx(float(expected))


def test_kl_is_that_of_dirichlet_distributions():
    logits = random(4, 5)

    kl = evidential_terms(logits, LABELS, EvidentialLoss(kl=True), coefficient=0.5)["kl"]

    alpha = logits.exp() + 1
    alpha[torch.arange(4), LABELS] = 1
    expected = kl_divergence(Dirichlet(alpha), Dirichlet(torch.ones(4, 5)))
    assert kl.tolist() == pytest.approx((0.5 * expected).tolist(), rel=1e-4)


def test_squared_errors_are_expected_over_the_distribution():
    logits = random(1, 3)
    terms = evidential_terms(logits, LABELS[:1], EvidentialLoss(kind="mse"))
    torch.manual_seed(0)

    drawn = Dirichlet(logits[0].exp() + 1).sample((40_000,))
    error = ((drawn - torch.tensor([1.0, 0.0, 0.0])) ** 2).sum(1).mean()

    assert float(sum(terms.values())) == pytest.approx(float(error), rel=0.02)


def test_annealing_runs_from_its_start_to_one():
    gradual, by_step = EvidentialLoss(), EvidentialLoss(annealing="step", annealing_epochs=4)

    assert [gradual.coefficient(e, 10) for e in (0, 5, 10)] == pytest.approx([0.01, 0.1, 1])
    assert [by_step.coefficient(e, 10) for e in (0, 2, 8)] == [0, 0.5, 1]


def test_calibration_wants_right_answers_certain():
    sure, unsure = torch.tensor([[8.0, -8.0]]), torch.tensor([[0.1, 0.0]])

    of_sure, of_unsure = (
        evidential_terms(logits, torch.tensor([0]), EvidentialLoss(calibrated=True))["calibration"]
        for logits in (sure, unsure)
    )

    assert of_sure < of_unsure


def test_huge_logits_keep_the_loss_finite():
    logits = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)

    evidential_loss(logits, torch.tensor([1]), EvidentialLoss(kl=True)).backward()

    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"annealing_start": 0.0}, r"annealing_start is 0.0, expected in \(0, 1\]"),
        ({"annealing_epochs": 0}, "annealing_epochs is 0, expected 1 or more"),
        ({"calibrated": True, "kind": "mse"}, "calibrated term does not exist for 'mse'"),
    ],
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(ConfigError, match=message):
        EvidentialLoss(**wrong)


def test_half_precision_is_raised_before_the_exponential():
    assert math.isfinite(float(evidential_loss(random(4, 5).half() * 9, LABELS)))
