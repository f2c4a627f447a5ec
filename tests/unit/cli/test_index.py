"""The verb `index` in parts: jobs make videos ready, the command without --part takes them in."""

from __future__ import annotations

import json

import numpy as np
import pytest

from internvideo.cli import main
from internvideo.search import Index
from tests.unit.cli.test_main import complaint
from tests.unit.cli.test_tasks import WORDS, multimodal
from tests.unit.search.toys import COLOURS, GREY, colour_video


@pytest.fixture
def words(tmp_path):
    """The command on two videos and a broken one, but for --out."""
    for name in ("red", "blue"):
        colour_video(tmp_path / "videos" / f"{name}.mp4", [(GREY, 1), (COLOURS[name], 2)])
    (tmp_path / "videos" / "broken.mp4").write_text("no video")
    model = multimodal(tmp_path / "model", **WORDS)
    return ["index", str(tmp_path / "videos"), "--model", str(model), "--device", "cpu"]


def test_parts_become_the_index_of_one_run(words, tmp_path, capsys):
    parts, whole = tmp_path / "parts", tmp_path / "whole"

    for index in (1, 0):
        status = main([*words, "--out", str(parts), "--part", f"{index}/2", "--json"])
        said = json.loads(capsys.readouterr().out)
        made = (said["ready"], said["there"], said["failed"])
        assert (status, made) == ((1, (0, 0, 1)) if index else (0, (2, 0, 0)))
    assert main([*words, "--out", str(parts)]) == main([*words, "--out", str(whole)]) == 1

    out = capsys.readouterr().out
    assert out.count("2 new, 0 changed") == 2
    assert out.count("broken.mp4") == 2
    with Index(parts) as ours, Index(whole) as theirs:
        assert ours.videos() == theirs.videos()
        pairs = (index.vectors()["values"].astype(float) for index in (ours, theirs))
        assert np.allclose(*pairs, atol=2e-3)
    assert {path.name for path in parts.iterdir()} == {path.name for path in whole.iterdir()}


def test_what_needs_the_whole_index_is_refused_in_a_part(words, tmp_path, capsys):
    words += ["--out", str(tmp_path / "index"), "--part", "0/2", "--watch"]

    assert "leave --part out" in complaint(capsys, *words)
    assert not (tmp_path / "index").exists()
