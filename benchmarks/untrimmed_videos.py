"""Temporal localization in generated and in real videos, beside classifiers that slide over them.

    python benchmarks/untrimmed_videos.py playground --demo runs/demo
    python benchmarks/untrimmed_videos.py actions --clips DATA/actions --others DATA/videos \
        --runs runs/a-0 runs/a-1 runs/a-2

`playground` takes the encoders of the demo, trains on untrimmed videos of seed 0 and tests on those
of another seed. `actions` joins clips of ten UCF101 classes, with videos of something else between
them, and reads them with the encoders of `recognition_tiny_actions_a`, one for each seed. Two
baselines read the same features: the head that the encoder was trained with, and a linear
classifier of the steps within annotated segments, which knows the videos that the detector knows.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import torch
from sliding_baseline import sliding, tell, train_classifier, trained, videos

from internvideo.cli import main as run_command
from internvideo.data import JoiningConfig, VideoData, join_clips
from internvideo.heads import AdaptedEncoderConfig
from internvideo.hub import load_pretrained
from internvideo.playground import generate_untrimmed
from internvideo.recipes import recipe
from internvideo.tasks import LocalizationData
from internvideo.tasks.temporal_localization import FeatureSets

SHOWN = (0.0, 0.3, 0.5, 0.7)
STRIDE_S = 0.5
SMALL = JoiningConfig(height_px=72, width_px=96, rate_fps=12.5)  # encoders read 64 px


def extract(model: Path, home: Path, name: str, *, rate_fps: float) -> FeatureSets:
    """Features of all videos of a folder, in a folder of its own."""
    out = home / name
    start = time.process_time()
    words = ["--fps", str(rate_fps), "--stride-s", str(STRIDE_S), "--device", "cpu"]
    command = ["extract", str(home / "videos"), "--model", str(model), "--out", str(out), *words]
    assert run_command(command) == 0
    print(f"{out}: {time.process_time() - start:.0f} processor seconds", flush=True)
    return FeatureSets(extracted=(str(out.absolute()),))


def own_head(model: Path):
    """What a classifier says of its features, and its classes."""
    found = load_pretrained(model)
    assert found.classes
    return lambda features: found.model.head(features).softmax(1), found.classes


def measure(name, train_home, test_home, sets, test_sets, options, *, seeds, tested, head=None):
    """Rows of mAP: the detector and both baselines, for each seed."""
    start = time.process_time()
    home = {"format": "segment-csv"}
    known = videos(
        LocalizationData(data=str(train_home / "segments.csv"), split="train", **home), sets
    )
    read, sequences = videos(
        LocalizationData(data=str(test_home / "segments.csv"), split=tested, **home), test_sets
    )
    read = replace(read, features=test_sets.extracted)
    width = known[1][0].features.shape[1]
    rows: dict[str, list[list[float]]] = {}
    for seed in seeds:
        run = recipe(f"temporal_localization_tiny_{options.what}")
        model = replace(
            run.stage.model, input_width=width, num_classes=len(known[0].annotations.classes)
        )
        run = replace(
            run,
            seed=seed,
            stage=replace(run.stage, model=model, features=sets),
            data=replace(run.data, root=str(train_home), eval_split=options.held_out),
            training=replace(run.training, num_steps=options.steps, evaluate_every=options.steps),
        )
        found = {f"{name}, detector": trained(run, f"runs/{name}-{seed}", read)}
        linear = train_classifier(known[0].annotations, known[1], seed)
        classes = known[0].annotations.classes
        found[f"{name}, linear, sliding"] = sliding(linear, classes, read.annotations, sequences)
        for label, row in found.items():
            rows.setdefault(label, []).append([row[t] for t in SHOWN])
            print(f"seed {seed} {label}", *(f"{row[t]:.3f}" for t in SHOWN), flush=True)
    if head is not None:
        row = sliding(*own_head(head), read.annotations, sequences)
        rows[f"{name}, own head, sliding"] = [[row[t] for t in SHOWN]]
        print(f"{name}, own head", *(f"{row[t]:.3f}" for t in SHOWN), flush=True)
    print(f"{name}: {time.process_time() - start:.0f} processor seconds", flush=True)
    return rows


def playground(options: argparse.Namespace) -> None:
    train, test = Path("untrimmed"), Path("unseen")
    for home, count, seed in ((train, options.videos, 0), (test, options.videos // 3, 1000)):
        if not (home / "segments.csv").exists():
            generate_untrimmed(home, num_videos=count, seed=seed, side_px=64)
        _take_all(home / "segments.csv")
    demo = options.demo
    models = {
        "A": demo / "post_pretrain_tiny_playground",
        "B": demo / "post_pretrain_tiny_playground_b",
        "pair": demo / "coordinate_tiny_playground",
    }
    sets = {
        name: [extract(model, home, name, rate_fps=4) for home in (train, test)]
        for name, model in models.items()
    }
    sets["both"] = [
        FeatureSets(extracted=(a.extracted[0], b.extracted[0]))
        for a, b in zip(sets["A"], sets["B"], strict=True)
    ]
    heads = {name: model for name, model in models.items() if name != "pair"}
    rows = {}
    for name in ("A", "B", "both", "pair"):
        rows |= measure(
            name,
            *(train, test, *sets[name], options),
            seeds=range(options.seeds),
            tested="test",
            head=heads.get(name),
        )
    tell(rows)


def _take_all(table: Path) -> None:
    """Use all videos: of the first set to train on but for those of val, of the other to test."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    is_test = table.parent.name == "unseen"  # of the other seed
    for row in rows:
        row["split"] = "test" if is_test else {"test": "train"}.get(row["split"], row["split"])
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def actions(options: argparse.Namespace) -> None:
    home = Path("joined")
    if not home.exists():
        _join(options, home, SMALL)
    rows: dict[str, list[list[float]]] = {}
    for seed, run in enumerate(options.runs):
        sets = extract(run, home, f"features-{seed}", rate_fps=12)
        found = measure(
            f"A of seed {seed}",
            *(home, home, sets, sets, options),
            seeds=[seed],
            tested="test",
            head=run,
        )
        for label, row in found.items():
            rows.setdefault(label.split(", ", 1)[1], []).extend(row)
    tell(rows)


