"""Multi-view evaluation: how much of it is decoding, the network, and everything else.

Processor time of one process that decodes between batches, tiny encoder A of `mae_tiny_actions`
with random weights: the smaller the network, the more of the time Python could take.
`python benchmarks/multi_view.py VIDEOS [--num N] [--repeats N]`
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import torch

from internvideo.data import ANNOTATIONS, ViewPlan, views
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.models import MaskedEncoderConfig
from internvideo.recipes import recipe
from internvideo.tasks import ActionRecognition, RecognitionModel
from internvideo.values import Annotations
from internvideo.video import VideoReader

SPENT: dict[str, float] = defaultdict(float)


def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which adds its processor time to `SPENT`."""

    def measured(*args: Any, **options: Any) -> Any:
        started = time.process_time()
        result = function(*args, **options)
        SPENT[name] += time.process_time() - started
        return result

    return measured


def tiny(classes: tuple[str, ...]) -> RecognitionModel:
    encoder = recipe("mae_tiny_actions").stage.encoder
    assert isinstance(encoder, MaskedEncoderConfig)
    torch.manual_seed(0)
    config = VideoClassifierConfig(
        encoder=replace(encoder, final_norm=False), num_classes=len(classes)
    )
    return RecognitionModel(
        VideoClassifier(config), classes, num_frames=encoder.num_frames, side_px=encoder.side_px
    )


def shares(model: RecognitionModel, data: Annotations, task: ActionRecognition) -> dict[str, float]:
    """Seconds of one evaluation, and the parts of it."""
    SPENT.clear()
    started = time.process_time()
    task.evaluate(model, data)
    total = time.process_time() - started
    parts = {name: spent / total for name, spent in SPENT.items()}
    return {"seconds": total, **parts, "everything else": 1 - sum(parts.values())}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("videos", help="folder of videos, one folder a class")
    parser.add_argument("--num", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    read = ANNOTATIONS["folder"](options.videos)
    step = max(1, len(read.records) // options.num)
    data = replace(read, records=read.records[::step][: options.num])
    model = tiny(read.classes)
    model.model.forward = timed("network", model.model.forward)
    views.open_video = timed("decoding", views.open_video)
    VideoReader.frames = timed("decoding", VideoReader.frames)

    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    print(
        f"{len(data.records)} videos, torch {torch.__version__}, av {av.__version__}, Python "
        f"{platform.python_version()}, revision {revision}, 1 thread, {options.repeats} repeats"
    )
    plans = [(1, 1), (5, 3)]
    rows: dict[tuple[int, int], list[dict[str, float]]] = {plan: [] for plan in plans}
    for repeat in range(options.repeats + 1):  # the first one warms up
        for plan in plans:
            task = ActionRecognition(views=ViewPlan(num_clips=plan[0], num_crops=plan[1]))
            row = shares(model, data, task)
            rows[plan] += [row] * (repeat > 0)
    for (clips, crops), measured in rows.items():
        print(f"{clips} clips x {crops} crops")
        for name in measured[0]:
            values = sorted(row[name] for row in measured)
            spread = f"{values[0]:.3f} to {values[-1]:.3f}"
            print(f"  {name:<16} {statistics.median(values):.3f}  ({spread})")


if __name__ == "__main__":
    main()
