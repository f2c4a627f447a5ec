"""What spatiotemporal localization costs, and whether it learns who does what.

    python benchmarks/spatiotemporal_localization.py            # evaluator, RoIAlign, cost
    python benchmarks/spatiotemporal_localization.py --learn 3  # and three seeds of learning

The evaluator and RoIAlign are run side by side with the obvious loops over frames and classes, over
bins and samples. A minute of video has a key frame a second, with 1, 5 and 20 boxes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from internvideo.cli import main as run_command
from internvideo.heads import ActionDetector, ActionDetectorConfig
from internvideo.hub import load_pretrained
from internvideo.metrics import BoxRows, frame_average_precision, mean_over_classes, paired_iou
from internvideo.models import ENCODERS, roi_align
from internvideo.recipes import recipe
from internvideo.tasks import BoxClassifier, BoxData, SpatiotemporalLocalization
from internvideo.values import Preprocessing

SMALLER = [
    *("stage.model.encoder.side_px=64", "stage.model.test_side_px=64"),
    *("stage.model.encoder.width=64", "stage.model.encoder.depth=3"),
]


def timed(call: Callable[[], object], repeats: int) -> float:
    """Median seconds, after one call to warm up."""
    call()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def random_rows(count: int, *, scored: bool, seed: int) -> BoxRows:
    """Boxes on 500 frames, in 60 classes."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 0.6, (count, 2))
    return BoxRows(
        frames=[("film", int(i)) for i in rng.integers(0, 500, count)],
        xyxy=np.concatenate([corner, corner + rng.uniform(0.2, 0.4, (count, 2))], axis=1),
        classes=rng.integers(1, 61, count),
        scores=rng.uniform(size=count) if scored else None,
    )


def loop_over_frames(truth: BoxRows, found: BoxRows, classes: list[int]) -> float:
    """Frame by frame and class by class, as released: overlaps as a matrix, matches one by one."""
    frames = list(dict.fromkeys([*truth.frames, *found.frames]))
    of_truth: dict[object, list[int]] = {frame: [] for frame in frames}
    of_found: dict[object, list[int]] = {frame: [] for frame in frames}
    for rows, places in ((truth, of_truth), (found, of_found)):
        for i, frame in enumerate(rows.frames):
            places[frame].append(i)
    assert found.scores is not None
    hits: dict[int, list[tuple[float, bool]]] = {label: [] for label in classes}
    for frame in frames:
        true, seen = np.array(of_truth[frame], int), np.array(of_found[frame], int)
        for label in classes:
            boxes = truth.xyxy[true[truth.classes[true] == label]]
            rows = seen[found.classes[seen] == label]
            taken = np.zeros(len(boxes), bool)
            for row in rows[np.argsort(-found.scores[rows], kind="stable")]:
                overlaps = paired_iou(np.repeat(found.xyxy[row][None], len(boxes), 0), boxes)
                best = int(overlaps.argmax()) if len(boxes) else -1
                hit = best >= 0 and overlaps[best] >= 0.5 and not taken[best]
                if hit:
                    taken[best] = True
                hits[label].append((float(found.scores[row]), hit))
    values = []
    for label in classes:
        total = int((truth.classes == label).sum())
        if not total:
            continue
        right = np.array([hit for _, hit in sorted(hits[label], reverse=True)], bool)
        precision = np.cumsum(right) / np.arange(1, len(right) + 1)
        values.append(np.maximum.accumulate(precision[::-1])[::-1][right].sum() / total)
    return float(np.mean(values))


def compare_evaluators(count: int = 50_000) -> None:
    truth = random_rows(10_000, scored=False, seed=0)
    found, classes = random_rows(count, scored=True, seed=1), list(range(1, 61))

    def ours() -> float:
        return mean_over_classes(frame_average_precision(truth, found, classes))

    def loop() -> float:
        return loop_over_frames(truth, found, classes)

    assert abs(ours() - loop()) < 1e-9
    fast, slow = timed(ours, 3), timed(loop, 1)
    print(f"evaluator, {count} boxes: {fast:.2f} s, loop {slow:.2f} s, {slow / fast:.1f} times")


