"""One's own segments to a detector, by the command: features, training, answers, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from internvideo.cli import main
from internvideo.hub import Pretrained, load_pretrained, save_pretrained
from internvideo.models import MaskedEncoder, MaskedEncoderConfig
from internvideo.models.actionformer import ActionFormer
from internvideo.values import Preprocessing, Tubelet
from internvideo.video import write_video
from tests.unit.cli.test_main import complaint

SMALL = [
    *("--steps=4", "--workers=1", "--device=cpu", "--check=none"),
    *(
        f"--set={setting}"
        for setting in (
            *("stage.model.width=16", "stage.model.pyramid_width=16", "stage.model.head_width=16"),
            *("training.precision=fp32", "training.compile=false"),
        )
    ),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Five videos of eight seconds that are bright where something happens; an encoder."""
    folder = tmp_path_factory.mktemp("own")
    rows = ["path,start_s,end_s,label"]
    rng = torch.Generator().manual_seed(0)
    for number in range(5):
        frames = torch.randint(0, 90, (64, 16, 16, 3), generator=rng, dtype=torch.uint8)
        frames[8 * number : 8 * number + 24] += 120
        write_video(folder / f"{number}.mp4", frames, 8.0)
        rows.append(f"{number}.mp4,{number},{number + 3},bright")
    (folder / "segments.csv").write_text("\n".join(rows) + "\n")
    torch.manual_seed(0)
    config = MaskedEncoderConfig(
        num_frames=4, side_px=16, tubelet=Tubelet(time=2, height=8, width=8), width=16, depth=1,
        num_heads=2,
    )  # fmt: skip
    encoder = Pretrained(
        model=MaskedEncoder(config),
        kind="masked-encoder",
        config=config,
        preprocessing=Preprocessing(num_frames=4, side_px=16, stride_frames=1),
    )
    save_pretrained(encoder, folder / "encoder")
    return folder


def finetune(home: Path, out: Path, *more: str) -> int:
    words = ["--task=temporal-localization", f"--data={home / 'segments.csv'}"]
    return main(["finetune", *words, f"--from={home / 'encoder'}", f"--out={out}", *SMALL, *more])


@pytest.fixture(scope="module")
def finished(home) -> Path:
    out = home / "run"
    assert finetune(home, out) == 0
    return out


def test_a_detector_with_its_features_and_page_comes_out(finished):
    model = load_pretrained(finished, averaged=True)

    assert isinstance(model.model, ActionFormer)
    assert model.classes == ("bright",)
    assert len(list((finished / "features").glob("*.safetensors"))) == 5
    assert "validation mAP" in (finished / "report.html").read_text()
    told = json.loads((finished / "finetune.json").read_text())
    assert (told["num_train"], told["num_val"], told["preset"]) == (4, 1, "features")
    assert told["step_s"] > 0


def test_the_best_checkpoint_is_kept(finished):
    best = finished / "checkpoints" / "best"

    assert (best / "model.safetensors").is_file()
    assert load_pretrained(best).classes == ("bright",)


def test_the_commands_named_at_the_end_work(finished, capsys):
    guide_words = ["--data", str(finished / "segments.csv"), "--format", "segment-csv"]
    evaluated = main(
        ["evaluate", "temporal-localization", str(finished), *guide_words, "--ema", "--json"]
    )
    scores = json.loads(capsys.readouterr().out)

    assert (evaluated, scores["num_evaluated"], scores["num_total"]) == (0, 1, 1)


def test_features_are_resumed_not_made_again(home, tmp_path, monkeypatch):
    """A run cut off before training keeps what was extracted."""
    out = tmp_path / "run"
    monkeypatch.setattr("internvideo.cli.finetune.Finetune._train", _cut_off)
    assert finetune(home, out) != 0
    before = {p: p.stat().st_mtime_ns for p in (out / "features").iterdir()}
    assert len(before) == 10

    assert finetune(home, out) != 0

    assert {p: p.stat().st_mtime_ns for p in (out / "features").iterdir()} == before


def _cut_off(*_, **__):
    raise KeyboardInterrupt


def test_an_encoder_has_to_be_named(capsys, home, tmp_path):
    said = complaint(
        *(capsys, "finetune", "--task", "temporal-localization"),
        *("--data", home / "segments.csv", "--out", tmp_path / "run"),
    )

    assert "trains on what a trained encoder sees; name a model with --from" in said
    assert not (tmp_path / "run").exists()


def test_a_detector_is_no_encoder(capsys, home, finished, tmp_path):
    said = complaint(
        *(capsys, "finetune", "--task", "temporal-localization", "--from", finished),
        *("--data", home / "segments.csv", "--out", tmp_path / "run", "--check", "none"),
    )

    assert "ActionFormer is no encoder of videos" in said


def test_a_segment_beyond_the_end_writes_nothing(capsys, home, tmp_path):
    source = tmp_path / "late.csv"
    source.write_text(f"path,start_s,end_s,label\n{home / '0.mp4'},1,99,bright\n")

    said = complaint(
        *(capsys, "finetune", "--task", "temporal-localization", "--from", home / "encoder"),
        *("--data", source, "--out", tmp_path / "run", "--check", "none"),
    )

    assert "0.mp4: the segment from 1 to 99 s ('bright') ends after the video" in said
    assert not (tmp_path / "run").exists()
