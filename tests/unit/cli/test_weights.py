"""`internvideo weights`: lists, shows and imports, or says in one line what is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from internvideo.cli import main
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.hub import load_pretrained, load_recogniser
from internvideo.models import MaskedEncoderConfig
from internvideo.weights import RELEASES, to_official_classifier

CONFIG = VideoClassifierConfig(
    encoder=MaskedEncoderConfig(width=64, depth=1, num_heads=1, final_norm=False), num_classes=3
)


class Malicious:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch {self.proof}",)


@pytest.fixture
def mae(tmp_path) -> Path:
    torch.manual_seed(0)
    state = to_official_classifier(VideoClassifier(CONFIG).state_dict())
    torch.save({"model": state, "epoch": 1}, tmp_path / "mae.pth")
    return tmp_path / "mae.pth"


def test_releases_are_listed_by_task_and_license(capsys):
    assert main(["weights", "list", "--task", "image-text", "--license", "mit", "--json"]) == 0

    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["clip-base-16", "clip-large-14", "clip-large-14-336"]


def test_every_release_is_listed_with_its_license(capsys):
    assert main(["weights", "list"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(RELEASES)
    assert any("license unknown" in line for line in lines)


def test_an_unknown_task_is_refused(capsys):
    assert main(["weights", "list", "--task", "recogniton"]) == 2

    assert "unknown task 'recogniton'; did you mean 'recognition'" in capsys.readouterr().err


def test_a_release_is_shown_with_what_is_unknown(capsys):
    assert main(["weights", "show", "videomae-base-hybrid-k400"]) == 0

    out = capsys.readouterr().out
    assert "vit_b_hybrid_pt_800e_k400_ft.pth" in out
    assert "sha256       unknown" in out


def test_a_file_is_imported_and_every_tensor_explained(mae, tmp_path, capsys):
    (tmp_path / "labels.txt").write_text("run\nsit\njump\n")

    more = ["--labels", str(tmp_path / "labels.txt"), "--num-frames", "8"]
    status = main(
        ["weights", "import", str(mae), "--out", str(tmp_path / "out"), "--explain", *more]
    )

    out = capsys.readouterr().out
    assert status == 0
    assert "took the weights from 'model'" in out
    assert "resized the fixed table of positions" in out
    assert "renamed   encoder.blocks.0.norm1.weight" in out
    assert load_pretrained(tmp_path / "out").config.encoder.num_frames == 8
    assert load_recogniser(tmp_path / "out").classes == ("run", "sit", "jump")


def test_facts_and_rows_are_taken_from_the_command_line(mae, tmp_path, capsys):
    (tmp_path / "rows.json").write_text("[2, 0]")

    more = ["--set", "encoder.num_heads=4", "--rows", str(tmp_path / "rows.json")]
    status = main(["weights", "import", str(mae), "--out", str(tmp_path / "out"), "--json", *more])

    assert status == 0
    tensors = json.loads(capsys.readouterr().out)["tensors"]
    assert {entry["name"] for entry in tensors if entry["how"] == "mapped"} == {
        "head.weight",
        "head.bias",
    }
    found = load_pretrained(tmp_path / "out").config
    assert (found.encoder.num_heads, found.num_classes) == (4, 2)


def _wrong(folder: Path, mae: Path) -> dict[str, tuple[list[str], str]]:
    """Arguments and the words to expect, for each wrong file."""
    content = mae.read_bytes()
    (folder / "cut.pth").write_bytes(content[: len(content) // 2])
    (folder / "page.pth").write_text("<!DOCTYPE html><html>404</html>")
    (folder / "empty.pth").touch()
    (folder / "folder").mkdir()
    torch.save({"model": Malicious(folder / "proof")}, folder / "bad.pth")
    labels = folder / "labels710.json"
    labels.write_text(json.dumps([f"class {i}" for i in range(710)]))
    return {
        "truncated": (["cut.pth"], "is cut short"),
        "hash": (["mae.pth", "--sha256", "00"], "published is 00"),
        "page": (["page.pth"], "is a web page; the download failed"),
        "size": (["mae.pth", "--size", "base"], "are of size 'width 64, depth 1', not 'base'"),
        "labels": (["mae.pth", "--labels", str(labels)], "710 labels for a model with 3 classes"),
        "malicious": (["bad.pth"], "which could run code; nothing was executed"),
        "directory": (["folder"], "is a folder without weights"),
        "empty": (["empty.pth"], "is empty"),
        "missing": (["no/such.pth"], "there is no such file"),
    }


@pytest.mark.parametrize(
    "what",
    ["truncated", "hash", "page", "size", "labels", "malicious", "directory", "empty", "missing"],
)
def test_a_wrong_file_is_one_clear_line_and_leaves_nothing(mae, tmp_path, capsys, what: str):
    (name, *options), message = _wrong(tmp_path, mae)[what]
    before = sorted(tmp_path.rglob("*"))

    status = main(
        ["weights", "import", str(tmp_path / name), "--out", str(tmp_path / "out"), *options]
    )

    said = capsys.readouterr().err
    assert status == 2
    assert said.count("\n") == 1
    assert message in said
    assert sorted(tmp_path.rglob("*")) == before


def test_an_existing_folder_is_not_written_into(mae, tmp_path, capsys):
    (tmp_path / "out").mkdir()

    assert main(["weights", "import", str(mae), "--out", str(tmp_path / "out")]) == 2
    assert "exists already; choose another --out" in capsys.readouterr().err