def loop_over_bins(image: torch.Tensor, box: list[float], scale: float) -> torch.Tensor:
    """RoIAlign of one box, sample by sample."""
    x1, y1, x2, y2 = (side * scale for side in box)
    height, width = max(y2 - y1, 1.0), max(x2 - x1, 1.0)
    rows, columns = -int(-height // 7), -int(-width // 7)
    out = image.new_zeros(len(image), 7, 7)
    limit_y, limit_x = image.shape[1] - 1, image.shape[2] - 1
    for p in range(7):
        for q in range(7):
            for i in range(rows):
                for j in range(columns):
                    y = min(max(y1 + height / 7 * (p + (i + 0.5) / rows), 0.0), limit_y)
                    x = min(max(x1 + width / 7 * (q + (j + 0.5) / columns), 0.0), limit_x)
                    top, left = int(y), int(x)
                    bottom, right = min(top + 1, limit_y), min(left + 1, limit_x)
                    down, across = y - top, x - left
                    upper = (1 - across) * image[:, top, left] + across * image[:, top, right]
                    lower = (1 - across) * image[:, bottom, left] + across * image[:, bottom, right]
                    out[:, p, q] += ((1 - down) * upper + down * lower) / (rows * columns)
    return out


def compare_roi_align(num_boxes: int = 20) -> None:
    maps = torch.randn(1, 768, 16, 28)
    corner = torch.rand(num_boxes, 2) * torch.tensor([250.0, 100.0])
    boxes = torch.cat([corner, corner + torch.tensor([150.0, 120.0])], dim=1)
    clips = torch.zeros(num_boxes, dtype=torch.int64)

    def ours() -> torch.Tensor:
        return roi_align(maps, boxes, clips)

    def loop() -> torch.Tensor:
        return torch.stack([loop_over_bins(maps[0], box, 1 / 16) for box in boxes.tolist()])

    torch.testing.assert_close(ours(), loop(), atol=1e-4, rtol=1e-4)
    fast, slow = timed(ours, 5), timed(loop, 1)
    print(
        f"RoIAlign, {num_boxes} boxes, 768 channels: {1000 * fast:.1f} ms, "
        f"loop {1000 * slow:.0f} ms, {slow / fast:.0f} times"
    )


def cost_of_a_minute() -> None:
    """Seconds of the network for 60 key frames; decoding and detectors are extra."""
    tiny = recipe("spatiotemporal_tiny_playground").stage.model_config
    base = ActionDetectorConfig(encoder=ENCODERS["base"])
    for name, config in (("tiny", tiny), ("ViT-B", base)):
        frames = config.network.num_frames
        seen = Preprocessing(num_frames=frames, side_px=config.network.side_px)
        model = BoxClassifier(ActionDetector(config).eval(), ("a",) * config.num_classes, seen)
        side = config.test_side_px
        clip = torch.zeros(1, frames, side, side * 16 // 9, 3, dtype=torch.uint8)
        for head in (1, 5, 20):
            boxes = torch.tensor([[0.1, 0.1, 0.5, 0.9]]).repeat(head, 1)
            taken = timed(lambda b=boxes, m=model, c=clip: m.score(c, [b]), 1)
            print(f"{name}, {head} boxes a second: {60 * taken:.1f} s a minute of video")


class Everywhere(BoxClassifier):
    """A classifier of clips, whose answer is given to every box."""

    def score(self, frames, boxes):  # type: ignore[no-untyped-def]
        whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        found = super().score(frames, [whole] * len(boxes))
        return [one.expand(len(b), -1) for one, b in zip(found, boxes, strict=True)]


class Priors(BoxClassifier):
    """The frequency of each class in training, whatever is seen."""

    priors: torch.Tensor

    def score(self, frames, boxes):  # type: ignore[no-untyped-def]
        return [self.priors.expand(len(b), -1) for b in boxes]


def whole_frames(source: Path, folder: Path) -> None:
    """The same set with all boxes as large as the frame."""
    folder.mkdir()
    (folder / "videos").symlink_to((source / "videos").absolute())
    (folder / "actions.pbtxt").write_text((source / "actions.pbtxt").read_text())
    for table in source.glob("ava_*.csv"):
        rows = [line.split(",") for line in table.read_text().splitlines()]
        (folder / table.name).write_text(
            "".join(f"{v},{t},0,0,1,1,{action},0\n" for v, t, *_, action, _ in rows)
        )


def learn(num_seeds: int, num_steps: int, num_videos: int) -> None:
    task, scores = SpatiotemporalLocalization(), {"boxes": [], "clip": [], "priors": []}
    with tempfile.TemporaryDirectory() as made:
        for seed in range(num_seeds):
            here = Path(made) / str(seed)
            here.mkdir()
            actors, whole = here / "actors", here / "whole"
            words = ["--size", str(num_videos), "--seed", str(seed)]
            assert run_command(["data", "actors", "--out", str(actors), *words]) == 0
            whole_frames(actors, whole)
            settings = [*SMALLER, f"seed={seed}", f"training.num_steps={num_steps}"]
            settings += [
                f"training.evaluate_every={num_steps}",
                "training.optimiser.warmup_steps=10",
            ]
            sets = [word for one in settings for word in ("--set", one)]
            data = BoxData(data=str(actors), split="test").read()
            for name, folder, kind in (
                ("boxes", actors, BoxClassifier),
                ("clip", whole, Everywhere),
            ):
                out = here / name
                command = ["train", "spatiotemporal_tiny_playground", "--data", str(folder)]
                assert run_command([*command, "--out", str(out), *sets]) == 0
                model = kind.from_pretrained(load_pretrained(out), source=str(out))
                scores[name].append(task.evaluate(model, data).scores["map/true_boxes"])
            known = json.loads((actors / "priors.json").read_text())
            guess = Priors.from_pretrained(load_pretrained(here / "boxes"), source="priors")
            guess.priors = torch.tensor([known[name] for name in guess.classes])
            scores["priors"].append(task.evaluate(guess, data).scores["map/true_boxes"])
            print(seed, {name: round(values[-1], 3) for name, values in scores.items()}, flush=True)
    for name, values in scores.items():
        print(f"{name:<7} {statistics.mean(values):.3f}  ({min(values):.3f} to {max(values):.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learn", type=int, default=0, metavar="SEEDS")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--videos", type=int, default=400)
    given = parser.parse_args()
    torch.manual_seed(0)
    compare_evaluators()
    compare_roi_align()
    cost_of_a_minute()
    if given.learn:
        learn(given.learn, given.steps, given.videos)


if __name__ == "__main__":
    main()