def _join(options: argparse.Namespace, home: Path, config: JoiningConfig) -> None:
    """Clips to train and to test on; videos between them are those that show no human action."""
    read = VideoData(
        source=str(options.clips / "splits.csv"), columns={"path": "file", "label": "class"}
    ).read()
    clips = replace(read, records=tuple(r for r in read.records if r.split != "val"))
    with (options.others / "manifest.csv").open(newline="") as file:
        listed = [row for row in csv.DictReader(file) if row["label"].startswith("none")]
    others = [path for row in listed if (path := options.others / row["file"]).is_file()]
    count = join_clips(clips, others, home, num_videos=options.videos, seed=0, config=config)
    print(f"{home}: {count} segments, {len(others)} videos between them")


def adapters(options: argparse.Namespace) -> None:
    """Short real videos, by an encoder with adapters, and by the same with them at rest."""
    home = Path("short")
    if not home.exists():
        _join(options, home, replace(SMALL, num_clips=(1, 2), background_s=(1.0, 2.0)))
    classifier = load_pretrained(options.runs[0]).model.config
    front_end = replace(classifier.front_end, num_salient_tubelets=0)
    adapted = AdaptedEncoderConfig(
        encoder=replace(classifier.encoder, drop_path=0.0), front_end=front_end, rate_fps=8.0
    )
    run = recipe("temporal_localization_tiny_adapted")
    model = replace(run.stage.model, num_classes=10)
    data = LocalizationData(data="short/segments.csv", format="segment-csv", split="test").read()
    for name, rate in (("adapters", 1.0), ("adapters at rest", 0.0)):
        start = time.process_time()
        optimiser = replace(run.training.optimiser, rates={r"^adapters\.": rate})
        changed = replace(
            run,
            stage=replace(
                run.stage, model=model, adapted=adapted, initial_weights=str(options.runs[0])
            ),
            data=replace(run.data, root="short", eval_split="test"),
            training=replace(
                run.training,
                num_steps=options.steps,
                optimiser=optimiser,
                ema_decay=0.95,
                evaluate_every=options.steps,
                checkpoint_every=options.steps,
            ),
        )
        row = trained(changed, f"runs/{name.replace(' ', '-')}", data)
        spent = time.process_time() - start
        print(f"| {name} |", " | ".join(f"{row[t]:.3f}" for t in SHOWN), f"| {spent:.0f} s |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("playground", "actions", "adapters"))
    parser.add_argument("--demo", type=Path, help="folder that `internvideo demo` wrote")
    parser.add_argument("--clips", type=Path, help="folder of clips with a splits.csv")
    parser.add_argument("--others", type=Path, help="folder of other videos with a manifest.csv")
    parser.add_argument("--runs", type=Path, nargs="+", help="runs of recognition_tiny_actions_a")
    parser.add_argument("--out", type=Path, default=Path("runs/untrimmed-benchmark"))
    parser.add_argument("--videos", type=int, default=45)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    for name in ("demo", "clips", "others"):
        if getattr(options, name):
            setattr(options, name, getattr(options, name).absolute())
    options.held_out = "val" if options.what == "playground" else "test"
    options.runs = [path.absolute() for path in options.runs or ()]
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"torch {torch.__version__}; mAP: mean over 0.3:0.7, then at 0.3, 0.5, 0.7")
    start = time.process_time()
    with chdir(options.out):
        {"playground": playground, "actions": actions, "adapters": adapters}[options.what](options)
    print(f"{time.process_time() - start:.0f} processor seconds in all")


if __name__ == "__main__":
    main()
