"""What coordination gains, part by part: the ablation of its choices, over seeds, on kept features.

    python benchmarks/coordination.py --data runs/playground \\
        --masked RUN_A [RUN_A ...] --multimodal RUN_B [RUN_B ...] --seeds 0 1 2 3 4

The i-th run of encoder A's classifier is paired with the i-th of encoder B's. The frozen encoders
read every clip once for each pair (`--epochs` times, each with its own windows); then every variant
is trained from every seed on what they gave, by the one training loop, on the clips of the recipe's
`data.train_split`: val, since both encoders know train by heart. Printed are accuracies on
`--split`, or on those of its clips with a value in a column of the manifest (`--only
unseen_combination=1`).
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.heads import CoordinatedClassifierConfig
from internvideo.models import CoordinationConfig
from internvideo.recipes import recipe
from internvideo.runs import Run, build_stage, override
from internvideo.stages import ANSWERS, CoordinationStage, CoordinationTraining
from internvideo.training import Process, TrainingConfig, train
from internvideo.values import Share

# results[variant][answer] = accuracies, one for each pair and seed
Results = dict[str, dict[str, list[float]]]

# What each variant changes of the recipe's coordination; `trains` stands apart.
NONE = {"blocks": (), "reversed_module": False}
VARIANTS: dict[str, dict] = {
    "learned fusion only": {**NONE, "trains": "fusion"},
    "fusion and classifiers": {**NONE, "trains": "heads"},
    "reversed module only": {"blocks": ()},
    "modules, none reversed": {"reversed_module": False},
    "modules and reversed": {},
    "modules and reversed, classifiers kept": {"trains": "modules"},
    "one block": {"blocks": 1},
    "half of the blocks": {"blocks": "half"},
    "all blocks": {"blocks": "all", "layers": "depth"},
    "reading its own slot": {"scope": "slot"},
}


def widest(run: Run, epochs: int) -> Run:
    """The run whose kept features serve all variants, which say themselves what learns."""
    stage = run.stage
    assert isinstance(stage, CoordinationTraining)
    coordination = replace(stage.pair.coordination, blocks="all", layers="depth")
    pair = replace(stage.pair, coordination=coordination)
    return replace(run, stage=replace(stage, pair=pair, kept_epochs=epochs, keep_classifiers=False))


def varied(
    pair: CoordinatedClassifierConfig, base: CoordinationConfig, change: dict
) -> CoordinatedClassifierConfig:
    """The pair with one variant's coordination."""
    own = {name: value for name, value in change.items() if name != "trains"}
    return replace(pair, coordination=replace(base, **own))


def keep_frozen(stage: CoordinationStage, trains: str) -> None:
    """Leave only the fusion to learn, or it and the classifiers, or it and the modules."""
    for name, parameter in stage.model.trainable_parameters():
        of_modules = name.startswith("coordination.")
        learns = {
            "fusion": False,
            "heads": ".encoder." not in name and not of_modules,
            "modules": of_modules,
        }
        parameter.requires_grad_(name in ("alpha", "beta") or learns[trains])


def train_variant(
    stage: CoordinationStage, training: TrainingConfig, *, seed: int, process: Process
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        train(stage, training, folder=Path(folder), run={}, seed=seed, process=process)


def accuracies(stage: CoordinationStage, chosen: Tensor) -> dict[str, float]:
    return {name: float(stage.right(name)[chosen].double().mean()) for name in ANSWERS}


def chosen_clips(stage: CoordinationStage, only: str | None) -> Tensor:
    """Which held-back clips count: all, or those with a value in a column of the manifest."""
    dataset = stage.data.held_out.dataset
    if only is None:
        return torch.ones(len(stage.labels), dtype=torch.bool)
    if len(dataset) != len(stage.labels):
        raise SystemExit("some held-back videos cannot be decoded, so --only cannot be applied")
    column, _, value = only.partition("=")
    manifest = Path(dataset.config.root or ".") / dataset.config.source
    with manifest.open(newline="", encoding="utf-8") as file:
        wanted = {Path(row["path"]).name for row in csv.DictReader(file) if row[column] == value}
    return torch.tensor([record.video.name in wanted for record in dataset.records])


def ablate(run: Run, options: argparse.Namespace, tell: Callable[[str], None]) -> Results:
    """Accuracies by variant and answer, one for each seed; `alone` is without any training."""
    process = Process(share=Share(), device=torch.device(options.device))
    found: Results = defaultdict(lambda: defaultdict(list))
    assert isinstance(run.stage, CoordinationTraining)
    base, started = run.stage.pair.coordination, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        _, widest_stage = build_stage(widest(run, options.epochs), Path(folder), process)
        assert isinstance(widest_stage, CoordinationStage) and widest_stage.kept is not None
        kept = len(widest_stage.kept)
        tell(f"{kept} clips read in {time.perf_counter() - started:.0f} s")
        chosen = chosen_clips(widest_stage, options.only)
        tell(f"{int(chosen.sum())} held-back clips count")
        for seed in options.seeds:
            for name in options.variants:
                try:
                    pair = varied(widest_stage.config.pair, base, VARIANTS[name])
                    stage = widest_stage.with_pair(pair, seed=seed)
                except ConfigError as error:
                    tell(f"{name} is left out: {error}")
                    continue
                kept_too = "modules" if options.keep_classifiers else None
                if trains := VARIANTS[name].get("trains", kept_too):
                    keep_frozen(stage, trains)
                begun = time.perf_counter()
                train_variant(stage, run.training, seed=seed, process=process)
                scores = accuracies(stage, chosen)
                for answer, score in scores.items():
                    found[name][answer].append(score)
                tell(
                    f"seed {seed}, {name}: {scores['coordinated']:.3f} "
                    f"({time.perf_counter() - begun:.0f} s)"
                )
    return found


def table(results: Results) -> list[str]:
    """One line for each answer without training, then one for each variant."""
    first = next(iter(results.values()))
    lines = [f"{'':26} {'fused':>15} {'branch A':>15} {'branch B':>15}"]
    lines += [f"{answer:26} {_spread(first[answer])}" for answer in ANSWERS[:4]]
    for name, scores in results.items():
        branches = ("coordinated", "coordinated_A", "coordinated_B")
        lines.append(f"{name:26} {' '.join(_spread(scores[branch]) for branch in branches)}")
    return lines


def _spread(values: Sequence[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.3f} +- {deviation:.3f}".rjust(15)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="coordinate_tiny_playground")
    parser.add_argument("--masked", nargs="+", required=True)
    parser.add_argument("--multimodal", nargs="+", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--only", help="column=value of the manifest")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument(
        "--keep-classifiers",
        action="store_true",
        help="train modules and fusion alone, as the recipe does, where a variant names no other",
    )
    parser.add_argument("--set", nargs="*", default=[], help="fields of the recipe: a.b=value")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    logging.getLogger("internvideo").setLevel(logging.WARNING)
    results: Results = defaultdict(lambda: defaultdict(list))
    for a, b in zip(options.masked, options.multimodal, strict=True):
        fixed = [
            f"stage.masked={a}",
            f"stage.multimodal={b}",
            f"data.root={options.data}",
            f"data.eval_split={options.split}",
        ]
        run = override(recipe(options.recipe), [*fixed, *options.set])
        for name, scores in ablate(run, options, lambda line: print(line, flush=True)).items():
            for answer, values in scores.items():
                results[name][answer] += values
    print("\n".join(table(results)))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
