"""All stages: ranks give the losses and weights of one, and no step waits for the device."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from internvideo.runs import build_stage
from internvideo.stages import mae, multimodal
from internvideo.tasks.temporal_localization import training as localization
from internvideo.training import Process
from internvideo.training.loop import _Loop
from internvideo.values import Share
from tests.end_to_end.all_ranks import go_back_to_step_1, losses, make_world, weight_difference
from tests.end_to_end.every_stage import STAGES, run_of, train_all, train_on_ranks
from tests.unit.training.no_syncs import no_syncs, on_the_processor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    world = tmp_path_factory.mktemp("world")
    make_world(world)
    return world


@pytest.fixture(scope="module")
def one(world, tmp_path_factory) -> Path:
    """What one rank trains."""
    out = tmp_path_factory.mktemp("one")
    train_all(world, out, [(stage, "ddp") for stage in STAGES])
    return out


def assert_alike(one: Path, other: Path, where: str) -> None:
    difference, name = weight_difference(one, other)
    assert difference < 1e-5, f"{where}: {name} differs by {difference:.2g}"


@pytest.mark.parametrize(("count", "strategies"), [(2, ("ddp", "fsdp")), (4, ("fsdp",))])
def test_ranks_train_what_one_trains(world, one, tmp_path, free_port, count, strategies):
    jobs = [(stage, strategy) for strategy in strategies for stage in STAGES]

    train_on_ranks(count, free_port, world, tmp_path, jobs)

    for stage, strategy in jobs:
        where = f"{stage}, {strategy} on {count} ranks"
        ours, theirs = one / f"ddp-{stage}", tmp_path / f"{strategy}-{stage}"
        assert len(losses(ours)) == 3
        for expected, found in zip(losses(ours), losses(theirs), strict=True):
            assert found == pytest.approx(expected, abs=1e-5, rel=1e-5), where
        assert_alike(ours, theirs, where)
        if count == 2:  # and one rank goes on from what they wrote after the first step
            go_back_to_step_1(theirs)
            train_all(world, tmp_path, [(stage, strategy)], resume=True)
            assert_alike(ours, theirs, f"{where}, resumed by one")


@pytest.mark.parametrize("count", [2, 4])
def test_hybrid_ranks_go_on_from_what_one_wrote(world, one, tmp_path, free_port, count):
    for stage in STAGES:
        folder = tmp_path / f"hybrid-{stage}"
        shutil.copytree(one / f"ddp-{stage}", folder, symlinks=True)
        go_back_to_step_1(folder)

    jobs = [(stage, "hybrid") for stage in STAGES]
    train_on_ranks(count, free_port, world, tmp_path, jobs, resume=True)

    for stage in STAGES:
        ours, theirs = one / f"ddp-{stage}", tmp_path / f"hybrid-{stage}"
        assert losses(theirs)[-1] == pytest.approx(losses(ours)[-1], abs=1e-5, rel=1e-5), stage
        assert_alike(ours, theirs, f"{stage}, hybrid on {count} ranks")


# What works on tensors of the processor: ids of captions, and masks drawn from seeds. Making the
# targets of localization, `one_hot` checks its labels, and does so on a processor alone.
ON_THE_PROCESSOR = [
    (multimodal.MultimodalPretrainingStage, "_micro_batch"),
    (mae, "sample_masks"),
    (localization, "assign_targets"),
]


@pytest.mark.parametrize("stage", list(STAGES))
def test_no_step_of_any_stage_waits_for_the_device(world, tmp_path, monkeypatch, stage):
    run = run_of(stage, world, "ddp")
    process = Process(share=Share(), device=torch.device("cpu"))
    run, built = build_stage(run, tmp_path, process)
    loop = _Loop(built, run.training, folder=tmp_path, documents={}, seed=0, process=process)
    for owner, name in ON_THE_PROCESSOR:
        monkeypatch.setattr(owner, name, on_the_processor(getattr(owner, name)))
    stream = built.batches(0)
    built.model.train()
    loop._one_step(next(stream))
    loop.step += 1
    batches = next(stream)

    with no_syncs():
        loop._one_step(batches)
