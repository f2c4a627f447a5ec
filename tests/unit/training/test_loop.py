"""The loop: what it writes, how it resumes, and what it refuses."""

from __future__ import annotations

import json
import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as multiprocessing
from safetensors.torch import load_file
from torch import Tensor

from internvideo.errors import CheckpointError, ConfigError, NotFiniteError, TrainingError
from internvideo.processes import sole_use
from internvideo.training import Outcome, TrainingConfig, joined, last_checkpoint, load, train
from internvideo.training.optim import OptimiserConfig
from tests.unit.training.toy import ONE_PROCESS, Toy, toy_config


def fit(folder: Path, config: TrainingConfig, **options: Any) -> Outcome:
    stage = options.pop("stage", None) or Toy(config, dropout=0.5)
    settings = {"run": {"name": "toy"}, "seed": 3, "process": ONE_PROCESS} | options
    return train(stage, config, folder=folder, **settings)


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "checkpoints" / "last" / "model.safetensors")


def metrics(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    timing = {"clips_per_s", "data_wait_share"}
    return [{k: v for k, v in json.loads(line).items() if k not in timing} for line in lines]


class Killed(RuntimeError):
    """Stands for a kill between two steps."""


def kill_at(step: int):
    def on_progress(progress) -> None:
        if progress.step == step:
            raise Killed

    return on_progress


@pytest.mark.parametrize(
    ("killed_at", "muon"), [(1, None), (4, None), (6, None), (19, None), (6, 2.0)]
)
def test_a_run_killed_and_resumed_ends_with_the_same_bits(tmp_path, killed_at, muon):
    optimiser = OptimiserConfig(lr=1e-2, warmup_steps=3, muon=muon)
    config = toy_config(ema_decay=0.9, optimiser=optimiser)
    fit(tmp_path / "whole", config)
    with pytest.raises(Killed):
        fit(tmp_path / "cut", config, on_progress=kill_at(killed_at))

    fit(tmp_path / "cut", config, resume=True)

    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "cut")


def test_a_finished_run_reduces_its_loss(tmp_path):
    fit(tmp_path, toy_config(num_steps=200), stage=Toy(toy_config(num_steps=200)))

    losses = [line["loss/square"] for line in metrics(tmp_path) if "loss/square" in line]
    assert losses[-1] < 0.1 * losses[0]


def test_a_value_with_a_group_of_its_own_is_no_loss(tmp_path):
    class Gated(Toy):
        def losses(self, batch, generator):
            return super().losses(batch, generator) | {"gate/first": torch.tensor(0.25)}

    config = toy_config()
    fit(tmp_path, config, stage=Gated(config))

    gates = [line["gate/first"] for line in metrics(tmp_path) if "loss/square" in line]
    assert gates == [0.25] * len(gates) and gates


def test_muon_moves_the_matrices_of_blocks_alone(tmp_path):
    ends = []
    for muon in (None, 2.0):
        config = toy_config(
            num_steps=1, optimiser=OptimiserConfig(lr=1e-2, weight_decay=0.0, muon=muon)
        )
        fit(tmp_path / str(muon), config, stage=Toy(config))
        ends.append(weights(tmp_path / str(muon)))

    moved = {name: not torch.equal(value, ends[1][name]) for name, value in ends[0].items()}

    assert moved == {name: name.endswith("weight") for name in moved}


def test_a_shard_size_is_for_hybrid_sharding_alone():
    with pytest.raises(ConfigError, match="shard_size is 2 with parallel='ddp'"):
        toy_config(shard_size=2)


def test_a_folder_with_another_run_is_refused(tmp_path):
    fit(tmp_path, toy_config(num_steps=4))

    with pytest.raises(TrainingError, match="already holds a run; pass --resume"):
        fit(tmp_path, toy_config(num_steps=4))


def test_terminating_saves_the_step_reached(tmp_path):
    def terminate(progress) -> None:
        if progress.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    outcome = fit(tmp_path, toy_config(), on_progress=terminate)

    assert outcome.interrupted
    assert load(tmp_path / "checkpoints" / "last").documents["training"]["step"] == 6


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    fit(tmp_path, toy_config(keep_checkpoints=2))

    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["last", "step-16", "step-20"]


def test_class_names_travel_with_the_weights(tmp_path):
    fit(tmp_path, toy_config(num_steps=4))

    assert load(tmp_path / "checkpoints" / "last").documents["labels"] == ["跳", "run, fast"]


def test_a_failed_write_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    from internvideo.training import checkpoint as checkpoints

    real_save = checkpoints.save_file

    def full_disk(tensors, path):
        if "step-8" in str(path):
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        real_save(tensors, path)

    monkeypatch.setattr(checkpoints, "save_file", full_disk)
    with pytest.raises(TrainingError, match="No space left on device"):
        fit(tmp_path, toy_config())

    assert load(tmp_path / "checkpoints" / "last").documents["training"]["step"] == 4
    assert not list((tmp_path / "checkpoints").glob(".writing*"))


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    config = toy_config()
    stage = Toy(config)
    stage.losses = lambda batch, generator: {"square": stage.model(batch).sum() * float("nan")}

    with pytest.raises(TrainingError, match="loss/square not finite by step 3"):
        fit(tmp_path, config, stage=stage)


