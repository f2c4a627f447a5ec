"""What `internvideo bench` measures is what `internvideo plan --measured` uses."""

from __future__ import annotations

import json

import pytest

from internvideo.cli import main
from internvideo.planner import Assumptions, with_measured
from tests.unit.video.conftest import dot_frames, encode

TINY = [
    "--set=stage.encoder.depth=1",
    "--set=stage.decoder.depth=1",
    "--set=stage.encoder.width=32",
    "--set=training.precision=fp32",
]


def test_parts_of_one_file_narrow_a_plan(tmp_path, capsys):
    out = tmp_path / "bench.json"
    encode(tmp_path / "a.mp4", dot_frames(40))
    (tmp_path / "broken.mp4").write_text("no video")

    assert main(["bench", "decode", str(tmp_path), "--limit-s", "0.3", "--out", str(out)]) == 0
    words = ["bench", "step", "mae_tiny_videos", "--batch-size", "2", "--steps", "1", *TINY]
    assert main([*words, "--device", "cpu", "--out", str(out)]) == 0

    found = json.loads(out.read_text())
    assert set(found) == {"decode", "step"}
    assert found["decode"]["clips"] > 0
    assert found["step"]["clips_per_s"] == pytest.approx(2 / found["step"]["step_s"])
    assert "utilisation" not in found["step"]  # the peak of a processor is not known
    assumed = with_measured(Assumptions(), out)
    rate = found["decode"]["clips_per_core_s"]
    assert assumed.decodes_per_core_s_low == pytest.approx(0.9 * rate)
    assert assumed.video_mb_high == pytest.approx(1.1 * found["decode"]["video_mb"])
    assert "clips_per_core_s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["decode", "{folder}"], "holds no video file"),
        (["step", "mae_tiny_videos", "--steps", "0"], "must be at least 1"),
        (["step", "temporal_localization_tiny"], "cannot be measured alone"),
    ],
)
def test_what_cannot_be_measured_is_one_line(tmp_path, capsys, words, message):
    assert main(["bench", *[word.format(folder=tmp_path) for word in words]]) == 2

    assert message in capsys.readouterr().err


def test_only_broken_videos_are_said_to_be_so(tmp_path, capsys):
    (tmp_path / "a.mp4").write_text("no video")

    assert main(["bench", "decode", str(tmp_path), "--limit-s", "0.2"]) == 2

    assert "no video can be decoded" in capsys.readouterr().err
