"""What a launcher says in the environment: complete and consistent, or one line at once."""

from __future__ import annotations

import socket
import time

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.training import choose_device, joined, launched_processes, sharing

RIGHT = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.fixture
def launched(monkeypatch):
    def set_all(**changes: str | None) -> None:
        for name, value in {**RIGHT, **changes}.items():
            monkeypatch.delenv(name, raising=False)
            if value is not None:
                monkeypatch.setenv(name, value)

    return set_all


def test_what_fits_is_the_number_of_processes(launched):
    launched()
    assert launched_processes() == 2
    launched(WORLD_SIZE=None, RANK=None)
    assert launched_processes() == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RANK": None}, "WORLD_SIZE=2 and no RANK; start with torchrun"),
        ({"MASTER_PORT": None, "MASTER_ADDR": None}, "no MASTER_ADDR or MASTER_PORT"),
        ({"RANK": "2"}, "RANK=2 of WORLD_SIZE=2"),
        ({"RANK": "5", "WORLD_SIZE": "1"}, "RANK=5 of WORLD_SIZE=1"),
        ({"RANK": "0", "WORLD_SIZE": "0"}, "RANK=0 of WORLD_SIZE=0"),
        ({"WORLD_SIZE": None}, "RANK=1 and no WORLD_SIZE"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE='two', expected a whole number"),
        ({"RANK": "-1"}, "RANK='-1', expected a whole number"),
        ({"MASTER_PORT": "99999"}, "MASTER_PORT=99999; ranks count from 0"),
    ],
)
def test_what_does_not_fit_is_said_without_waiting(launched, changes, message):
    launched(**changes)

    with pytest.raises(ConfigError, match=message), joined("cpu"):
        pass


@pytest.mark.parametrize(
    ("device", "local_rank", "message"),
    [
        ("cuda:7", "0", r"no device cuda:7 .* there are 2, counted from 0"),
        ("cuda", "2", r"no device cuda:2 .*LOCAL_RANK"),
        ("meta", "0", "device 'meta' trains nothing here"),
        ("gpu", "0", "unknown device 'gpu'"),
    ],
)
def test_a_device_that_is_not_there_is_named(device, local_rank, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", local_rank)

    with pytest.raises(ConfigError, match=message):
        choose_device(device)


def _meet() -> None:
    with joined("cpu"):
        pass


def test_a_port_in_use_is_said_without_waiting(launched):
    started = time.monotonic()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        launched(RANK="0", MASTER_PORT=str(taken.getsockname()[1]))
        with pytest.raises(ConfigError, match="cannot meet at 127"), joined("cpu"):
            pass
    assert time.monotonic() - started < 20

    # ... and the next meeting of this process is like any other.
    launched(**dict.fromkeys(RIGHT))
    with sharing(2, _meet), joined("cpu") as process:
        assert process.share.count == 2
