"""Further ranks that this process starts: they work together, and a failure is told."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch

from internvideo.errors import ConfigError, TrainingError
from internvideo.training import joined, sharing, sum_over_ranks


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
