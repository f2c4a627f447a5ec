"""Verbs killed (SIGKILL) at random moments: run again, the result is that of an unbroken run."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from internvideo.cli import main
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.hub import Preprocessing, Pretrained, save_pretrained
from internvideo.models import MaskedEncoderConfig
from internvideo.video import write_video
from internvideo.weights import to_official_classifier
from tests.end_to_end.runs import assert_same_bits
from tests.end_to_end.test_finetune import SMALL

pytestmark = pytest.mark.slow

ALL = "INTERNVIDEO_ALL_KILLS" in os.environ
CONFIG = VideoClassifierConfig(
    encoder=MaskedEncoderConfig(
        num_frames=4, side_px=16, width=64, depth=2, num_heads=2, final_norm=False
    ),
    num_classes=2,
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    generator = torch.Generator().manual_seed(0)
    for label in range(2):
        (folder / f"class{label}").mkdir()
        for number in range(5):
            frames = torch.randint(0, 90, (12, 24, 32, 3), generator=generator, dtype=torch.uint8)
            frames[..., label] += 160
            write_video(folder / f"class{label}" / f"{number}.mp4", frames, 10.0)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    network = VideoClassifier(CONFIG).eval()
    torch.save(to_official_classifier(network.state_dict()), folder / "official.pth")
    pretrained = Pretrained(
        model=network,
        kind="video-classifier",
        config=CONFIG,
        preprocessing=Preprocessing(num_frames=4, side_px=16),
        classes=("a", "b"),
    )
    save_pretrained(pretrained, folder / "saved")
    return folder


def _commands(videos: Path, model: Path, out: Path) -> dict[str, list[str]]:
    saved = str(model / "saved")
    small = ["--num-frames=4", "--side-px=32", "--set=encoder.num_heads=2"]
    return {
        "import": ["weights", "import", str(model / "official.pth"), "--out", str(out), *small],
        "export": ["weights", "export", saved, "--to", "torch", "--out", str(out / "m.pt2")],
        "playground": ["data", "playground", "--size=12", "--workers=1", "--out", str(out)],
        "shards": ["data", "shards", str(videos), "--format=folder", "--out", str(out)],
        "extract": ["extract", str(videos), "--model", saved, "--out", str(out), "--device=cpu"],
        "finetune": ["finetune", "--data", str(videos), "--out", str(out), *SMALL],
    }


def _child(command: list[str]) -> None:
    os.setpgrp()
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    main(command)


def _killed(command: list[str], after_s: float) -> None:
    """Run a command in a fork of this process and kill it, with all that it started."""
    process = multiprocessing.get_context("fork").Process(target=_child, args=(command,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside idle threads
        process.start()
    process.join(after_s)
    if process.exitcode is None:
        os.kill(process.pid or 0, signal.SIGKILL)
    process.join()


def _contents(out: Path) -> dict[str, object]:
    """What a verb left, by name; times of making and counts of runs are left out."""
    found: dict[str, object] = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file() and p.name != "report.json"):
        name = path.relative_to(out).as_posix()
        if name.startswith("."):  # of the work itself, with its times
            continue
        if path.suffix == ".json":
            document = json.loads(path.read_text())
            if isinstance(document, dict):
                document = {k: v for k, v in document.items() if k not in ("versions", "revision")}
            found[name] = document
        elif path.suffix == ".pt2":
            clip = torch.randn(2, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
            found[name] = torch.export.load(path).module()(clip).tolist()
        else:
            found[name] = path.read_bytes()
    return found


@pytest.mark.parametrize(
    ("verb", "usual"),
    [("import", 2), ("export", 1), ("playground", 1), ("shards", 2), ("extract", 1)],
)
def test_what_a_kill_leaves_is_completed_by_the_next_run(verb, usual, videos, model, tmp_path):
    whole, out = tmp_path / "whole" / "out", tmp_path / "out"
    started = time.monotonic()
    assert main(_commands(videos, model, whole)[verb]) == 0
    duration_s = time.monotonic() - started
    expected = _contents(whole)
    moments = np.random.default_rng(len(verb)).uniform(0.02, 1.0, 10 if ALL else usual)
    for moment in moments:
        shutil.rmtree(out, ignore_errors=True)
        command = _commands(videos, model, out)[verb]
        _killed(command, moment * duration_s)
        is_done = out.exists() if verb == "import" else (out / "m.pt2").exists()
        if not (verb in ("import", "export") and is_done):  # these refuse what is complete
            assert main(command) == 0
        assert _contents(out) == expected
        left = [p.name for p in tmp_path.rglob(".*") if p.name != ".units"]
        assert [name for name in left if not name.endswith(".lock")] == []


def test_a_killed_fine_tuning_goes_on_to_the_same_bits(videos, model, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    started = time.monotonic()
    assert main(_commands(videos, model, whole)["finetune"]) == 0
    duration_s = time.monotonic() - started
    for moment in np.random.default_rng(0).uniform(0.02, 1.0, 10 if ALL else 1):
        shutil.rmtree(out, ignore_errors=True)
        command = _commands(videos, model, out)["finetune"]
        _killed(command, moment * duration_s)
        has_begun = (out / "run.json").exists()
        again = (
            ["finetune", "--out", str(out), "--resume", "--device=cpu"] if has_begun else command
        )
        assert main(again) == 0
        assert_same_bits(whole, out)