class Spoilt(Toy):
    """Its weights become NaN in the update of one step, of which the loss knows nothing."""

    spoilt_at = 0

    def losses(self, batch, generator):
        self.calls = getattr(self, "calls", 0) + 1
        losses = super().losses(batch, generator)
        if self.calls == self.spoilt_at:
            # A gradient of NaN under a finite loss.
            for parameter in self.model.parameters():
                parameter.register_hook(lambda gradient: gradient * float("nan"))
        return losses


@pytest.mark.parametrize("spoilt_at", [6, 20])
def test_weights_that_are_not_finite_are_never_saved(spoilt_at, tmp_path):
    config = toy_config(log_every=1000, checkpoint_every=4, ema_decay=0.9)
    stage = Spoilt(config)
    stage.spoilt_at = spoilt_at

    with pytest.raises(NotFiniteError, match=r"not finite (by|at) step (8|20)") as caught:
        fit(tmp_path, config, stage=stage)

    assert caught.value.exit_status == 1
    kept = load(tmp_path / "checkpoints/last")
    assert kept.documents["training"]["step"] == (4 if spoilt_at == 6 else 16)
    for part in (kept.model, kept.optimiser, kept.ema):
        assert all(bool(value.isfinite().all()) for value in part.values())


def test_a_buffer_may_hold_infinities(tmp_path):
    config = toy_config()
    stage = Toy(config)
    stage.model.register_buffer("mask", torch.full((2, 2), float("-inf")))

    assert fit(tmp_path, config, stage=stage).step == 20


def test_a_last_score_that_is_not_finite_ends_the_run_with_an_error(tmp_path):
    config = toy_config()
    stage = Toy(config)
    stage.evaluate = lambda: {"error": float("nan")}

    with pytest.raises(NotFiniteError, match="scores of the last step are not finite: error"):
        fit(tmp_path, config, stage=stage)


def _spoil_last(folder: Path, how: str) -> None:
    last = folder / "last"
    target = last.resolve()
    if how == "cut":
        path = target / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-5])
        return
    if how == "not json":
        (target / "training.json").write_text("{")
        return
    last.unlink()
    if how == "file":
        last.write_text("step-20")
    elif how == "dangling":
        last.symlink_to("step-99")


@pytest.mark.parametrize(
    ("how", "step"), [("file", 20), ("dangling", 20), ("gone", 20), ("cut", 16), ("not json", 16)]
)
def test_a_spoilt_last_is_passed_over_for_the_newest_whole_step(how, step, tmp_path, caplog):
    fit(tmp_path, toy_config())
    _spoil_last(tmp_path / "checkpoints", how)

    found = last_checkpoint(tmp_path / "checkpoints")

    assert found == (tmp_path / f"checkpoints/step-{step}").resolve()
    assert f"step-{step}, the newest that is whole" in caplog.text


def test_a_run_without_a_whole_checkpoint_does_not_start_anew(tmp_path):
    fit(tmp_path, toy_config())
    for path in (tmp_path / "checkpoints").glob("step-*/model.safetensors"):
        path.write_bytes(b"")

    with pytest.raises(CheckpointError, match="no checkpoint there is whole"):
        fit(tmp_path, toy_config(), resume=True)


def test_resuming_with_other_settings_names_the_fields(tmp_path):
    run = {"name": "toy", "training": {"lr": 0.1, "log_every": 3}, "data": {"source": "a"}}
    fit(tmp_path, toy_config(), run=run)

    free = {**run, "training": {"lr": 0.1, "log_every": 9}}
    assert fit(tmp_path, toy_config(), run=free, resume=True).step == 20
    other = {**run, "training": {"lr": 0.2, "log_every": 3}, "data": {"source": "b"}}
    with pytest.raises(
        TrainingError, match=r"other settings: training\.lr is 0\.2, was 0\.1; data\.source is 'b'"
    ):
        fit(tmp_path, toy_config(), run=other, resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_run_on_a_folder_is_refused_and_a_stale_lock_is_not(resume, tmp_path):
    with (
        sole_use(tmp_path),
        pytest.raises(ConfigError, match=rf"works on it \(process {os.getpid()} on"),
    ):
        fit(tmp_path, toy_config(), resume=resume)

    (tmp_path / ".lock").write_text('{"pid": 1}')
    assert fit(tmp_path, toy_config(), resume=resume).step == 20


def test_a_loss_at_the_mean_baseline_is_said_in_the_log(tmp_path):
    frozen = toy_config(optimiser=OptimiserConfig(lr=1e-12, final_lr=1e-12))
    fit(tmp_path, frozen, stage=Toy(frozen))

    assert "mean baseline" in (tmp_path / "log.txt").read_text()


def test_a_loss_that_falls_is_not_said_to_be_at_the_baseline(tmp_path):
    config = toy_config(num_steps=60)
    fit(tmp_path, config, stage=Toy(config))

    late = [line for line in (tmp_path / "log.txt").read_text().splitlines() if "WARNING" in line]
    assert not [line for line in late if "step 60" in line]


def test_micro_batches_give_the_gradients_of_the_whole_batch(tmp_path):
    for name, accumulation in (("whole", 1), ("parts", 4)):
        config = toy_config(accumulation=accumulation)
        fit(tmp_path / name, config, stage=Toy(config))

    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.allclose(whole[name], parts[name], atol=1e-6) for name in whole)


