"""What a user does first with the installed package; test_wheel.py runs it in fresh environments.

    python -I first_hour.py FOLDER [VIDEO ...]

Videos given are read besides the generated ones. Ends with a line of the versions used.
"""

from __future__ import annotations

import csv
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

import internvideo
from internvideo.cli import main
from internvideo.video import write_video

CLASSES = ("slide", "stay")
SMALL = [
    "--steps=2",
    "--workers=1",
    "--device=cpu",
    "--skip-memorising",
    "--set=stage.model.encoder.side_px=32",
    "--set=stage.model.encoder.width=24",
    "--set=stage.model.encoder.depth=2",
    "--set=training.batch_size=4",
]


def command(*arguments: str | Path) -> None:
    status = main([str(argument) for argument in arguments])
    assert status == 0, (arguments, status)


def make_videos(folder: Path) -> None:
    """Two classes of six videos: a bright square that moves, and one that does not."""
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(6):
            frames = torch.full((20, 48, 64, 3), 20 + 10 * number, dtype=torch.uint8)
            for t, frame in enumerate(frames):
                left = 10 if label else 2 * t
                frame[16:32, left : left + 16] = torch.tensor([220, 130, 40], dtype=torch.uint8)
            write_video(folder / name / f"{number}.mp4", frames, 10)


def use_commands(folder: Path, videos: Path, given: list[Path]) -> Path:
    run = folder / "run"
    clip = videos / CLASSES[0] / "0.mp4"
    command("doctor")
    command("data", "scan", videos, "--out", folder / "health.json")
    command("finetune", "--data", videos, "--out", run, *SMALL)
    command("predict", "action-recognition", clip, "--model", run)
    command("extract", clip, "--model", run, "--out", folder / "features")
    assert list((folder / "features").iterdir())
    for number, video in enumerate(given):
        command("predict", "action-recognition", video, "--model", run)
        command("extract", video, "--model", run, "--out", folder / f"given{number}")
    with (run / "videos.csv").open(newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} == set(CLASSES)
    assert json.loads((folder / "health.json").read_text())
    return run


def use_api(run: Path, clips: list[Path]) -> None:
    model = internvideo.load(run)
    for clip in clips:
        with internvideo.open_video(clip) as video:
            frames = video.frames([0, video.num_frames // 2, video.num_frames - 1])
        assert frames.frames.dtype == torch.uint8
        assert len(frames.frames) == 3
        row = model.encode_video(clip)
        assert torch.isfinite(row).all()
        found = model.features(clip)
        assert np.isfinite(np.asarray(found.rows)).all()
        assert len(found.rows) == len(found.start_s)


def first_hour(folder: Path, given: list[Path]) -> None:
    videos = folder / "videos"
    make_videos(videos)
    run = use_commands(folder, videos, given)
    use_api(run, [videos / CLASSES[1] / "1.mp4", *given])
    packages = ("torch", "numpy", "av", "pillow", "pydantic", "tyro")
    print("used", *(f"{name} {version(name)}" for name in packages))


if __name__ == "__main__":
    first_hour(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
