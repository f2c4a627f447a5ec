"""Coordination from the runs of two classifiers: trained, drawn, and read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from internvideo.cli.train import train_and_report
from internvideo.data import VideoData
from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import CoordinatedClassifierConfig, VideoClassifierConfig
from internvideo.hub import load_model, load_recogniser
from internvideo.models import CoordinationConfig
from internvideo.recipes import recipe
from internvideo.runs import Run
from internvideo.stages import CoordinationTraining
from internvideo.tasks import ActionRecognitionTraining
from internvideo.training import TrainingConfig
from internvideo.video import write_video
from tests.unit.models.pair import A, B

CLASSES = ("bright", "dark, very")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Videos, and the runs of a classifier on each encoder."""
    root = tmp_path_factory.mktemp("runs")
    lines = ["path,label,split"]
    for number in range(8):
        frames = torch.full((10, 16, 16, 3), 220 - 25 * number, dtype=torch.uint8)
        write_video(root / f"{number}.mp4", frames, 10)
        name = CLASSES[number % 2]
        lines.append(f'{number}.mp4,"{name}",{"val" if number > 5 else "train"}')
    (root / "manifest.csv").write_text("\n".join(lines))
    models = {
        "a": VideoClassifierConfig(encoder=A, num_classes=2, init_scale=1.0),
        "b": VideoClassifierConfig(encoder=B, num_classes=2, pooling="query", init_scale=1.0),
    }
    for name, model in models.items():
        train_and_report(
            run_of(root, ActionRecognitionTraining(model=model)), root / name, device="cpu"
        )
    return root


def run_of(
    root: Path, stage: ActionRecognitionTraining | CoordinationTraining, name: str = "tiny"
) -> Run:
    return Run(
        name=name,
        stage=stage,
        data=VideoData(source="manifest.csv", root=str(root), stride_frames=1, flip=False),
        training=TrainingConfig(num_steps=2, batch_size=2, log_every=1, precision="fp32"),
    )


def coordination(root: Path) -> CoordinationTraining:
    # What is coordinated is told by the two runs, and not by this.
    pair = CoordinatedClassifierConfig(coordination=CoordinationConfig(head_width=8, blocks=1))
    return CoordinationTraining(masked=str(root / "a"), multimodal=str(root / "b"), pair=pair)


@pytest.fixture(scope="module")
def coordinated(runs) -> Path:
    run = run_of(runs, coordination(runs))
    train_and_report(replace(run, data=replace(run.data, eval_crop=0.9)), runs / "ab", device="cpu")
    return runs / "ab"


def test_a_run_writes_down_what_its_classifiers_are(runs, coordinated):
    pair = json.loads((coordinated / "run.json").read_text())["run"]["stage"]["pair"]

    assert pair["masked"]["encoder"]["width"] == A.width
    assert pair["multimodal"]["encoder"]["width"] == B.width
    assert pair["masked"]["num_classes"] == 2
    assert pair["masked_mean"] != pair["multimodal_mean"]


def test_a_coordinated_run_is_a_recogniser_without_the_runs_it_came_from(
    coordinated, tmp_path_factory
):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "ab"
    last = (coordinated / "checkpoints" / "last").resolve()
    elsewhere.mkdir()
    for path in last.iterdir():
        (elsewhere / path.name).write_bytes(path.read_bytes())

    model = load_recogniser(elsewhere)

    frames = torch.randint(0, 255, (2, 8, 16, 16, 3), dtype=torch.uint8)
    assert (model.num_frames, model.side_px, model.crop) == (8, 16, 0.9)
    assert model.classes == CLASSES
    assert model.classify_clips(frames).shape == (2, 2)


def test_a_recogniser_scores_as_the_stage_did(runs, coordinated):
    model = load_recogniser(coordinated)
    clip = torch.rand(1, 3, 8, 16, 16)

    assert torch.equal(load_model(coordinated)(clip), model.model(clip))


def test_the_page_tells_of_gates_classes_and_readings(coordinated):
    html = (coordinated / "report.html").read_text()

    for title in ("Gates and fusion", "Classes that gained", "What encoder A reads"):
        assert title in html


def test_a_pair_without_its_runs_is_refused(runs, tmp_path):
    stage = replace(coordination(runs), multimodal=None)

    with pytest.raises(ConfigError, match=r"stage.multimodal is none; name a run of post-pretr"):
        train_and_report(run_of(runs, stage), tmp_path, device="cpu")


def test_two_encoders_of_one_kind_are_refused(runs, tmp_path):
    stage = replace(coordination(runs), multimodal=str(runs / "a"))

    with pytest.raises(ConfigError, match="`multimodal` a MaskedEncoderConfig; coordination joins"):
        train_and_report(run_of(runs, stage), tmp_path, device="cpu")


def test_a_pretrained_encoder_is_no_classifier(runs, coordinated, tmp_path):
    stage = replace(coordination(runs), masked=str(tmp_path))

    with pytest.raises(CheckpointError, match=r"no model.safetensors there"):
        train_and_report(run_of(runs, stage), tmp_path / "out", device="cpu")


def test_a_coordinated_pair_is_no_encoder_to_coordinate(runs, coordinated, tmp_path):
    stage = replace(coordination(runs), masked=str(coordinated))

    with pytest.raises(ConfigError, match=r"stage.masked=.*ab: is no classifier on one encoder"):
        train_and_report(run_of(runs, stage), tmp_path, device="cpu")


def test_the_paper_s_run_has_its_settings():
    training = recipe("coordinate_huge_k710").training

    assert training.batch_size == 64 and training.ema_decay == 0.9999
    assert training.optimiser.lr == 5e-5 and training.optimiser.weight_decay == 0.001
    assert training.num_steps == 5 * training.optimiser.warmup_steps == 5 * 10286
    assert recipe("coordinate_huge_k710").stage.pair.dropout == 0.9
