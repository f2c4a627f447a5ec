"""Further ranks that this process starts: they work together, and a failure is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from internvideo.errors import ConfigError, TrainingError
from internvideo.training import joined, sharing, sum_over_ranks
from tests.unit.training.failing import CAUSES


def _add(folder: Path) -> None:
    with joined("cpu") as process:
        found = sum_over_ranks(torch.tensor(process.share.index + 1.0))
        (folder / str(process.share.index)).write_text(
            f"{found.item()} of {process.share.count}, {torch.get_num_threads()} threads"
        )


def _fail() -> None:
    with joined("cpu") as process:
        if process.share.index == 1:
            raise ConfigError("the second one fails")
        time.sleep(1)
        sum_over_ranks(torch.tensor(1.0))


def test_ranks_work_together_and_leave_no_trace(tmp_path):
    threads, before = torch.get_num_threads(), dict(os.environ)

    with sharing(2, _add, tmp_path):
        _add(tmp_path)

    each = max(1, threads // 2)
    said = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert said == dict.fromkeys(("0", "1"), f"3.0 of 2, {each} threads")
    assert torch.get_num_threads() == threads
    assert dict(os.environ) == before


def test_one_rank_starts_nothing(monkeypatch):
    with sharing(1, _fail):
        assert "WORLD_SIZE" not in os.environ
    monkeypatch.setenv("WORLD_SIZE", "2")  # as under torchrun
    with sharing(2, _fail):
        assert "MASTER_PORT" not in os.environ


def test_the_failure_of_another_rank_is_told():
    with (
        pytest.raises(TrainingError, match=r"1 of the 2 processes .*: the second one fails"),
        sharing(2, _fail),
    ):
        _fail()

    assert "WORLD_SIZE" not in os.environ


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that nobody has waited for yet has ended as well.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


_SAID = {
    "disk": "No space left on device",
    "exception": "this rank fails",
    "kill": "killed by SIGKILL",
    "worker": "DataLoader worker",
}


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(
    "cause", [c if c == "kill" else pytest.param(c, marks=pytest.mark.slow) for c in CAUSES]
)
def test_whichever_rank_fails_all_end_within_half_a_minute(cause, rank, tmp_path):
    command = [sys.executable, "-m", "tests.unit.training.failing", cause, str(rank), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    pids = [int((tmp_path / f"pid-{one}").read_text()) for one in (0, 1)]
    failed_at = float((tmp_path / "failed").read_text())
    while any(map(_is_alive, pids)) and time.time() < failed_at + 30:
        time.sleep(0.1)

    assert not any(map(_is_alive, pids))
    assert time.time() < failed_at + 30
    if (cause, rank) == ("kill", 0):
        assert done.returncode == -signal.SIGKILL
    else:
        assert done.returncode > 0
        assert _SAID[cause] in done.stderr
