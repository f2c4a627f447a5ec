"""Features of imaginary videos with planted segments, to try temporal localization in a minute.

Within a segment the direction of its class is added to noise; segments of different classes may
overlap. Files: features/NAME.npy (f, d), a step a second, and segments.csv with the columns
`path,start_s,end_s,label,split,duration_s`.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from internvideo.errors import ConfigError
from internvideo.writing import naming, written_beside

PLANTED_CLASSES = ("jump", "run", "turn")
_NUM_CHANNELS, _NUM_STEPS = 16, 64
_NUM_VIDEOS = {"train": 48, "val": 12, "test": 12}


def plant_features(folder: Path, *, seed: int = 0) -> int:
    """Write features and segments into a new folder, and return how many videos they are of.

    Raises:
        ConfigError: If the folder exists.
    """
    if folder.exists():
        raise ConfigError(f"{folder}: exists already; choose another folder or remove it")
    with written_beside(folder) as beside, naming(folder):
        _write(beside, seed)
        beside.rename(folder)
    return sum(_NUM_VIDEOS.values())


def _write(folder: Path, seed: int) -> None:
    # The classes are the same whatever the seed, so that a detector knows those of another one.
    directions = np.random.default_rng(1).normal(size=(len(PLANTED_CLASSES), _NUM_CHANNELS))
    rng = np.random.default_rng(seed)
    (folder / "features").mkdir(parents=True)
    rows: list[tuple[str | int, ...]] = []
    for split, count in _NUM_VIDEOS.items():
        for number in range(count):
            name = f"{split}_{number:03}"
            features = 0.5 * rng.normal(size=(_NUM_STEPS, _NUM_CHANNELS))
            for label in rng.permutation(len(PLANTED_CLASSES))[: rng.integers(1, 4)]:
                length = int(rng.integers(4, 16))
                start = int(rng.integers(0, _NUM_STEPS - length))
                features[start : start + length] += directions[label]
                row = (name, start, start + length, PLANTED_CLASSES[label], split, _NUM_STEPS)
                rows.append(row)
            np.save(folder / "features" / f"{name}.npy", features.astype(np.float32))
    with (folder / "segments.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "start_s", "end_s", "label", "split", "duration_s"])
        writer.writerows(rows)
