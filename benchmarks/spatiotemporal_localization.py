"""What spatiotemporal localization costs, and whether it learns who does what.

    python benchmarks/spatiotemporal_localization.py            # evaluator, RoIAlign, cost
    internvideo data actors --out runs/actors --size 500
    python benchmarks/spatiotemporal_localization.py --learn 3 --actors runs/actors  # and learning

The evaluator and RoIAlign are run side by side with the obvious loops over frames and classes, over
bins and samples. A minute of video has a key frame a second, with 1, 5 and 20 boxes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
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
from internvideo.tasks.spatiotemporal_localization import open_detector
from internvideo.tasks.spatiotemporal_localization.result import truth_rows
from internvideo.values import Record
from internvideo.video import open_video
from internvideo.video.sampling import key_frame_clip


def timed(call: Callable[[], object], repeats: int) -> float:
    """Median processor seconds, after one call to warm up."""
    call()
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
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


def cost_of_a_minute(names: list[str]) -> None:
    """Seconds of the network for 60 key frames: once a clip, and once more for its boxes."""
    tiny = recipe("spatiotemporal_tiny_playground").stage.model_config
    base = ActionDetectorConfig(encoder=ENCODERS["base"])
    for name in names:
        config = {"tiny": tiny, "ViT-B": base}[name]
        model, frames = ActionDetector(config).eval(), config.network.num_frames
        height = config.test_side_px
        width = -(-height * 16 // 9 // config.patch_px) * config.patch_px
        clip = torch.rand(1, 3, frames, height, width)
        began = time.process_time()
        maps = model.feature_map(clip)
        encoding = time.process_time() - began
        told = []
        for count in (1, 5, 20):
            box = torch.tensor([[0.1 * width, 0.1 * height, 0.5 * width, 0.9 * height]])
            boxes, clips = box.repeat(count, 1), torch.zeros(count, dtype=torch.int64)

            def score(boxes=boxes, clips=clips, model=model, maps=maps) -> torch.Tensor:
                return model.head(model.actor_features(maps, boxes, clips))

            told.append(f"{count}: {60 * (encoding + timed(score, 5)):.2f} s")
        print(
            f"{name}, {frames} frames of {width} x {height}: a minute of video with boxes a second"
        )
        print("   ", ", ".join(told), f"(the encoder alone {60 * encoding:.2f} s)", flush=True)


def cost_around_it(video: Path, detector: str | None) -> None:
    """Seconds a minute of decoding clips about key frames of a real video, and of a detector."""
    with open_video(video) as opened:
        last_s = float(opened.timestamps_s[-1])
        moments = np.arange(0.0, last_s, 1.0).tolist()
        for frames, side_px in ((8, 64), (16, 256)):
            began = time.process_time()
            for key_s in moments:
                numbers = key_frame_clip(
                    opened.timestamps_s, key_s, clip_frames=frames, stride_frames=4, rate_fps=25.0
                )
                clip = opened.frames(numbers.tolist(), short_side_px=side_px).frames
            spent = 60 * (time.process_time() - began) / len(moments)
            print(f"{video.name}: decoding {frames} frames of {side_px} px a second: {spent:.1f} s")
        if detector is not None:
            find = open_detector(detector)
            spent = 60 * timed(lambda: find(clip[0]), 10)
            print(f"{Path(detector).name}: a frame a second: {spent:.2f} s a minute of video")


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


def best_of_clips(records: Sequence[Record], num_classes: int) -> float:
    """What no answer for a whole clip exceeds: of each class, its share of the boxes there."""
    truth = truth_rows(records)
    boxes, known = Counter(truth.frames), Counter(zip(truth.frames, truth.classes, strict=True))
    rows = [
        (frame, xyxy, label, count / boxes[frame])
        for (frame, label), count in known.items()
        for at, xyxy in zip(truth.frames, truth.xyxy, strict=True)
        if at == frame
    ]
    frames, xyxy, classes, scores = zip(*rows, strict=True)
    found = BoxRows(
        frames=frames, xyxy=np.stack(xyxy), classes=np.array(classes), scores=np.array(scores)
    )
    return mean_over_classes(frame_average_precision(truth, found, range(num_classes)))


def learn(num_seeds: int, num_steps: int, actors: Path, start: Path | None) -> None:
    """Train with boxes and with whole frames, from the same start, and compare on test videos."""
    task, scores = SpatiotemporalLocalization(), {"boxes": [], "clip": [], "priors": []}
    with tempfile.TemporaryDirectory() as made:
        whole = Path(made) / "whole"
        whole_frames(actors, whole)
        data = BoxData(data=str(actors), split="test").read()
        best = best_of_clips(data.annotations.records, len(data.annotations.classes))
        print(f"the best that one answer for a clip can have: {best:.3f}", flush=True)
        known = json.loads((actors / "priors.json").read_text())
        for seed in range(num_seeds):
            began = time.process_time()
            settings = [f"seed={seed}", f"training.num_steps={num_steps}"]
            settings += [
                f"training.{name}_every={num_steps}" for name in ("evaluate", "checkpoint")
            ]
            if start is not None:
                settings.append(f"stage.initial_weights={start}")
            sets = [word for one in settings for word in ("--set", one)]
            for name, folder, kind in (
                ("boxes", actors, BoxClassifier),
                ("clip", whole, Everywhere),
            ):
                out = Path(made) / f"{name}-{seed}"
                command = ["train", "spatiotemporal_tiny_playground", "--data", str(folder)]
                assert run_command([*command, "--out", str(out), *sets]) == 0
                model = kind.from_pretrained(load_pretrained(out), source=str(out))
                scores[name].append(task.evaluate(model, data).scores["map/true_boxes"])
                print(seed, name, f"{scores[name][-1]:.3f}", flush=True)
            guess = Priors.from_pretrained(load_pretrained(out), source="priors")
            guess.priors = torch.tensor([known[name] for name in guess.classes])
            scores["priors"].append(task.evaluate(guess, data).scores["map/true_boxes"])
            print(seed, f"{time.process_time() - began:.0f} processor seconds", flush=True)
    for name, values in scores.items():
        print(f"{name:<7} {statistics.mean(values):.3f}  ({min(values):.3f} to {max(values):.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learn", type=int, default=0, metavar="SEEDS")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--actors", type=Path, help="a folder that `internvideo data actors` made")
    parser.add_argument("--start", type=Path, help="a run on the playground's single actions")
    parser.add_argument("--networks", nargs="*", default=["tiny", "ViT-B"])
    parser.add_argument("--video", type=Path, help="a real video, to decode")
    parser.add_argument("--detector", help="an ONNX file of a detector")
    parser.add_argument("--only-learn", action="store_true")
    given = parser.parse_args()
    if given.learn and given.actors is None:
        parser.error("--learn wants --actors, a folder that `internvideo data actors` made")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.manual_seed(0)
    if not given.only_learn:
        compare_evaluators()
        compare_roi_align()
        with torch.no_grad():
            cost_of_a_minute(given.networks)
        if given.video is not None:
            cost_around_it(given.video, given.detector)
    if given.learn:
        learn(given.learn, given.steps, given.actors, given.start)


if __name__ == "__main__":
    main()
