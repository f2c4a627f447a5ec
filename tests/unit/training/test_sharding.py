"""Sharded checkpoints go on under any number of ranks and any sharding; steps that are left out."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from internvideo.errors import CheckpointError, ConfigError, NotFiniteError
from internvideo.training import last_checkpoint, load, merge_shards
from internvideo.training.gradients import StepGuard
from internvideo.training.optim import OptimiserConfig
from internvideo.training.watchdog import Watchdog
from tests.unit.training.test_loop import fit, metrics, run_ranks, weights
from tests.unit.training.toy import Toy, toy_config

MUON = OptimiserConfig(lr=1e-2, warmup_steps=3, muon=2.0, clip_gradient=1.0)


class Spiking(Toy):
    """A stage some steps of which have a loss that is not finite, or far too large."""

    def __init__(self, config, factors: dict[int, float]) -> None:
        super().__init__(config)
        self.factors, self.calls = factors, 0

    def losses(self, batch, generator):
        self.calls += 1
        factor = self.factors.get(self.calls, 1.0)
        return {name: value * factor for name, value in super().losses(batch, generator).items()}


def go_back_to(folder: Path, step: int) -> None:
    last = folder / "checkpoints" / "last"
    last.unlink()
    last.symlink_to(f"step-{step}", target_is_directory=True)


def assert_alike(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)


def test_a_run_goes_on_from_a_sharded_checkpoint_to_the_same_bits(tmp_path):
    config = toy_config(ema_decay=0.9, optimiser=MUON)
    sharded = toy_config(
        ema_decay=0.9, optimiser=MUON, sharded_checkpoints=True, keep_checkpoints=9
    )
    fit(tmp_path / "whole", config)
    fit(tmp_path / "parts", sharded)
    folder = tmp_path / "parts" / "checkpoints"

    assert (folder / "last" / "model.safetensors").is_file()  # the last one is always whole
    assert not (folder / "step-8" / "model.safetensors").exists()
    found = load(folder / "step-8")
    go_back_to(tmp_path / "parts", 8)
    assert last_checkpoint(folder) == (folder / "step-8").resolve()
    fit(tmp_path / "parts", sharded, resume=True)

    ours, theirs = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    merged = load_file(merge_shards(folder / "step-8"))
    assert merged.keys() == ours.keys() == found.model.keys() == found.ema.keys()
    assert all(torch.equal(merged[name], found.model[name]) for name in merged)
    with pytest.raises(CheckpointError, match="is no sharded checkpoint"):
        merge_shards(folder / "last")


@pytest.mark.slow
def test_a_checkpoint_goes_on_under_any_number_of_ranks_and_any_sharding(tmp_path, free_port):
    config = toy_config(ema_decay=0.9, optimiser=MUON)
    fit(tmp_path / "one", config, stage=Toy(config))
    common = {"ema_decay": 0.9, "optimiser": MUON, "keep_checkpoints": 9}

    # Two ranks in parts, then four of two copies from step 8, then one from their step 12.
    run_ranks(2, tmp_path / "run", free_port, parallel="fsdp", sharded_checkpoints=True, **common)
    assert_alike(tmp_path / "one", tmp_path / "run")
    go_back_to(tmp_path / "run", 8)
    hybrid = {"parallel": "hybrid", "shard_size": 2, "sharded_checkpoints": True}
    run_ranks(4, tmp_path / "run", free_port + 1, resume=True, **hybrid, **common)
    assert_alike(tmp_path / "one", tmp_path / "run")
    go_back_to(tmp_path / "run", 12)
    fit(tmp_path / "run", toy_config(**common), stage=Toy(config), resume=True)
    assert_alike(tmp_path / "one", tmp_path / "run")
    # And a whole one of one rank under two with parts.
    fit(tmp_path / "whole", toy_config(**common), stage=Toy(config))
    go_back_to(tmp_path / "whole", 8)
    run_ranks(2, tmp_path / "whole", free_port + 2, resume=True, parallel="fsdp", **common)
    assert_alike(tmp_path / "one", tmp_path / "whole")


@pytest.mark.parametrize("muon", [None, 2.0])
def test_a_step_that_is_not_finite_is_left_out_and_counted(tmp_path, muon):
    optimiser = OptimiserConfig(lr=1e-2, warmup_steps=3, muon=muon)
    config = toy_config(max_skipped_steps=2, optimiser=optimiser, log_every=5)

    fit(tmp_path, config, stage=Spiking(config, {7: float("nan"), 12: float("inf")}))

    lines = [line for line in metrics(tmp_path) if "loss/square" in line]
    assert sum(line["skipped_steps"] * 5 for line in lines) == pytest.approx(2)
    assert all(value.isfinite().all() for value in weights(tmp_path).values())
    assert lines[-1]["loss/square"] < lines[0]["loss/square"]


def test_too_many_such_steps_end_the_run(tmp_path):
    config = toy_config(max_skipped_steps=1)
    bad = dict.fromkeys((5, 6), float("nan"))

    with pytest.raises(NotFiniteError, match="2 steps until step 6 had"):
        fit(tmp_path, config, stage=Spiking(config, bad))


def test_a_jump_of_the_loss_is_told_from_the_usual_ups_and_downs():
    guard = StepGuard(3.0, torch.device("cpu"))
    fine = torch.tensor(1.0)

    usual = [bool(guard.is_bad(torch.tensor(2.0 + i % 3), fine)) for i in range(20)]
    jump = bool(guard.is_bad(torch.tensor(40.0), fine))
    after = bool(guard.is_bad(torch.tensor(2.5), fine))

    assert (any(usual), jump, after) == (False, True, False)
    assert guard.num_skipped == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"max_skipped_steps": -1},
        {"skip_above_median": 3.0},
        {"skip_above_median": 0.5, "max_skipped_steps": 3},
        {"shard_size": 0, "parallel": "hybrid"},
    ],
)
def test_impossible_guards_and_groups_are_refused(changes):
    with pytest.raises(ConfigError):
        toy_config(**changes)


def test_a_step_of_ten_times_the_median_is_named(caplog):
    class Batch:
        sources = ("a.mp4", "b.mp4", "c.mp4", "d.mp4")

    with caplog.at_level(logging.WARNING), Watchdog(3, least_s=0.05, every_s=0.01) as watchdog:
        for step in range(6):
            watchdog.begin(step)
            watchdog.got([Batch()])
            watchdog.end()
        assert not caplog.text
        watchdog.begin(7)
        time.sleep(0.15)
        watchdog.end()
        watchdog.begin(8)
        watchdog.got([Batch()])
        time.sleep(0.15)
        watchdog.end()

    first, second = caplog.messages
    assert first.startswith("rank 3: step 7 takes") and "it waits for its data" in first
    assert "step 8" in second and "a.mp4, b.mp4, c.mp4 and 1 more" in second


def test_the_configuration_of_before_goes_on(tmp_path):
    """A run.json without the fields that say how checkpoints and ranks are kept."""
    config = toy_config(num_steps=8)
    fit(tmp_path, config, run={"training": {"num_steps": 8}})

    run = {"training": {"num_steps": 8, "sharded_checkpoints": True, "shard_size": 2}}
    fit(tmp_path, config, run=run, resume=True)

    assert json.loads((tmp_path / "run.json").read_text())["run"] == run
