"""The health scan: every file is named with what is wrong with it."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from pathlib import Path

import pytest

from internvideo.errors import DecodeError
from internvideo.video import find_videos, scan, write_clean_manifest, write_health_report
from internvideo.video.health import examine
from internvideo.video.workers import KeptProcess, map_in_processes
from tests.unit.video.conftest import dot_frames, encode, write_sound


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good and bad files, some with misleading names."""
    path = tmp_path_factory.mktemp("scan")
    encode(path / "good.mp4", dot_frames(12))
    encode(path / "one.mp4", dot_frames(1))
    encode(path / "odd.mkv", dot_frames(4, 47, 61), pix_fmt="yuv444p")
    encode(path / "rotated.mp4", dot_frames(4), rotation=90)
    encode(path / "variable.mkv", dot_frames(4), times=[0, 1, 2, 40])
    encode(path / "grey.mkv", dot_frames(4), "ffv1", pix_fmt="gray")
    (path / "nameless").write_bytes((path / "good.mp4").read_bytes())
    whole = encode(path / "cut.mp4", dot_frames(40), muxing={"movflags": "faststart"})
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    data = bytearray((encode(path / "bits.mp4", dot_frames(40), bf="0")).read_bytes())
    start = data.index(b"mdat") + 1500
    data[start : start + 400] = bytes(400)
    (path / "bits.mp4").write_bytes(data)
    (path / "empty.mp4").touch()
    (path / "text.mp4").write_text("no video\n" * 300)
    write_sound(path / "sound.mp4")
    (path / "notes.txt").write_text("not looked at")
    return path


def test_each_kind_of_damage_is_named(folder):
    health = {p.name: examine(p) for p in find_videos(folder)}

    statuses = {name: file.status for name, file in health.items()}
    bad = {n: s for n, s in statuses.items() if s != "ok"}
    assert bad == {
        "cut.mp4": "damaged",
        "bits.mp4": "damaged",
        "empty.mp4": "unreadable",
        "text.mp4": "unreadable",
        "sound.mp4": "unreadable",
    }
    assert "of 40 frames are missing" in str(health["cut.mp4"].reason)
    assert "the decoder says" in str(health["bits.mp4"].reason)
    assert "the file is empty" in str(health["empty.mp4"].reason)
    assert "no video stream" in str(health["sound.mp4"].reason)
    facts = {name: set(file.facts) - {"no-audio"} for name, file in health.items()}
    assert facts["one.mp4"] == {"one-frame"}
    assert facts["odd.mkv"] == {"odd-size"}
    assert facts["rotated.mp4"] == {"rotated"}
    assert facts["variable.mkv"] == {"variable-rate"}
    assert facts["grey.mkv"] == {"grey"}
    assert facts["good.mp4"] == facts["nameless"] == set()


def test_what_the_decoder_says_is_of_the_file_itself(folder, tmp_path):
    playlist = tmp_path / "playlist.ts"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://nowhere/x.ts\n")
    expected = examine(folder / "bits.mp4").reason

    examine(playlist)

    assert examine(folder / "bits.mp4").reason == expected


def test_a_scan_writes_a_report_and_a_manifest_of_the_good_files(folder, tmp_path):
    told: list[tuple[int, int]] = []
    part = tmp_path / "videos"
    part.mkdir()
    for name in ("good.mp4", "empty.mp4"):
        (part / name).write_bytes((folder / name).read_bytes())

    health = scan(part, num_workers=2, on_progress=lambda done, total: told.append((done, total)))
    write_health_report(health, tmp_path / "health.json")
    write_clean_manifest(health, tmp_path / "good.csv")

    report = json.loads((tmp_path / "health.json").read_text())
    assert [(Path(file["path"]).name, file["status"]) for file in report] == [
        ("empty.mp4", "unreadable"),
        ("good.mp4", "ok"),
    ]
    assert report[1] | {"path": ""} == {
        "path": "",
        "status": "ok",
        "facts": ["no-audio"],
        "frames": 12,
        "seconds": 0.48,
        "rate": 25.0,
        "size": [64, 48],
        "codec": "h264",
    }
    with (tmp_path / "good.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["path"], [str(Path("videos") / "good.mp4")]]
    assert told == [(1, 2), (2, 2)]


def test_scanning_nothing_says_so(tmp_path):
    with pytest.raises(DecodeError, match="no such file or folder; check the path"):
        scan(tmp_path / "missing")


def misbehave(how: str) -> str:
    if how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "hang":
        time.sleep(60)
    if how == "raise":
        raise ValueError("a bug")
    return how


def test_an_item_that_crashes_or_hangs_its_process_is_named():
    answers = map_in_processes(
        misbehave,
        ["fine", "crash", "hang", "also fine"],
        on_failure=lambda item, why: f"{item}: {why}",
        num_workers=2,
        limit_s=1.0,
    )

    assert answers == [
        "fine",
        "crash: the decoder crashed (SIGSEGV)",
        "hang: decoding took longer than 1 s",
        "also fine",
    ]


def test_an_error_in_a_worker_is_raised_here():
    with pytest.raises(ValueError, match="a bug"):
        map_in_processes(
            misbehave, ["raise"], on_failure=lambda item, why: why, num_workers=1, limit_s=60
        )


def test_a_kept_process_answers_again_after_a_crash():
    process = KeptProcess(misbehave, limit_s=60)
    try:
        answers = [
            process.call(item, on_failure=lambda item, why: f"{item}: {why}")
            for item in ("fine", "crash", "fine again")
        ]
        with pytest.raises(ValueError, match="a bug"):
            process.call("raise", on_failure=lambda item, why: why)
    finally:
        process.close()

    assert answers == ["fine", "crash: the decoder crashed (SIGSEGV)", "fine again"]
