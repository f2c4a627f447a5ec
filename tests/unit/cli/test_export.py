"""`internvideo weights export` and `push`, on a model of a few thousand weights."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from internvideo.cli import main
from internvideo.hub import Preprocessing, Pretrained, save_pretrained
from internvideo.hub.pretrained import build_model
from internvideo.models import MaskedEncoderConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    config = MaskedEncoderConfig(num_frames=2, side_px=16, width=16, depth=1, num_heads=2)
    pretrained = Pretrained(
        model=build_model("masked-encoder", config),
        kind="masked-encoder",
        config=config,
        preprocessing=Preprocessing(num_frames=2, side_px=16),
    )
    return save_pretrained(pretrained, tmp_path_factory.mktemp("saved") / "model")


def test_export_tells_how_far_the_file_is_from_the_model(folder, tmp_path, capsys):
    out = tmp_path / "model.pt2"

    assert (
        main(["weights", "export", str(folder), "--to", "torch", "--out", str(out), "--json"]) == 0
    )

    told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(out)
    assert told["num_bytes"] == out.stat().st_size
    assert list(told["max_errors"]) == ["1", "3"]
    assert told["max_error"] < 1e-4


def test_a_wrong_ending_is_answered_in_one_line(folder, tmp_path, capsys):
    arguments = ["weights", "export", str(folder), "--to", "onnx", "--out", str(tmp_path / "a.pt2")]

    assert main(arguments) == 2

    assert "give a file name that ends in .onnx" in capsys.readouterr().err


def test_push_can_show_the_card_first(folder, capsys):
    assert main(["weights", "push", str(folder), "--repo", "me/encoder", "--card"]) == 0

    assert "\n# me/encoder\n" in capsys.readouterr().out


def test_push_says_what_goes_where_and_publishes_with_yes_alone(folder, monkeypatch, capsys):
    sent = []

    class Hub:
        def create_repo(self, repo_id: str, **asked: object) -> None:
            sent.append(repo_id)

        def upload_folder(self, **asked: object) -> SimpleNamespace:
            return SimpleNamespace(commit_url="https://hub/commit/1")

    monkeypatch.setattr("internvideo.hub.push.hub_api", Hub)
    command = ["weights", "push", str(folder), "--repo", "me/encoder"]

    assert main(command) == 2

    told = capsys.readouterr()
    size = (folder / "model.safetensors").stat().st_size
    assert told.out.startswith("to me/encoder, which is seen by everybody")
    assert f"model.safetensors  {size:,} bytes" in told.out
    assert "nothing was uploaded; add --yes" in told.err
    assert not sent

    assert main([*command, "--yes"]) == 0

    assert sent == ["me/encoder"]
    assert capsys.readouterr().out.endswith("https://hub/commit/1\n")
