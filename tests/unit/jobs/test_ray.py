"""Features over Ray's workers, one of which is killed, are those of a plain run, file by file."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from internvideo.cli import main
from tests.unit.cli.test_tasks import WORDS, multimodal
from tests.unit.video.conftest import dot_frames, encode

pytestmark = pytest.mark.slow
COUNT = 200


def kill_one_worker(out: Path, killed: list[int], is_over: threading.Event) -> None:
    """Kill the process of the first claim that is another's, once some units are done."""
    while not is_over.wait(0.002):
        if len(list(out.glob(".units/*.record"))) < 5:
            continue
        for claim in out.glob(".units/*.claim"):
            try:
                pid = json.loads(claim.read_text())["pid"]
            except (OSError, ValueError):  # given back just now
                continue
            if pid != os.getpid():
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
                return


def files(out: Path) -> dict[str, bytes]:
    """All results but the ledger and the report, which counts what a killed worker left whole."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".units" not in path.parts and path.name != "report.json"
    }


def counts(out: Path) -> tuple[int, int, int]:
    """Of the report: videos in all, those that have features, and failures."""
    report = json.loads((out / "report.json").read_text())
    have = report["num_extracted"] + report["num_skipped"]
    return report["num_total"], have, len(report["failed"])


def test_a_killed_worker_costs_nothing(tmp_path, capsys, monkeypatch):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))  # of Ray's workers
    model = multimodal(tmp_path / "model", **WORDS)
    (tmp_path / "videos").mkdir()
    clip = encode(tmp_path / "clip.mp4", dot_frames(16)).read_bytes()
    for number in range(COUNT):
        (tmp_path / "videos" / f"{number:03}.mp4").write_bytes(clip)
    words = ["extract", str(tmp_path / "videos"), "--model", str(model), "--device", "cpu"]
    plain, spread = tmp_path / "plain", tmp_path / "spread"
    killed, is_over = [], threading.Event()

    assert main([*words, "--out", str(plain)]) == 0
    killer = threading.Thread(target=kill_one_worker, args=(spread, killed, is_over))
    killer.start()
    try:
        assert main([*words, "--out", str(spread), "--ray", "local", "--workers", "2"]) == 0
    finally:
        is_over.set()
        killer.join()

    assert killed
    assert files(spread) == files(plain)
    assert len(files(plain)) == 2 * COUNT
    assert counts(spread) == counts(plain) == (COUNT, COUNT, 0)
    assert not list(spread.glob(".units/*.claim"))
