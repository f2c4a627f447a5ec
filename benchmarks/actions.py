"""What classifiers of real actions are worth: ten UCF101 classes, persons and places never seen.

    internvideo train recognition_tiny_actions --data DATA --out RUN --set seed=N
    python benchmarks/actions.py --data DATA RUN [RUN ...]

DATA is a folder with `splits.csv` (columns file, class, split). Told for each run and over all of
them: top-1 with one view of a video and with nine, and the same with the frames of every clip in
another order, which shows how much was read from time.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from internvideo.data import VideoData, ViewPlan
from internvideo.hub import load_recogniser
from internvideo.tasks import ActionRecognition, Inference

VIEWS = {  # clips, crops, whether their frames are shuffled
    "one view": (1, 1, False),
    "3 clips x 3 crops": (3, 3, False),
    "shuffled": (1, 1, True),
    "3 x 3, shuffled": (3, 3, True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    data = VideoData(
        source="splits.csv", root=options.data, columns={"path": "file", "label": "class"}
    )
    videos = data.read().of_split(options.split)
    print(f"{len(videos.records)} videos of split {options.split}")
    scores: dict[str, list[float]] = {name: [] for name in VIEWS}
    for run in options.runs:
        recogniser = load_recogniser(run)
        for name, (clips, crops, shuffled) in VIEWS.items():
            task = ActionRecognition(
                views=ViewPlan(num_clips=clips, num_crops=crops),
                inference=Inference(shuffled=shuffled),
            )
            result = task.evaluate(recogniser, videos)
            scores[name].append(result.scores["top1"])
            print(f"{run}  {name:<18} {result.scores['top1']:.3f}", flush=True)
    for name, values in scores.items():
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"mean of {len(values)}  {name:<18} {statistics.mean(values):.3f} +- {spread:.3f}")


if __name__ == "__main__":
    main()
