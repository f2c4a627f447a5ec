"""Runs of all five stages, of seconds each, that any number of ranks must train alike.

Nothing random that depends on the rank is left in them: no dropout. Adam divides by gradients which
are nothing but rounding where a parameter has no effect (a key bias); a larger eps keeps that
noise out of the comparison.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import torch
from torch import multiprocessing

from internvideo.recipes import recipe
from internvideo.runs import Run, execute, from_document, override, to_document
from internvideo.training import joined

STAGES = {
    "masked": ("mae_tiny_playground", "playground", ()),
    "multimodal": (
        "multimodal_tiny_playground",
        "playground",
        ("other_sources.images.batch_size=4", "other_sources.images.data.root={root}"),
    ),
    "supervised": (
        "post_pretrain_tiny_playground_b",
        "playground",
        (
            "stage.initial_weights=none",
            "stage.model.num_classes=24",
            "training.optimiser.muon=none",
        ),
    ),
    "coordination": (
        "coordinate_tiny_playground",
        "playground",
        ("stage.masked={classifiers}/a", "stage.multimodal={classifiers}/b"),
    ),
    "localization": (
        "temporal_localization_tiny",
        "planted",
        ("stage.features.released.0.folder={planted}/features",),
    ),
}
TRAINING = (
    "training.num_steps=3",
    "training.batch_size=4",
    "training.cpu_processes=1",
    "training.precision=fp32",
    "training.log_every=1",
    "training.evaluate_every=none",
    "training.checkpoint_every=1",
    "training.keep_checkpoints=9",
    "training.optimiser.warmup_steps=0",
    "training.optimiser.eps=0.001",
    "data.num_workers=0",
    "data.views_per_video=1",
    "data.cache_mb=0",
)


def run_of(stage: str, world: Path, strategy: str) -> Run:
    """A stage's run on the worlds and classifiers below `world`."""
    name, data, settings = STAGES[stage]
    how = (f"training.parallel={strategy}", f"training.sharded_checkpoints={strategy == 'fsdp'}")
    return _small(name, world, data, (*settings, *(setting.lower() for setting in how)))


def classifier_run(which: str, world: Path) -> Run:
    """A run of the classifier that coordination starts from."""
    name = "post_pretrain_tiny_playground" + ("_b" if which == "b" else "")
    settings = ("stage.initial_weights=none", "stage.model.num_classes=24")
    return _small(name, world, "playground", settings)


def _small(name: str, world: Path, data: str, settings: tuple[str, ...]) -> Run:
    places = {
        "root": world / "playground",
        "classifiers": world / "classifiers",
        "planted": world / "planted",
    }
    document = _without_dropout(to_document(recipe(name)))
    if data == "planted":
        document["stage"]["features"]["released"][0]["folder"] = str(world / "planted/features")
        settings = settings[1:]
    filled = [setting.format(**places) for setting in settings]
    where = [f"data.root={world / data}"]
    if data == "playground":  # so few videos have no other split
        where += ["data.train_split=train", "data.eval_split=train"]
    return override(from_document(document), [*TRAINING, *where, *filled])


def _without_dropout(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _without_dropout(inner, key) for key, inner in value.items()}
    is_dropped = isinstance(value, float) and ("dropout" in name or "drop_path" in name)
    return 0.0 if is_dropped else value


def train_all(world: Path, out: Path, jobs: list[tuple[str, str]], resume: bool = False) -> None:
    """Train each (stage, strategy) into out/<strategy>-<stage>, in the process group there is."""
    logging.getLogger("internvideo").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    with joined("cpu") as process:
        for stage, strategy in jobs:
            folder = out / f"{strategy}-{stage}"
            execute(run_of(stage, world, strategy), folder, process=process, resume=resume)


def _rank(
    rank: int,
    count: int,
    port: int,
    world: str,
    out: str,
    jobs: list[tuple[str, str]],
    resume: bool,
) -> None:
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE=str(count),
        LOCAL_WORLD_SIZE=str(count),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    train_all(Path(world), Path(out), jobs, resume)


def train_on_ranks(
    count: int,
    port: int,
    world: Path,
    out: Path,
    jobs: list[tuple[str, str]],
    *,
    resume: bool = False,
) -> None:
    """The same on so many ranks."""
    multiprocessing.spawn(_rank, (count, port, str(world), str(out), jobs, resume), nprocs=count)
