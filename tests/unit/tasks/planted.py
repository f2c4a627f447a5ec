"""Features of whole videos with planted segments, as `internvideo extract` writes them.

Within a segment the direction of its class is added to noise; segments of different classes may
overlap. A step is a second.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import torch

from internvideo.data import side_car, write_features
from internvideo.models.actionformer import ActionFormerConfig

CLASSES = ("jump", "run", "turn")
NUM_CHANNELS, NUM_STEPS = 12, 64
SHA256 = "a" * 64
NETWORK = ActionFormerConfig(
    input_width=NUM_CHANNELS,
    num_classes=3,
    max_length=64,
    width=32,
    num_heads=2,
    num_stem_blocks=1,
    num_branch_blocks=2,
    windows=(9, 9, 9),
    regression_ranges=((0.0, 4.0), (4.0, 8.0), (8.0, 1e4)),
    pyramid_width=32,
    head_width=32,
)


def plant(folder: Path, *, seed: int = 0, **splits: int) -> Path:
    """Write features into `folder`/features and the segments into the csv that comes back."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(len(CLASSES), NUM_CHANNELS))
    rows = []
    for split, count in splits.items():
        for number in range(count):
            name = f"{split}{number}.mp4"
            features = 0.5 * rng.normal(size=(NUM_STEPS, NUM_CHANNELS))
            for label in rng.permutation(len(CLASSES))[: rng.integers(1, 4)]:
                length = int(rng.integers(4, 16))
                start = int(rng.integers(0, NUM_STEPS - length))
                features[start : start + length] += directions[label]
                rows.append((name, start, start + length, CLASSES[label], split, NUM_STEPS))
            write_extracted(folder / "features" / f"{name}.safetensors", features)
    path = folder / "segments.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "start_s", "end_s", "label", "split", "duration_s"])
        writer.writerows(rows)
    return path


def write_extracted(path: Path, features: np.ndarray, *, sha256: str = SHA256) -> None:
    """Write features of one-second windows of 8 frames, with the JSON beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = torch.from_numpy(features.astype(np.float32))
    # Broken values cannot be written by `write_features`, and are what a test may want.
    write_features(path, len(rows), [rows.nan_to_num()], dtype="float32")
    if not rows.isfinite().all():
        content = path.read_bytes()
        path.write_bytes(content[: -rows.nbytes] + rows.numpy().tobytes())
    document = {
        "source": f"videos/{path.stem}",
        "model_name": "runs/a",
        "model": {"type": "MaskedEncoder", "sha256": sha256},
        "request": {
            "pooling": "mean",
            "windows": {"num_frames": 8, "stride_frames": 8, "rate_fps": 8.0},
        },
        "features": {"shape": list(rows.shape), "num_bytes": path.stat().st_size},
        "video": {"duration_s": float(len(rows)), "rate_fps": 25.0},
        # The middle of the first window is the middle of the first second.
        "rows": [{"start_s": float(i), "end_s": i + 1.0} for i in range(len(rows))],
    }
    side_car(path).write_text(json.dumps(document))
