"""Evaluating temporal detections, and detecting segments in one hour of features, on one core.

python benchmarks/temporal_localization.py --loop-videos 100

The loop over predictions is that of ActivityNet's `eval_detection.py` and ActionFormer's
`metrics.py` in plain NumPy, without their data frames, which makes it several times faster than
theirs. It runs on the first videos alone, and its time for all is in proportion.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

from internvideo.data.feature_sequences import FeatureGrid, FeatureSequence
from internvideo.metrics import (
    ACTIVITYNET_THRESHOLDS,
    SegmentTable,
    detection_map,
    recall_at,
)
from internvideo.models.actionformer import ACTIONFORMERS, ActionFormer, DecodingConfig
from internvideo.tasks.shared import DetectionConfig, SuppressionConfig, detect

NUM_CLASSES = 200


def detections(num_videos: int, per_video: int) -> tuple[SegmentTable, SegmentTable]:
    """Three segments of one class a video, and predictions around them in two classes."""
    rng = np.random.default_rng(0)
    video = np.repeat(np.arange(num_videos), 3)
    start = rng.uniform(0, 150, len(video))
    end = start + rng.uniform(5, 60, len(video))
    label = np.repeat(rng.integers(NUM_CLASSES, size=num_videos), 3)
    truth = SegmentTable.of(video, start, end, label)
    row = rng.integers(3, size=(num_videos, per_video)) + 3 * np.arange(num_videos)[:, None]
    row = row.ravel()
    wrong = rng.random(len(row)) < 0.5
    times = np.stack([start, end])[:, row] + rng.normal(0, 6, (2, len(row)))
    predicted = SegmentTable.of(
        video[row],
        times[0],
        np.maximum(times[1], times[0] + 0.5),
        (label[row] + wrong) % NUM_CLASSES,
        rng.permutation(len(row)) / len(row),
    )
    return truth, predicted


def loop(truth: SegmentTable, predicted: SegmentTable) -> float:
    """Average mAP by the released loop."""
    thresholds, means = ACTIVITYNET_THRESHOLDS, []
    for label in np.unique(truth.label):
        wanted, found = truth.take(truth.label == label), predicted.take(predicted.label == label)
        found = found.take(found.score.argsort()[::-1])
        free = np.ones((len(thresholds), len(wanted)), dtype=bool)
        hits = np.zeros((len(thresholds), len(found)), dtype=bool)
        for place in range(len(found)):
            rows = np.flatnonzero(wanted.video == found.video[place])
            if not len(rows):
                continue
            inter = np.minimum(found.end_s[place], wanted.end_s[rows])
            inter = (inter - np.maximum(found.start_s[place], wanted.start_s[rows])).clip(0)
            length = wanted.end_s[rows] - wanted.start_s[rows]
            overlap = inter / (length + (found.end_s[place] - found.start_s[place]) - inter)
            order = overlap.argsort()[::-1]
            for number, threshold in enumerate(thresholds):
                for candidate in order:
                    if overlap[candidate] < threshold:
                        break
                    if free[number, rows[candidate]]:
                        free[number, rows[candidate]], hits[number, place] = False, True
                        break
        count = np.cumsum(hits, axis=1)
        precision = count / np.arange(1, hits.shape[1] + 1)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        means.append((envelope * hits).sum(1) / len(wanted))
    return float(np.mean(means))


def seconds(step, repeats: int) -> list[float]:
    """Processor seconds of some calls after one of warm-up."""
    measured = []
    for repeat in range(repeats + 1):
        start = time.process_time()
        step()
        if repeat:
            measured.append(time.process_time() - start)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=5000)
    parser.add_argument("--loop-videos", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=["anet"], help="anet, thumos")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"numpy {np.__version__}, torch {torch.__version__}, 1 thread, processor seconds")

    truth, predicted = detections(options.videos, 200)
    ours = seconds(lambda: detection_map(truth, predicted, ACTIVITYNET_THRESHOLDS), options.repeats)
    recall = seconds(lambda: recall_at(truth, predicted, (0.3, 0.5)), options.repeats)
    few = options.loop_videos
    part = truth.take(truth.video < few), predicted.take(predicted.video < few)
    start = time.process_time()
    looped = loop(*part)
    whole = (time.process_time() - start) * options.videos / few
    same = abs(looped - detection_map(*part, ACTIVITYNET_THRESHOLDS).average_map)
    print(
        f"mAP of {options.videos} videos x 200: {np.median(ours):.2f} s "
        f"({min(ours):.2f} to {max(ours):.2f}); loop {whole:.0f} s, from {few} videos; "
        f"{whole / np.median(ours):.0f}x; average mAP differs by {same:.0e}"
    )
    print(f"recall at 1x and 5x of them: {np.median(recall):.2f} s")

    steps_s = {"anet": 16 / 15, "thumos": 4 / 30}
    for name in options.models:
        step_s = steps_s[name]
        config = replace(ACTIONFORMERS[name], num_classes=20)
        torch.manual_seed(0)
        model = ActionFormer(config).eval()
        features = torch.randn(int(3600 / step_s), config.input_width)
        grid = FeatureGrid(step_s=step_s, offset_s=0.0)
        sequence = FeatureSequence.of("hour", features, grid, duration_s=3600.0)
        # Untrained scores lie at the prior; the lower threshold gives suppression its full work.
        settings = DetectionConfig(
            decoding=DecodingConfig(), suppression=SuppressionConfig(per_class=True)
        )
        spent = seconds(lambda: detect(model, [sequence], settings), options.repeats)  # noqa: B023
        print(
            f"one hour, {name}: {len(features)} steps of {config.input_width}: "
            f"{np.median(spent):.2f} s ({min(spent):.2f} to {max(spent):.2f})"
        )


if __name__ == "__main__":
    main()
