"""`internvideo demo`: the whole chain on the playground, then one page to look at."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from internvideo.recipes import Run


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Generate videos of known content, pretrain encoder A on them, and show what it rebuilds.

    Example: internvideo demo --out runs/demo
    """

    out: Path = Path("runs/demo")
    """Folder of everything the demo makes; a demo that was cut short is continued."""
    size: Literal["small", "demo"] = "demo"
    """demo takes up to ten minutes on two cores, small about two."""
    seed: int = 0
    """Of the videos and of the training."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    def run(self) -> int:
        from internvideo.cli.terminal import progress
        from internvideo.cli.train import train_and_report
        from internvideo.playground import generate
        from internvideo.report import write_demo_report
        from internvideo.training.journal import replace_text

        videos = self.out / "playground"
        with progress("1/2 generating videos") as tell:
            summary = generate(
                videos,
                size=self.size,
                seed=self.seed,
                num_workers=os.cpu_count() or 1,
                on_progress=tell,
            )
        print(summary, flush=True)
        run = self._masked_pretraining(videos)
        print(f"2/2 masked pretraining, {run.training.num_steps} steps", flush=True)
        folder = self.out / run.name
        resume = (folder / "run.json").exists()
        outcome, rebuilt = train_and_report(run, folder, device=self.device, resume=resume)
        if outcome.interrupted:
            return 1
        if rebuilt is None:  # not the first rank
            return 0
        results = {
            "masked-pretraining": {
                name: {"A": outcome.scores[name]} for name in ("error_ratio", "error")
            }
        }
        replace_text(self.out / "results.json", json.dumps(results, indent=2) + "\n")
        page = write_demo_report(
            self.out, results=results, playground=str(summary), run=folder, reconstructions=rebuilt
        )
        ratio = outcome.scores["error_ratio"]
        print(f"error on hidden tubelets: {ratio:.3f} of predicting each clip's mean tubelet")
        print(f"open {page}")
        return 0

    def _masked_pretraining(self, videos: Path) -> Run:
        from internvideo.recipes import recipe

        run = recipe("mae_tiny_playground")
        run = replace(run, seed=self.seed, data=replace(run.data, root=str(videos)))
        if self.size == "demo":
            return run
        optimiser = replace(run.training.optimiser, warmup_steps=20)
        training = replace(run.training, num_steps=250, optimiser=optimiser)
        return replace(run, training=training)
