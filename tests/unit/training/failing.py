"""A run of two ranks, one of which fails in a way that is asked for; its own program.

Usage: python -m tests.unit.training.failing CAUSE RANK FOLDER
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from internvideo.errors import ConfigError, InternVideoError
from internvideo.processes import end_with_parent
from internvideo.training import joined, sharing, train
from tests.unit.training.toy import Toy, toy_config

CAUSES = ("disk", "exception", "kill", "worker")


class Deadly(Dataset):
    """Its worker is killed as if for want of memory."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return index


class Failing(Toy):
    """Fails at its fifth step on one rank; the other goes on into the next collective."""

    def __init__(self, config, share, cause: str, folder: Path) -> None:
        super().__init__(config, share=share)
        self.cause, self.folder, self.calls = cause, folder, 0

    def losses(self, batch, generator):
        self.calls += 1
        if self.calls == 5 and self.cause:
            (self.folder / "failed").write_text(str(time.time()))
            self.fail()
        return super().losses(batch, generator)

    def fail(self) -> None:
        if self.cause == "disk":
            Path("/dev/full").write_text("x" * 10)
        if self.cause == "exception":
            raise ConfigError("this rank fails")
        if self.cause == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.cause == "worker":
            next(iter(DataLoader(Deadly(), num_workers=1, worker_init_fn=end_with_parent)))


def work(cause: str, rank: int, folder: Path) -> None:
    config = toy_config(num_steps=100_000)
    with joined("cpu") as process:
        own = process.share.index
        (folder / f"pid-{own}").write_text(str(os.getpid()))
        stage = Failing(config, process.share, cause if own == rank else "", folder)
        train(stage, config, folder=folder / "run", run={}, seed=0, process=process)


def main(cause: str, rank: str, folder: str) -> int:
    torch.set_num_threads(1)
    arguments = (cause, int(rank), Path(folder))
    try:
        with sharing(2, work, *arguments):
            work(*arguments)
    except (InternVideoError, OSError) as error:
        print(f"internvideo: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
