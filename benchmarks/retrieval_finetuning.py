"""What fine-tuning on a tenth of the captions of another playground adds to zero-shot retrieval.

    python benchmarks/retrieval_finetuning.py WORLD1 WORLD2 WORLD3 --start RUN --out runs/tenth

RUN is a multimodal_tiny_playground of yet another world. Of each world a tenth of the training
sentences is drawn, RUN is fine-tuned on them (recipe retrieval_tiny_playground), and both are
scored on the world's test videos with a sentence each. The weights of the last step are taken.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import random
import statistics
import time
from pathlib import Path

from internvideo.cli import main as internvideo
from internvideo.data import VideoData

_SCORES = ("t2v/r1", "t2v/r5", "v2t/r1", "time/opposite")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("worlds", type=Path, nargs="+")
    parser.add_argument("--start", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--share", type=float, default=0.1, help="of the sentences")
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {"zero-shot": [], "fine-tuned": []}
    for seed, world in enumerate(options.worlds):
        folder = options.out / f"of-{world.name}"
        found["zero-shot"].append(evaluated(options.start, world))
        began = time.process_time()
        train(world.resolve(), folder, seed, options)
        spent = time.process_time() - began
        found["fine-tuned"].append(evaluated(str(folder), world))
        for name, rows in found.items():
            print(world.name, name, {key: round(rows[-1][key], 3) for key in _SCORES}, flush=True)
        print(f"fine-tuned in {spent:.0f} s of processor time", flush=True)
    for name, rows in found.items():
        cells = []
        for key in _SCORES:
            values = [row[key] for row in rows]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):.3f} ± {spread:.3f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


def train(world: Path, folder: Path, seed: int, options: argparse.Namespace) -> None:
    """Fine-tune on a share of the sentences, unless it is done."""
    if (folder / "checkpoints" / "last").exists():
        return
    read = VideoData(source="msrvtt/MSRVTT_data.json", format="msr-vtt", root=str(world)).read()
    pairs = [(r.video, said) for r in read.of_split("train").records for said in r.captions]
    drawn = random.Random(seed).sample(pairs, round(options.share * len(pairs)))
    held_out = [(r.video, r.captions[0]) for r in read.of_split("val").records]
    folder.parent.mkdir(parents=True, exist_ok=True)
    table = folder.with_suffix(".csv").resolve()
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "caption", "split"))
        rows.writerows((video, said, "train") for video, said in drawn)
        rows.writerows((video, said, "val") for video, said in held_out)
    print(f"{world.name}: {len(drawn)} of {len(pairs)} sentences", flush=True)
    settings = [
        f"stage.initial_weights={options.start}",
        f"data.source={table}",
        f"data.root={world}",
        "data.format=manifest",
        f"seed={seed}",
        f"training.num_steps={options.steps}",
        f"training.optimiser.warmup_steps={options.steps // 10}",
        f"training.evaluate_every={options.steps}",
        f"training.checkpoint_every={options.steps}",
    ]
    words = [word for one in settings for word in ("--set", one)]
    status = internvideo(["train", "retrieval_tiny_playground", "--out", str(folder), *words])
    if status:
        raise SystemExit(status)


def evaluated(model: str, world: Path) -> dict[str, float]:
    """Scores on the test videos of a world."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        test = world / "msrvtt" / "MSRVTT_JSFUSION_test.csv"
        words = ["evaluate", "retrieval", model, "--format", "msr-vtt", "--root", str(world)]
        status = internvideo([*words, "--data", str(test), "--json"])
    if status:
        raise SystemExit(status)
    return json.loads(said.getvalue())


if __name__ == "__main__":
    main()
