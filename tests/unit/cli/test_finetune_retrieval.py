"""Pairs of path and caption to a retriever, by the command; its checks, its test, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from internvideo.cli import main
from internvideo.video import write_video
from tests.unit.cli.test_main import complaint

SMALL = [
    *("--steps=2", "--workers=1", "--device=cpu", "--check=none", "--skip-memorising"),
    *(
        f"--set={setting}"
        for setting in (
            *("stage.model.encoder.video.depth=1", "stage.model.encoder.video.global_layers=[0]"),
            *("training.precision=fp32", "training.compile=false", "training.batch_size=4"),
        )
    ),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Ten videos with a sentence or two each; two of them share one."""
    folder = tmp_path_factory.mktemp("own")
    rng = torch.Generator().manual_seed(0)
    rows = ["path,caption"]
    for number in range(10):
        frames = torch.randint(0, 255, (8, 16, 16, 3), generator=rng, dtype=torch.uint8)
        write_video(folder / f"{number}.mp4", frames, 8.0)
        rows += [f"{number}.mp4,someone opens box {number % 9}", f"{number}.mp4,video {number}"]
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")
    return folder


def finetune(data: Path, out: Path) -> list[str]:
    return ["finetune", "--task=retrieval", f"--data={data}", f"--out={out}", *SMALL]


@pytest.fixture(scope="module")
def run(home) -> Path:
    assert main(finetune(home / "pairs.csv", home / "run")) == 0
    return home / "run"


def test_pairs_become_a_retriever_with_a_page(run):
    told = json.loads((run / "finetune.json").read_text())

    assert (told["num_train"], told["num_val"]) == (8, 2)
    assert any("sentences of several videos: 1" in warning for warning in told["warnings"])
    assert (run / "report.html").exists()
    assert (run / "checkpoints" / "best" / "tokenizer.json").exists()


def test_the_retriever_searches_and_is_evaluated(run, home, capsys):
    model = ("--model", str(run), "--json", "--device", "cpu")
    capsys.readouterr()
    asked = ("--text", "video 3", "--query", str(home / "4.mp4"), "--top", "10")
    assert main(["predict", "retrieval", str(home), *asked, *model]) == 0
    found = json.loads(capsys.readouterr().out)["found"]
    data = ("--data", str(run / "videos.csv"), "--split", "val", "--json", "--device", "cpu")
    assert main(["evaluate", "retrieval", str(run), *data]) == 0
    scores = json.loads(capsys.readouterr().out)

    assert found[str(home / "4.mp4")][0]["video"].endswith("4.mp4")
    assert len(found["video 3"]) == 10
    assert (scores["num_evaluated"], scores["time/num_opposite"]) == (2, 2)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0.mp4,\n1.mp4,b", "0.mp4 has no caption; fill in the column caption"),
        (",a sentence", "path is empty"),
        ("0.mp4,a\n0.mp4,b", "a video is found among at least 2"),
    ],
)
def test_pairs_that_cannot_be_trained_on_are_one_line(rows, message, home, tmp_path, capsys):
    (home / "wrong.csv").write_text(f"path,caption\n{rows}\n")

    assert message in complaint(capsys, *finetune(home / "wrong.csv", tmp_path / "run"))
    assert not (tmp_path / "run" / "run.json").exists()
