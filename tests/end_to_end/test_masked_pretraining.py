"""From video files to weights: learning, kills, workers, ranks, broken files, full disks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from internvideo.hub import load_model
from tests.end_to_end.conftest import SECONDS
from tests.end_to_end.runs import assert_same_bits, run, weights

pytestmark = pytest.mark.slow


def command(videos: Path, out: Path, *settings: str, verb: tuple[str, ...] = ()) -> list[str]:
    overrides = [part for setting in [*SECONDS, *settings] for part in ("--set", setting)]
    return [
        *(verb or (sys.executable, "-m", "internvideo")),
        *("train", "mae_tiny_playground", "--data", str(videos), "--out", str(out), *overrides),
    ]


@pytest.fixture(scope="module")
def finished(playground, tmp_path_factory) -> Path:
    """The run never stopped, that others are compared with."""
    out = tmp_path_factory.mktemp("finished") / "run"
    run(*command(playground, out))
    return out


def test_a_run_leaves_all_its_files(finished):
    for name in ("run.json", "metrics.jsonl", "log.txt", "report.html"):
        assert (finished / name).stat().st_size
    last = {path.name for path in (finished / "checkpoints" / "last").iterdir()}
    assert {"model.safetensors", "config.json", "provenance.json", "training.json"} <= last


def test_the_page_needs_nothing_else(finished):
    page = (finished / "report.html").read_text()

    assert "data:video/mp4" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_a_trained_model_can_be_loaded_and_used(finished):
    model = load_model(finished)

    tokens = model.encoder(torch.zeros(1, 3, 8, 32, 32))
    assert tokens.shape == (1, 64, 24)


def test_a_run_killed_at_any_moment_resumes_to_the_same_bits(finished, playground, tmp_path):
    out = tmp_path / "run"
    for kill_at in (4, 7, 10):
        resume = ["--resume"] if out.exists() else []
        process = subprocess.Popen(
            [*command(playground, out, "data.num_workers=1"), *resume],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        _wait_for(lambda at=kill_at: _saved_steps(out, at), process)
        process.kill()
        process.wait()

    run(*command(playground, out, "data.num_workers=1"), "--resume")

    assert_same_bits(out, finished)


def test_a_terminated_run_says_so_and_resumes(finished, playground, tmp_path):
    out = tmp_path / "run"
    process = subprocess.Popen(
        command(playground, out),
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    _wait_for(lambda: _saved_steps(out, 3), process)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=120)

    assert process.returncode == 1
    assert "stopped by a signal" in log
    run(*command(playground, out), "--resume")
    assert_same_bits(out, finished)


@pytest.mark.parametrize("starter", ["torchrun", "the command itself"])
def test_two_ranks_equal_one(finished, playground, tmp_path, free_port, starter):
    out = tmp_path / "run"
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2")
    verb = (*torchrun, f"--master-port={free_port}", "-m", "internvideo")

    if starter == "torchrun":
        run(*command(playground, out, verb=verb))
    else:
        run(*command(playground, out, "training.cpu_processes=2"))

    _assert_close(out, finished)


def test_two_ranks_of_a_terminated_run_stop_together(finished, playground, tmp_path):
    out = tmp_path / "run"
    arguments = command(playground, out, "training.cpu_processes=2")
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    _wait_for(lambda: _saved_steps(out, 3), process)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=120)

    assert process.returncode == 1
    assert "stopped by a signal" in log
    run(*arguments, "--resume")
    _assert_close(out, finished)


def _assert_close(out: Path, expected: Path) -> None:
    one, two = weights(expected), weights(out)
    assert all(torch.allclose(one[name], two[name], atol=1e-5, rtol=0) for name in one)


def test_a_set_with_a_fifth_of_it_corrupted_trains_to_the_end(playground, tmp_path):
    videos = tmp_path / "videos"
    shutil.copytree(playground, videos)
    for path in sorted(videos.rglob("*.mp4"))[::5]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])

    log = run(*command(videos, tmp_path / "run", "data.cache_mb=0"))

    named = [json.loads(line) for line in (tmp_path / "run/broken.jsonl").read_text().splitlines()]
    assert named
    assert len({entry["path"] for entry in named}) == len(named)
    assert all(Path(entry["path"]).name in log for entry in named)
    assert weights(tmp_path / "run")


def test_too_many_broken_videos_stop_the_run(playground, tmp_path):
    videos = tmp_path / "videos"
    shutil.copytree(playground, videos)
    for path in videos.rglob("*.mp4"):
        path.write_bytes(b"not a video")

    log = run(*command(videos, tmp_path / "run", "data.cache_mb=0"), status=2)

    assert "max_broken_share" in log or "can be decoded" in log


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs the superuser")
def test_a_full_disk_gives_one_line_and_keeps_the_last_checkpoint(playground, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], check=False
    )
    if mounted.returncode:
        pytest.skip("this machine mounts no tmpfs")
    try:
        wide = ("stage.encoder.width=72", "stage.encoder.depth=3", "training.keep_checkpoints=9")
        log = run(*command(playground, disk / "run", *wide), status=2)

        lines = [line for line in log.splitlines() if line.startswith("internvideo:")]
        assert len(lines) == 1
        assert "No space left" in lines[0]
        assert load_model(disk / "run")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _saved_steps(out: Path, step: int) -> bool:
    last = out / "checkpoints" / "last"
    return last.exists() and int(last.resolve().name.removeprefix("step-")) >= step - 2


def _wait_for(happened, process: subprocess.Popen) -> None:
    for _ in range(2400):
        if happened() or process.poll() is not None:
            return
        time.sleep(0.05)
    raise AssertionError("nothing happened in two minutes")
