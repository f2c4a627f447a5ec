"""`internvideo demo`: the whole chain on the playground, then one page to look at.

    videos -> A, B: pretraining -> A, B: classification -> coordination -> results.json

`report.html` is written after the videos and after every stage, with what has been learned until
then. What is complete in the folder is not made again, and a run that was cut off goes on.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from internvideo.runs import Run
    from internvideo.training import TrainingConfig


class Stage(NamedTuple):
    """A run of the chain, in a folder of its recipe's name, and its steps by the demo's size.

    `in_fp32` is for processors that do not multiply bf16, whose steps take 1.6 times as long.
    """

    recipe: str
    does: str
    small: int
    demo: int
    in_fp32: int

    def num_steps(self, size: str, *, device: str) -> int:
        """Steps at the demo's size where its recipe runs on the device."""
        from internvideo.training.parallel import choose_device
        from internvideo.training.precision import resolve_precision

        if size == "small":
            return self.small
        precision = resolve_precision("auto", choose_device(device))
        return self.in_fp32 if precision == "fp32" else self.demo


# For two minutes on two cores, and for eight without bf16, six with it. Encoder A rebuilds nothing
# in its first hundred steps.
PLAN = (
    Stage("mae_tiny_playground", "encoder A learns to rebuild hidden parts", 40, 240, 200),
    Stage("multimodal_tiny_playground", "encoder B learns to match videos and text", 25, 75, 60),
    Stage("post_pretrain_tiny_playground", "encoder A learns to classify actions", 60, 150, 110),
    Stage("post_pretrain_tiny_playground_b", "encoder B learns to classify actions", 20, 40, 30),
    Stage("coordinate_tiny_playground", "A and B learn to read each other's features", 12, 20, 20),
)

_NUM_VIDEOS = {"small": 200, "demo": 800}
_SIDE_PX = 64  # what the encoders read, so that decoding is cheap


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Generate videos of known content, train both encoders and their coordination, show it all.

    Example: internvideo demo --out runs/demo
    """

    out: Path = Path("runs/demo")
    """Folder of everything the demo makes; a demo that was cut short is continued."""
    size: Literal["small", "demo"] = "demo"
    """demo is laid out for 8 minutes on two cores (with fewer steps where the processor does not
    multiply bf16), small for two."""
    seed: int = 0
    """Of the videos and of the training."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    def run(self) -> int:
        from internvideo.cli.demo_report import write_demo_report
        from internvideo.cli.demo_results import DemoResults
        from internvideo.writing import replace_text

        last = len(PLAN) + 1
        runs: dict[str, str] = {}
        with _told(f"1/{last} generating videos"):
            self._generate()
            found = DemoResults(self.out, device=self.device)
            page = write_demo_report(self.out, found, runs=runs, num_runs=len(PLAN))
        print(f"   open {page}; it grows with every stage", flush=True)
        for number, stage in enumerate(PLAN, 2):
            with _told(f"{number}/{last} {stage.does}"):
                if not self._train(stage):
                    print("   stopped; the same command goes on from here", flush=True)
                    return 1
                found.add(stage.recipe, self._run_of(stage))
                runs[stage.does] = stage.recipe
                write_demo_report(self.out, found, runs=runs, num_runs=len(PLAN))
        replace_text(self.out / "results.json", json.dumps(found.by_metric(), indent=2) + "\n")
        top1 = found.by_metric()["action-recognition"]["top1"]
        print("actions, right at first guess:", ", ".join(f"{k} {v:.2f}" for k, v in top1.items()))
        print(f"open {page}")
        return 0

    def _generate(self) -> None:
        from internvideo.cli.terminal import progress
        from internvideo.playground import generate

        num_videos = _NUM_VIDEOS[self.size]
        with progress("videos") as tell:
            summary = generate(
                self.out / "playground",
                size=num_videos,
                num_stills=num_videos,
                seed=self.seed,
                num_workers=os.cpu_count() or 1,
                side_px=_SIDE_PX,
                has_check=False,
                on_progress=tell,
            )
        print(summary, flush=True)

    def _train(self, stage: Stage) -> bool:
        """Train what is not yet trained; whether it came to its end."""
        from internvideo.cli.train import train_and_report

        run, folder = self._run_of(stage), self.out / stage.recipe
        if _is_finished(folder, run.training.num_steps):
            print(f"   {folder} is there already", flush=True)
            return True
        print(f"   {run.training.num_steps} steps of {stage.recipe}", flush=True)
        resume = (folder / "run.json").exists()
        outcome, _ = train_and_report(run, folder, device=self.device, resume=resume)
        gc.collect()  # frames that it kept in memory, before the next one keeps its own
        return not outcome.interrupted

    def _run_of(self, stage: Stage) -> Run:
        """The recipe on the demo's videos, from the demo's runs, with the demo's steps."""
        from internvideo.cli.train import rooted
        from internvideo.recipes import recipe

        run = rooted(recipe(stage.recipe), str(self.out / "playground"))
        starts: dict[str, Any] = {
            name: str(self.out / Path(start).name)
            for name in ("initial_weights", "masked", "multimodal")
            if (start := getattr(run.stage, name, None)) is not None
        }
        num_steps = stage.num_steps(self.size, device=self.device)
        return replace(
            run,
            seed=self.seed,
            stage=replace(run.stage, **starts),
            training=_of_length(run.training, num_steps),
        )


def _of_length(training: TrainingConfig, num_steps: int) -> TrainingConfig:
    warmup = min(training.optimiser.warmup_steps, num_steps // 5)
    return replace(
        training,
        num_steps=num_steps,
        optimiser=replace(training.optimiser, warmup_steps=warmup),
        log_every=min(training.log_every, max(1, num_steps // 4)),
        evaluate_every=num_steps,
        checkpoint_every=-(-num_steps // 3),
    )


def _is_finished(folder: Path, num_steps: int) -> bool:
    """Whether a run took all its steps and then wrote its page."""
    from internvideo.training import last_checkpoint, load

    checkpoint = last_checkpoint(folder / "checkpoints")
    if checkpoint is None or not (folder / "report.html").exists():
        return False
    return load(checkpoint).documents["provenance"]["step"] >= num_steps


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Say what begins, and how long it took."""
    print(what, flush=True)
    started = time.monotonic()
    yield
    print(f"   {time.monotonic() - started:.0f} s", flush=True)
