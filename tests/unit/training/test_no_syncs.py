"""The step of the loop itself never waits for the device; the mode that shows it notices."""

from __future__ import annotations

import pytest
import torch

from internvideo.training.loop import _Loop
from internvideo.training.optim import OptimiserConfig
from tests.unit.training.no_syncs import Synchronised, no_syncs, on_the_processor
from tests.unit.training.toy import ONE_PROCESS, Toy, toy_config


@pytest.mark.parametrize(
    "waits",
    [
        lambda x: x.sum().item(),
        lambda x: float(x[0]),
        lambda x: bool((x > 0).any()),
        lambda x: x.tolist(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.unique(),
        lambda x: x.cpu(),
        lambda x: x.numpy(),
    ],
)
def test_what_waits_is_noticed(waits):
    with pytest.raises(Synchronised), no_syncs():
        waits(torch.tensor([1.0, 2.0]))


def test_what_is_on_the_processor_may_wait():
    with no_syncs():
        assert on_the_processor(lambda x: x.sum().item())(torch.ones(3)) == 3


@pytest.mark.parametrize("skipped", [0, 5])
@pytest.mark.parametrize("muon", [None, 2.0])
def test_a_step_never_waits(tmp_path, muon, skipped):
    optimiser = OptimiserConfig(lr=1e-2, muon=muon, clip_gradient=1.0)
    jump = 4.0 if skipped else None
    config = toy_config(
        optimiser=optimiser,
        ema_decay=0.9,
        accumulation=2,
        max_skipped_steps=skipped,
        skip_above_median=jump,
    )
    stage = Toy(config)
    loop = _Loop(stage, config, folder=tmp_path, documents={}, seed=0, process=ONE_PROCESS)
    stream = stage.batches(0)
    loop._one_step(next(stream))  # moments are made at the first one
    loop.step += 1
    batches = next(stream)

    with no_syncs():
        loop._one_step(batches)