def _run_rank(rank: int, count: int, folder: str, options: dict[str, Any], port: int) -> None:
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE=str(count),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    logging.getLogger("internvideo").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    resume = options.pop("resume", False)
    config = toy_config(**options)
    with joined("cpu") as process:
        fit(
            Path(folder),
            config,
            stage=Toy(config, share=process.share),
            process=process,
            resume=resume,
        )


def run_ranks(count: int, folder: Path, port: int, **options: Any) -> None:
    multiprocessing.spawn(_run_rank, (count, str(folder), options, port), nprocs=count)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_ranks_equal_one_at_the_same_global_batch(tmp_path, strategy, free_port):
    config = toy_config()
    fit(tmp_path / "one", config, stage=Toy(config))

    run_ranks(2, tmp_path / "two", free_port, parallel=strategy, ema_decay=0.9)

    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)


@pytest.mark.slow
def test_a_run_of_two_ranks_can_be_resumed_by_one(tmp_path, free_port):
    whole = toy_config()
    fit(tmp_path / "one", whole, stage=Toy(whole))
    # A signal in both ranks would race; a shorter run with the same schedule is not needed either:
    # the checkpoint of step 8 is what the second half starts from.
    run_ranks(2, tmp_path / "two", free_port, keep_checkpoints=10)
    checkpoints = tmp_path / "two" / "checkpoints"
    (checkpoints / "last").unlink()
    (checkpoints / "last").symlink_to("step-8", target_is_directory=True)

    fit(tmp_path / "two", whole, stage=Toy(whole), resume=True)

    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_steps": 0}, "num_steps is 0; it must be at least 1"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0; it must lie between 0 and 1"),
        ({"optimiser": OptimiserConfig(warmup_steps=20)}, "leaves nothing of num_steps 20"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        toy_config(**changes)


def test_the_best_checkpoint_outlives_newer_ones_also_after_a_stop(tmp_path):
    class Swinging(Toy):
        """Its score rises to step 4 and falls from there on."""

        step = 0

        def prepare(self, batches):
            self.step += 1
            return batches

        def evaluate(self):
            return {"score": -abs(self.step - 4.0)}

        def state(self):
            return self.step

        def restore(self, state):
            self.step = state

    config = toy_config(keep_best="score", evaluate_every=2, checkpoint_every=2, keep_checkpoints=1)
    folder = tmp_path / "checkpoints"
    with pytest.raises(Killed):
        fit(tmp_path, config, stage=Swinging(config), on_progress=kill_at(6))
    fit(tmp_path, config, stage=Swinging(config), resume=True)

    assert (folder / "best").resolve().name == "step-4"
    assert (folder / "last").resolve().name == f"step-{config.num_steps}"
    assert len(list(folder.glob("step-*"))) == 2


def test_of_equal_scores_the_latest_is_kept_best_and_none_where_nothing_is_evaluated(tmp_path):
    for score, kept in ({"score": 1.0}, "step-8"), ({"clips": 0.0}, None):
        config = toy_config(keep_best="score", num_steps=8, evaluate_every=2, checkpoint_every=2)
        stage = Toy(config, dropout=0.5)
        stage.evaluate = lambda score=score: score
        folder = tmp_path / next(iter(score))
        fit(folder, config, stage=stage)

        best = folder / "checkpoints" / "best"
        assert (best.resolve().name if best.exists() else None) == kept


def test_a_score_that_nobody_measures_cannot_be_kept_best(tmp_path):
    config = toy_config(keep_best="eror")

    with pytest.raises(ConfigError, match="score in keep_best 'eror'; did you mean 'error'"):
        fit(tmp_path, config)


def test_resuming_a_run_that_is_complete_says_so(tmp_path, caplog):
    fit(tmp_path, toy_config())

    with caplog.at_level("INFO"):
        outcome = fit(tmp_path, toy_config(), resume=True)

    assert f"all {outcome.step} steps are done" in caplog.text
