"""A temporal detector beside a sliding classifier, on planted features, over several seeds.

python benchmarks/sliding_baseline.py --seeds 0 1 2

Both read the same features. The classifier is linear with a softmax, trained as one of trimmed
clips is: on the steps within one annotated segment, never on background. A step is a window.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from internvideo.hub import load_pretrained
from internvideo.metrics.temporal_localization import THUMOS_THRESHOLDS
from internvideo.playground import plant_features
from internvideo.recipes import recipe
from internvideo.runs import Run, execute
from internvideo.tasks import LocalizationData, TemporalDetector, TemporalLocalization
from internvideo.tasks.temporal_localization import (
    FeatureReader,
    FeatureSets,
    LocalizationVideos,
    SlidingConfig,
    segments_of_probabilities,
)
from internvideo.tasks.temporal_localization.result import mean_average_precision_of
from internvideo.training import joined
from internvideo.values import Annotations


def videos(data: LocalizationData, sets: FeatureSets):
    """Annotated videos, and their features."""
    read, reader = data.read(), FeatureReader(sets)
    return read, [reader.read(record) for record in read.annotations.records]


def train_classifier(annotations: Annotations, sequences, seed: int):
    """A linear classifier of the steps that lie within one segment, as probabilities."""
    rows, labels = [], []
    for sequence in sequences:
        middle = torch.arange(len(sequence))[:, None]
        inside = (middle >= sequence.segments[:, 0]) & (middle <= sequence.segments[:, 1])
        alone = inside.sum(1) == 1
        rows.append(sequence.features[alone])
        labels.append(sequence.labels[inside[alone].int().argmax(1)])
    torch.manual_seed(seed)
    model = nn.Linear(rows[0].shape[1], len(annotations.classes))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(torch.cat(rows)), torch.cat(labels)).backward()
        optimiser.step()
    return lambda features: model(features).softmax(1)


@torch.no_grad()
def sliding(probabilities, classes, annotations: Annotations, sequences) -> dict[float, float]:
    """mAP of a classifier with these classes, by threshold of temporal IoU; 0 is the mean."""
    config = SlidingConfig()
    found = [
        segments_of_probabilities(
            probabilities(sequence.features),
            step_s=sequence.grid.step_s,
            offset_s=sequence.grid.offset_s,
            duration_s=sequence.duration_s,
            thresholds=config.thresholds,
            suppression=config.suppression,
        )
        for sequence in sequences
    ]
    place = {
        label: list(classes).index(name)
        for label, name in enumerate(annotations.classes)
        if name in classes
    }
    scores = mean_average_precision_of(found, annotations.records, place, THUMOS_THRESHOLDS)
    return {0.0: scores.average_map} | dict(scores.map_at)


def planted(split: str):
    data = LocalizationData(data="data/planted/segments.csv", format="segment-csv", split=split)
    return videos(data, recipe("temporal_localization_tiny").stage.features)


def trained(run: Run, out: str, read: LocalizationVideos) -> dict[float, float]:
    """mAP of a run on annotated videos, once it is trained."""
    with joined("cpu") as process:
        outcome, _ = execute(run, Path(out), process=process)
    if outcome.interrupted:
        raise SystemExit(f"{out} was stopped")
    model = TemporalDetector.from_pretrained(load_pretrained(Path(out), averaged=True), source=out)
    scores = TemporalLocalization().evaluate(model, read).scores
    return {0.0: scores["map/average"]} | {t: scores[f"map/{t:g}"] for t in THUMOS_THRESHOLDS}


def tell(every: dict[str, list[list[float]]]) -> None:
    """Mean over seeds, and the range from the lowest to the highest."""
    for name, rows in every.items():
        spread = zip(np.mean(rows, 0), np.ptp(rows, 0), strict=True)
        print(f"| {name} |", " | ".join(f"{mean:.3f} ({width:.3f})" for mean, width in spread), "|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    shown = (0.0, 0.3, 0.5, 0.7)
    every: dict[str, list[list[float]]] = {"detector": [], "sliding": []}
    print(f"torch {torch.__version__}; mAP: mean over 0.3:0.7, then at 0.3, 0.5, 0.7")
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            plant_features(Path("data/planted"), seed=seed)
            start = time.process_time()
            run = recipe("temporal_localization_tiny")
            training = replace(run.training, num_steps=options.steps)
            train, test = planted("train"), planted("test")
            known, read = train[0].annotations, test[0]
            classify = train_classifier(known, train[1], seed)
            rows = {
                "detector": trained(replace(run, seed=seed, training=training), "runs/tal", read),
                "sliding": sliding(classify, known.classes, read.annotations, test[1]),
            }
        for name, row in rows.items():
            every[name].append([row[t] for t in shown])
            print(f"seed {seed} {name:<9}", *(f"{row[t]:.3f}" for t in shown))
        print(f"seed {seed}: {time.process_time() - start:.0f} processor seconds", flush=True)
    tell(every)


if __name__ == "__main__":
    main()
