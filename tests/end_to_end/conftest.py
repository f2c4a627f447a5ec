"""A playground of a few videos and a network that trains in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from internvideo.playground import generate

# Overrides that make `mae_tiny_playground` a run of seconds.
SECONDS = [
    "training.num_steps=12",
    "training.batch_size=8",
    "training.cpu_processes=1",
    "training.log_every=4",
    "training.checkpoint_every=3",
    "training.evaluate_every=6",
    "training.optimiser.warmup_steps=2",
    "training.precision=fp32",
    "stage.encoder.side_px=32",
    "stage.encoder.width=24",
    "stage.encoder.depth=1",
    "stage.decoder.width=24",
    "stage.decoder.depth=1",
]


@pytest.fixture(scope="session")
def playground(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("playground")
    generate(folder / "videos", size=100, seed=1, num_workers=2, has_check=False)
    return folder / "videos"
