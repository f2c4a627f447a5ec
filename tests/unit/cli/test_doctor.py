"""`internvideo doctor` finds what fits and names what does not, with the command that helps."""

from __future__ import annotations

import json

import pytest

from internvideo.cli import doctor, main

STATED = [
    "torch<2.16,>=2.11",
    "av>=18,<20",
    'onnx<2,>=1.19; extra == "export"',
    'onnxruntime<2,>=1.23; extra == "export"',
    'internvideo[export,hub]; extra == "dev"',
]


@pytest.fixture
def told(monkeypatch, capsys):
    """What is said of a machine with these versions and the bounds above."""

    def ask(**versions):
        monkeypatch.setattr(doctor, "requires", lambda _: STATED)
        monkeypatch.setattr(doctor, "_installed", lambda name: versions.get(name, ""))
        status = main(["doctor", "--json"])
        return status, {row["what"]: row for row in json.loads(capsys.readouterr().out)}

    return ask


def test_this_machine_is_able(capsys):
    assert main(["doctor", "--json"]) == 0

    findings = json.loads(capsys.readouterr().out)
    assert all(row["ok"] for row in findings)
    assert {"python", "torch", "av", "video codecs", "encode and decode", "device"} <= {
        row["what"] for row in findings
    }


def test_versions_within_the_bounds_are_fine(told):
    status, rows = told(torch="2.13.0+cpu", av="19.0.2")

    assert status == 0
    assert rows["torch"]["found"] == "2.13.0+cpu (>=2.11,<2.16)"
    assert rows["av"]["ok"]


@pytest.mark.parametrize(
    ("versions", "what", "found"),
    [
        ({"av": "20.0.0", "torch": "2.13.0"}, "av", "20.0.0 (>=18,<20): pip install 'av>=18,<20'"),
        ({"av": "17.1.0", "torch": "2.13.0"}, "av", "17.1.0 (>=18,<20): pip install 'av>=18,<20'"),
        ({"av": "18.1.0"}, "torch", "missing: pip install 'torch>=2.11,<2.16'"),
    ],
)
def test_what_is_missing_or_out_of_bounds_fails_with_the_remedy(told, versions, what, found):
    status, rows = told(**versions)

    assert status == 1
    assert rows[what] == {"ok": False, "what": what, "found": found}


def test_an_optional_part_may_be_absent_but_not_of_an_untested_version(told):
    needed = {"torch": "2.13.0", "av": "19.0.2"}

    status, rows = told(**needed)
    assert status == 0
    assert rows["extra 'export'"]["found"].startswith("absent (optional")
    assert rows["extra 'export'"]["found"].endswith(
        "pip install 'onnx>=1.19,<2' 'onnxruntime>=1.23,<2'"
    )

    status, rows = told(**needed, onnx="1.23.2", onnxruntime="1.32.0")
    assert status == 0
    assert rows["extra 'export'"]["found"] == "onnx 1.23.2, onnxruntime 1.32.0"

    status, rows = told(**needed, onnx="1.23.2", onnxruntime="1.2.0")
    assert status == 1
    assert "not a tested version" in rows["extra 'export'"]["found"]


def test_a_clip_that_comes_back_different_fails(told, monkeypatch):
    import internvideo.video

    write = internvideo.video.write_video
    monkeypatch.setattr(
        internvideo.video, "write_video", lambda path, frames, rate: write(path, 255 - frames, rate)
    )

    status, rows = told(torch="2.13.0", av="19.0.2")

    assert status == 1
    assert not rows["encode and decode"]["ok"]


def test_a_library_that_cannot_open_a_clip_is_named(told, monkeypatch):
    import internvideo.video

    def refuse(path):
        raise TypeError("open() got an unexpected keyword argument")

    monkeypatch.setattr(internvideo.video, "open_video", refuse)

    status, rows = told(torch="2.13.0", av="19.0.2")

    assert status == 1
    assert rows["encode and decode"]["found"].startswith("TypeError: open() got an unexpected")
