"""Spans beyond the end of their video are refused before anything is trained on them."""

from __future__ import annotations

import pytest

from internvideo.data import check_labelled, read_labelled
from internvideo.errors import ConfigError
from tests.unit.video.conftest import dot_frames, encode


def test_times_of_the_untrimmed_source_beside_trimmed_clips_are_refused(tmp_path):
    rows = ["path,label,start_s,end_s"]
    for number in range(4):
        name = f"{number}.mp4"
        encode(tmp_path / name, dot_frames(12))
        rows.append(f"{name},{'run' if number % 2 else 'walk'},{'63,73' if number else '0,0.2'}")
    (tmp_path / "m.csv").write_text("\n".join(rows))

    with pytest.raises(
        ConfigError, match=r"3 spans .* of line 3, .*1\.mp4: from 63 to 73 s of 0\.48"
    ):
        check_labelled(read_labelled(tmp_path / "m.csv"))
