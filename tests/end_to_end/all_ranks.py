"""How far every stage on two and four ranks, however sharded, is from one rank: a table.

    python -m tests.end_to_end.all_ranks OUT

Three steps in fp32 each; then two ranks go on, under every strategy, from what four wrote after
the first step. `test_every_stage_on_ranks` runs a part of this each time.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from internvideo.playground import generate, plant_features
from internvideo.runs import execute
from internvideo.training import Process
from internvideo.values import Share
from tests.end_to_end.every_stage import STAGES, classifier_run, train_all, train_on_ranks

STRATEGIES = ("ddp", "fsdp", "hybrid")


def make_world(world: Path) -> None:
    """Videos, features, and the two classifiers that coordination starts from."""
    generate(world / "playground", size=24, num_stills=8, seed=0, num_workers=1)
    plant_features(world / "planted", seed=0)
    for which in ("a", "b"):
        process = Process(share=Share(), device=torch.device("cpu"))
        execute(classifier_run(which, world), world / "classifiers" / which, process=process)


def losses(folder: Path) -> list[dict[str, float]]:
    """Losses of a run, step by step."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    found = [{k: v for k, v in line.items() if k.startswith("loss/")} for line in lines]
    return [line for line in found if line]


def go_back_to_step_1(folder: Path) -> None:
    """Make the checkpoint after the first step a run's last."""
    last = folder / "checkpoints" / "last"
    last.unlink()
    last.symlink_to("step-1", target_is_directory=True)


def weight_difference(one: Path, other: Path) -> tuple[float, str]:
    """The largest difference of a weight at the end of two runs, and which."""
    expected, found = (load_file(f / "checkpoints/last/model.safetensors") for f in (one, other))
    assert expected.keys() == found.keys()
    return max((float((w - found[name]).abs().max()), name) for name, w in expected.items())


def loss_difference(one: Path, other: Path) -> float:
    """The largest difference of a loss, as a share of it, over the steps of two runs."""
    steps = zip(losses(one), losses(other), strict=True)
    return max(
        abs(value - found[name]) / max(1.0, abs(value))
        for expected, found in steps
        for name, value in expected.items()
    )


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def row(what: str, values: list[float]) -> None:
    print(f"| {what} | " + " | ".join(f"{value:.1e}" for value in values) + " |", flush=True)


def main(out: Path) -> int:
    began, worst = time.monotonic(), 0.0
    world, one = out / "world", out / "one"
    make_world(world)
    train_all(world, one, [(stage, "ddp") for stage in STAGES])
    print("| largest difference from one rank | " + " | ".join(STAGES) + " |")
    print("|---" * (1 + len(STAGES)) + "|")
    jobs = [(stage, strategy) for strategy in STRATEGIES for stage in STAGES]
    for count in (2, 4):
        train_on_ranks(count, free_port(), world, out / str(count), jobs)
        for strategy in STRATEGIES:
            pairs = [(one / f"ddp-{s}", out / str(count) / f"{strategy}-{s}") for s in STAGES]
            of_losses = [loss_difference(*pair) for pair in pairs]
            of_weights = [weight_difference(*pair)[0] for pair in pairs]
            row(f"{count} ranks, {strategy}: losses", of_losses)
            row(f"{count} ranks, {strategy}: weights", of_weights)
            worst = max(worst, *of_losses, *of_weights)
    for source in STRATEGIES:
        again = out / f"from-{source}"
        for stage, strategy in jobs:
            folder = again / f"{strategy}-{stage}"
            shutil.copytree(out / "4" / f"{source}-{stage}", folder, symlinks=True)
            go_back_to_step_1(folder)
        train_on_ranks(2, free_port(), world, again, jobs, resume=True)
        for strategy in STRATEGIES:
            pairs = [(one / f"ddp-{stage}", again / f"{strategy}-{stage}") for stage in STAGES]
            of_weights = [weight_difference(*pair)[0] for pair in pairs]
            row(f"{source} on 4, then {strategy} on 2: weights", of_weights)
            worst = max(worst, *of_weights)
    print(f"\nLargest of all {worst:.1e}; {time.monotonic() - began:.0f} s.")
    return int(worst >= 1e-5)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
