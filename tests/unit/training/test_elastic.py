"""A node that is killed costs the steps since the last checkpoint: a real pair of torchrun."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.unit.training.test_loop import fit, weights
from tests.unit.training.toy import Toy, toy_config

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


def agent(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """One node of a run of one or two."""
    words = ["-m", "torch.distributed.run", "--nnodes", "1:2", "--nproc-per-node", "1"]
    words += ["--max-restarts", "3", "--rdzv-backend", "c10d", "--rdzv-id", "elastic"]
    words += ["--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-conf", "last_call_timeout=2"]
    words += ["-m", "tests.unit.training.elastic_worker", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (folder / f"agent-{time.time_ns()}.txt").open("w") as log:
        return subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, env=environment, stdout=log, stderr=log
        )


def seen(folder: Path) -> list[dict]:
    """All steps that any process took, in no order."""
    files = folder.glob("order-*.jsonl")
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def wait_for(condition, limit_s: float) -> None:
    until = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until, "nothing happened in time"
        time.sleep(0.2)


def test_a_killed_node_costs_the_steps_since_the_last_checkpoint(tmp_path, free_port):
    config = toy_config(num_steps=30, checkpoint_every=2)
    fit(tmp_path / "one", config, stage=Toy(config))
    run = tmp_path / "run"
    run.mkdir()
    # The first one holds the store in which they meet, so it must be the one that stays.
    staying = agent(run, free_port)
    time.sleep(1)
    leaving = agent(run, free_port)
    try:
        both = lambda: sum(step["world"] == 2 for step in seen(run)) >= 12  # noqa: E731
        wait_for(both, 240)
        os.kill(leaving.pid, signal.SIGKILL)
        killed, begun = time.monotonic(), alone(run)
        wait_for(lambda: alone(run) > begun, 240)
        back_s = time.monotonic() - killed
        assert staying.wait(240) == 0
    finally:
        for process in (staying, leaving):
            process.kill()
            process.wait()

    assert back_s < 60
    one, ours = weights(tmp_path / "one"), weights(run)
    assert all(torch.allclose(one[name], ours[name], atol=1e-5) for name in one)
    # Every step saw the rows that it sees without a kill, whoever had them.
    toy = Toy(config)
    stream = toy.batches(0)
    expected = [row[0].item() for _ in range(30) for row in next(stream)[0]]
    found = {value for step in seen(run) for value in step["rows"]}
    assert found == set(expected)


def alone(folder: Path) -> int:
    """How many steps one node took without the other."""
    return sum(step["world"] == 1 for step in seen(folder))
