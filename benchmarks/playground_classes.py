"""What classifiers of the playground's joint classes are good at: looks, motions, and both at once.

    internvideo train post_pretrain_tiny_playground --data DATA --out RUN \\
        --set 'data.columns={label="joint"}' --set stage.model.num_classes=232
    python benchmarks/playground_classes.py --data DATA RUN [RUN ...]

A joint class is a colour and an action. From its probabilities follow those of the colour
(appearance) and of the action (motion); `pairs` are videos of paired actions, judged between the
two alone, which differ in the order of frames only. Runs of the 29 actions have motion and pairs.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from internvideo.data import VideoData, ViewPlan
from internvideo.hub import load_recogniser
from internvideo.playground import PAIRS
from internvideo.tasks import ActionRecognition, Inference


def summed(probabilities: Tensor, names: list[str]) -> tuple[Tensor, list[str]]:
    """Add up the probabilities of classes that share a name."""
    different = sorted(set(names))
    place = torch.tensor([different.index(name) for name in names])
    total = torch.zeros(len(probabilities), len(different)).index_add(1, place, probabilities)
    return total, different


def scores(probabilities: Tensor, classes: tuple[str, ...], truth: list[str]) -> dict[str, float]:
    """Accuracies of everything the classes tell; a video that failed is wrong."""
    probabilities = probabilities.nan_to_num(0.0)
    asked = {"motion": lambda name: name.split()[-1]}
    if " " in classes[0]:
        asked = {"appearance": lambda name: name.split()[0], **asked, "joint": str}
    found = {}
    for what, part in asked.items():
        chances, names = summed(probabilities, [part(name) for name in classes])
        wanted = torch.tensor([names.index(part(name)) for name in truth])
        found[what] = float((chances.argmax(1) == wanted).double().mean())
        if what == "motion":
            other = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
            rows = [i for i, name in enumerate(truth) if part(name) in other]
            own = chances[rows, wanted[rows]]
            against = [names.index(other[part(truth[i])]) for i in rows]
            found["pairs"] = float((own > chances[rows, against]).double().mean())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--clips", type=int, default=1, help="clips of each video, averaged")
    parser.add_argument("--unseen", action="store_true", help="unseen combinations only")
    options = parser.parse_args()
    with (options.data / "manifest.csv").open(newline="", encoding="utf-8") as file:
        unseen = {
            Path(row["path"]).name
            for row in csv.DictReader(file)
            if row["unseen_combination"] == "1"
        }
    for run in options.runs:
        recogniser = load_recogniser(run)
        column = "joint" if " " in recogniser.classes[0] else "label"
        data = VideoData(source="manifest.csv", root=str(options.data), columns={"label": column})
        videos = data.read().of_split(options.split)
        if options.unseen:
            kept = tuple(one for one in videos.records if one.video.name in unseen)
            videos = replace(videos, records=kept)
        for name in ("", "  shuffled"):
            task = ActionRecognition(
                views=ViewPlan(num_clips=options.clips),
                inference=Inference(shuffled=bool(name)),
            )
            result = task.evaluate(recogniser, videos)
            truth = [result.classes[int(label)] for label in result.labels]
            told = scores(result.probabilities, result.classes, truth)
            numbers = "  ".join(f"{what} {value:.3f}" for what, value in told.items())
            print(f"{str(run) + name:<44} {len(truth)} videos  {numbers}", flush=True)


if __name__ == "__main__":
    main()
