"""Muon steps as torch's does, whatever shapes its matrices have."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from internvideo.training import muon
from internvideo.training.muon import Muon, orthogonal

SHAPES = [(16, 48), (48, 16), (16, 48), (24, 24)]


def matrices(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def optimiser(kind: type[torch.optim.Muon]) -> torch.optim.Muon:
    groups = [
        {"params": [nn.Parameter(matrix) for matrix in matrices(0)[part]], "weight_decay": decay}
        for part, decay in ((slice(3), 0.1), (slice(3, 4), 0.0))
    ]
    settings = {} if kind is Muon else {"adjust_lr_fn": "match_rms_adamw"}
    return kind(groups, lr=0.02, **settings)


def parameters(of: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in of.param_groups for parameter in group["params"]]


def step(of: torch.optim.Optimizer, number: int) -> None:
    for parameter, gradient in zip(parameters(of), matrices(number), strict=True):
        parameter.grad = gradient
    of.step()


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_steps_are_torch_s_to_the_accuracy_of_bf16(monkeypatch, precision):
    monkeypatch.setattr(muon, "resolve_precision", lambda *_: precision)
    ours, theirs = optimiser(Muon), optimiser(torch.optim.Muon)
    for number in range(1, 4):
        step(ours, number)
        step(theirs, number)

    for mine, other, start in zip(parameters(ours), parameters(theirs), matrices(0), strict=True):
        assert (mine - other).norm() < 0.02 * (other - start).norm()


def test_a_run_goes_on_from_torch_s_state():
    theirs = optimiser(torch.optim.Muon)
    step(theirs, 1)
    ours = optimiser(Muon)
    with torch.no_grad():
        for mine, other in zip(parameters(ours), parameters(theirs), strict=True):
            mine.copy_(other)
    ours.load_state_dict(copy.deepcopy(theirs.state_dict()))

    step(ours, 2)
    step(theirs, 2)

    for mine, other in zip(parameters(ours), parameters(theirs), strict=True):
        assert torch.equal(
            ours.state[mine]["momentum_buffer"], theirs.state[other]["momentum_buffer"]
        )
        torch.testing.assert_close(mine, other, atol=2e-3, rtol=0)


def test_what_has_no_gradient_stays():
    ours = optimiser(Muon)
    parameters(ours)[1].grad = torch.ones(48, 16)

    ours.step()

    for number, (now, before) in enumerate(zip(parameters(ours), matrices(0), strict=True)):
        assert torch.equal(now, before) == (number != 1)
    with pytest.raises(ValueError, match="a closure is not supported"):
        ours.step(lambda: 0.0)


@pytest.mark.parametrize("shape", [(3, 8, 40), (2, 40, 8), (1, 12, 12)])
def test_singular_values_come_near_one(shape):
    found = orthogonal(
        torch.randn(shape, generator=torch.Generator().manual_seed(0)),
        (3.4445, -4.7750, 2.0315),
        5,
    )

    assert found.shape == shape and found.dtype == torch.float32
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.3 and values.max() < 1.3
