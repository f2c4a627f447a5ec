"""The verb `extract`: files, report and exit status; a killed run goes on to the same files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from internvideo.cli import main
from tests.unit.cli.test_main import complaint
from tests.unit.cli.test_tasks import WORDS, masked, multimodal
from tests.unit.video.conftest import dot_frames, encode

__all__ = ["masked"]  # a fixture


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Three videos, two in a folder below that differ in their suffix alone, and a broken one."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "below").mkdir()
    encode(folder / "a.mp4", dot_frames(40))
    encode(folder / "below" / "b.mp4", dot_frames(60))
    encode(folder / "below" / "b.mkv", dot_frames(60))
    (folder / "broken.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return multimodal(tmp_path_factory.mktemp("model"), **WORDS)


def extracted(*arguments: object) -> int:
    return main(["extract", *map(str, arguments)])


def test_a_folder_becomes_a_folder_of_features(capsys, tmp_path, videos, model):
    status = extracted(videos, "--model", model, "--out", tmp_path, "--window-s", 0.5, "--json")

    assert status == 1  # one is broken
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((tmp_path / "report.json").read_text())
    assert [report[f"num_{what}"] for what in ("total", "extracted", "skipped")] == [4, 3, 0]
    assert [failed["path"] for failed in report["failed"]] == [str(videos / "broken.mp4")]
    assert load_file(tmp_path / "a.mp4.safetensors")["features"].shape == (4, 128)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.safetensors")}
    assert names == {"a.mp4.safetensors", "below/b.mkv.safetensors", "below/b.mp4.safetensors"}


def test_a_second_run_finds_everything_done(capsys, tmp_path, videos, model):
    options = (videos / "below", "--model", model, "--out", tmp_path, "--format", "npy")

    assert [extracted(*options), extracted(*options)] == [0, 0]

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("2 extracted, 0 there before, 0 failed, of 2")
    assert lines[1].endswith("0 extracted, 2 there before, 0 failed, of 2")


def test_encoder_a_gives_features_too(tmp_path, videos, masked):
    status = extracted(
        *(videos / "a.mp4", "--model", masked, "--out", tmp_path),
        *("--pooling", "tokens", "--fps", "native", "--stride-frames", 8),
    )

    assert status == 0
    document = json.loads((tmp_path / "a.mp4.json").read_text())
    assert document["preprocessing"]["normalised_by"]["mean"] == [0.485, 0.456, 0.406]
    assert len(document["features"]["shape"]) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--pooling", "max"), "unknown pooling of a MultimodalEncoder 'max'; known: cls, embed"),
        (("--stride-s", "0.3"), "a stride of 0.3 s is 2.4 frames at 8 per second; choose 0.25 s"),
        (("--fps", "-1"), "rate_fps is -1.0; give frames per second"),
        (("--batch-size", "0"), "batch_size is 0, expected 1 or more"),
        (("--model", "nowhere"), "nowhere"),
        (("--device", "gpu"), "unknown device 'gpu'"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_is_written(
    capsys, tmp_path, videos, model, options, message
):
    given = ("extract", videos, "--model", model, "--out", tmp_path / "out", *options)

    assert message in complaint(capsys, *given)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_videos_is_said_to_be(capsys, tmp_path, model):
    said = complaint(capsys, "extract", tmp_path, "--model", model, "--out", tmp_path / "out")

    assert "holds no video file" in said


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_files_of_one_that_was_not(tmp_path, model):
    videos = tmp_path / "videos"
    videos.mkdir()
    for i in range(6):
        encode(videos / f"{i}.mp4", dot_frames(40))
    options = ("--model", model, "--fps", "native", "--stride-frames", 1)
    assert extracted(videos, "--out", tmp_path / "whole", *options) == 0
    command = [sys.executable, "-m", "internvideo", "extract", videos, "--out", tmp_path / "cut"]
    killed = subprocess.Popen([str(part) for part in (*command, *options)], stderr=subprocess.PIPE)
    while killed.poll() is None and not list((tmp_path / "cut").glob("*.json")):
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    num_done = len(list((tmp_path / "cut").glob("*.json")))

    assert extracted(videos, "--out", tmp_path / "cut", *options) == 0

    assert 0 < num_done < 6
    assert _contents(tmp_path / "cut") == _contents(tmp_path / "whole")


def _contents(folder: Path) -> dict[str, object]:
    """Bytes of arrays, and what is told of them but for the revision of the code."""
    told = {path.name: json.loads(path.read_text()) for path in folder.glob("*.mp4.json")}
    for document in told.values():
        document.pop("revision")
    return {**told, **{path.name: path.read_bytes() for path in folder.glob("*.safetensors")}}
