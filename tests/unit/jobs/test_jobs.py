"""Units of bulk work: who does them, how often, and what is written, wherever the files lie."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import fsspec
import pytest

from internvideo.cli import main
from internvideo.errors import ConfigError, DecodeError
from internvideo.jobs import Engine, Ledger, Part, Record, Unit, do_unit, video_units
from internvideo.video import TranscodeConfig, VideoReader, transcode
from tests.unit.video.conftest import dot_frames, encode

UNIT = Unit(name="a.mp4", source="a.mp4", target="out/a")


@dataclass
class Scripted:
    """Does what it is told, attempt by attempt; an exception or the facts."""

    answers: list[Exception | dict]

    def __call__(self, unit: Unit, before: Record | None):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer, before is not None


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(out=str(tmp_path))


@pytest.fixture
def memory():
    """An empty store in memory."""
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/", recursive=True)


def claim_of(ledger: Ledger) -> Path:
    return Path(ledger.out) / ".units" / f"{UNIT.key}.claim"


def test_parts_share_out_all_units():
    units = [replace(UNIT, name=str(i)) for i in range(10)]

    parts = [Part(index=i, count=3).of_units(units) for i in range(3)]

    assert sorted((u for part in parts for u in part), key=lambda u: int(u.name)) == units
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    inner = [Part(index=1, count=3).inside(i, 2).of_units(units) for i in range(2)]
    assert sorted(u.name for part in inner for u in part) == sorted(u.name for u in parts[1])


@pytest.mark.parametrize("text", ["3/3", "1", "-1/2", "a/b"])
def test_a_part_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="part"):
        Part.of(text)


def test_a_slurm_array_tells_the_part(monkeypatch):
    with pytest.raises(ConfigError, match="SLURM_ARRAY_TASK_ID"):
        Part.of(None, slurm_array=True)
    for name, value in {"ID": 7, "MIN": 5, "MAX": 8, "COUNT": 4}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))

    assert Part.of(None, slurm_array=True) == Part(index=2, count=4)
    with pytest.raises(ConfigError, match="both choose"):
        Part.of("0/2", slurm_array=True)


def test_a_unit_is_done_once_and_found_done_afterwards(ledger):
    work = Scripted([{"frames": 3}, {"frames": 3}])

    first, second = (do_unit(UNIT, work=work, ledger=ledger, attempts=3) for _ in range(2))

    assert (first.status, second.status) == ("done", "there")
    assert ledger.read(UNIT) == second
    assert not claim_of(ledger).exists()


def test_storage_that_fails_is_tried_again_and_a_broken_file_is_not(ledger):
    flaky = Scripted([OSError("gone"), OSError("gone"), {}])
    broken = Scripted([DecodeError("a.mp4: is empty"), {}])

    mended = do_unit(UNIT, work=flaky, ledger=ledger, attempts=3)
    failed = do_unit(UNIT, work=broken, ledger=ledger, attempts=3)

    assert (mended.status, mended.attempts) == ("done", 3)
    assert (failed.status, failed.attempts, failed.reason) == ("failed", 1, "a.mp4: is empty")
    given_up = do_unit(UNIT, work=Scripted([OSError("gone")] * 2), ledger=ledger, attempts=2)
    assert (given_up.status, given_up.attempts) == ("failed", 2)


def test_what_another_process_works_on_is_left_to_it(ledger):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        ledger.claim(UNIT)
        held = json.loads(claim_of(ledger).read_text())
        claim_of(ledger).write_text(json.dumps({**held, "pid": other.pid}))

        left = do_unit(UNIT, work=Scripted([]), ledger=ledger, attempts=3)
        other.kill()
        other.wait()
        taken = do_unit(UNIT, work=Scripted([{}]), ledger=ledger, attempts=3)

    assert left is None
    assert (taken.status, taken.attempts) == ("done", 2)


def test_a_unit_that_ends_its_process_each_time_is_given_up(ledger):
    ledger.claim(UNIT)
    held = json.loads(claim_of(ledger).read_text())
    claim_of(ledger).write_text(json.dumps({**held, "attempt": 3, "ended": True}))

    record = do_unit(UNIT, work=Scripted([]), ledger=ledger, attempts=3)

    assert record.status == "failed"
    assert "ended its process 3 times; given up" in record.reason
    assert not claim_of(ledger).exists()


def test_a_claim_in_an_object_store_is_taken_by_one(memory):
    ledger = Ledger(out="memory://job")

    assert (ledger.claim(UNIT), ledger.claim(UNIT)) == (1, None)
    ledger.abandon(UNIT)
    assert ledger.claim(UNIT) == 2


def test_transcoding_keeps_times_and_makes_key_frames(tmp_path):
    times = [0, 1, 2, 5, 6, 9, *range(10, 30)]
    source = encode(tmp_path / "a.mp4", dot_frames(26, 72, 96), times=times, gop=100)

    count = transcode(source, tmp_path / "b.mp4", TranscodeConfig(short_side_px=36, gop=4))

    with VideoReader(source) as before, VideoReader(tmp_path / "b.mp4") as after:
        assert count == before.num_frames == after.num_frames
        assert (after.info.width, after.info.height) == (48, 36)
        assert abs(before.timestamps_s - after.timestamps_s).max() < 1e-4
        assert sum(frame.key_frame for frame in after.walk()) == 7


def test_transcoding_a_folder_goes_on_where_it_was_cut_off(tmp_path, capsys):
    videos, out = tmp_path / "videos", tmp_path / "out"
    (videos / "below").mkdir(parents=True)
    encode(videos / "a.mp4", dot_frames(8))
    encode(videos / "below" / "b.mkv", dot_frames(8))
    (videos / "broken.mp4").write_text("no video")
    words = ["data", "transcode", str(videos), "--out", str(out), "--short-side", "24"]
    words += ["--workers", "0"]

    status = main([*words, "--part", "0/2"]), main(words), main([*words, "--gop", "3"])

    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(out))]
    assert status == (1, 1, 1)  # one is broken
    assert said[0].endswith("1 written, 0 there before, 1 failed, of 2")
    assert said[1].endswith("1 written, 1 there before, 1 failed, of 3")
    assert said[2].endswith("2 written, 0 there before, 1 failed, of 3")
    assert {p.name for p in out.rglob("*.mp4")} == {"a.mp4", "b.mkv.mp4"}
    assert json.loads((out / "report.json").read_text())["num_total"] == 3
    assert main([*words, "--crf", "90"]) == 2


def test_parts_of_a_scan_meet_in_the_report_of_a_whole_one(tmp_path, capsys):
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in "abc":
        encode(videos / f"{name}.mp4", dot_frames(6))
    (videos / "d.mp4").write_bytes(encode(tmp_path / "e.mp4", dot_frames(20)).read_bytes()[:-200])
    whole, parts = tmp_path / "whole.json", tmp_path / "parts.json"

    assert main(["data", "scan", str(videos), "--out", str(whole), "--workers", "1"]) == 0
    for index in (1, 0):
        words = ["data", "scan", str(videos), "--out", str(parts), "--part", f"{index}/2"]
        assert not parts.exists()
        assert main([*words, "--workers", "0"]) == 0

    assert parts.read_bytes() == whole.read_bytes()
    assert main(["data", "scan", str(videos), "--part", "0/2"]) == 2
    assert "give --out FILE" in capsys.readouterr().err


def test_videos_of_an_object_store_become_videos_there(memory, tmp_path):
    memory.pipe_file("/videos/x/a.mp4", encode(tmp_path / "a.mp4", dot_frames(8)).read_bytes())
    words = ["data", "transcode", "memory://videos", "--out", "memory://small", "--workers", "0"]

    assert [main(words), main(words)] == [0, 0]

    assert memory.exists("/small/x/a.mp4")
    report = json.loads(memory.cat_file("/small/report.json"))
    assert (report["num_written"], report["num_skipped"]) == (0, 1)
    (unit,) = video_units("memory://videos", "memory://out", ".npy")
    assert (unit.name, unit.target) == ("x/a.mp4", "memory://out/x/a.mp4.npy")


def test_an_address_that_nothing_can_read_is_one_line(capsys):
    assert main(["data", "transcode", "nowhere://videos", "--out", "out"]) == 2
    assert "nothing here can read such an address" in capsys.readouterr().err


def test_an_engine_needs_at_least_one_attempt():
    with pytest.raises(ConfigError, match="at least one attempt"):
        Engine(attempts=0)


def test_workers_name_a_unit_that_kills_them(ledger):
    units = [replace(UNIT, name=name) for name in ("fine", "deadly")]

    records = Engine(num_workers=1).run(units, Deadly(), ledger)

    assert [record.status for record in records] == ["done", "failed"]
    assert "SIGKILL" in records[1].reason


@dataclass
class Deadly:
    def __call__(self, unit: Unit, before: Record | None):
        if unit.name == "deadly":
            os.kill(os.getpid(), 9)
        return {}, False
