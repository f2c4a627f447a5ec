"""Training of action detectors: what they start from, and a few steps on a small set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from internvideo.data import RunContext, VideoData
from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import (
    ActionDetector,
    ActionDetectorConfig,
    CoordinatedClassifier,
    CoordinatedClassifierConfig,
    VideoClassifier,
    VideoClassifierConfig,
)
from internvideo.models import MaskedEncoderConfig, UniFormerConfig
from internvideo.stages import FinetuneStage
from internvideo.tasks import SpatiotemporalLocalizationTraining
from internvideo.tasks.shared import InitialWeights
from internvideo.tasks.spatiotemporal_localization.training import _initialise
from internvideo.training import TrainingConfig
from internvideo.values import Share
from internvideo.video import write_video
from internvideo.weights import classifier_weights

A = MaskedEncoderConfig(num_frames=4, side_px=32, width=16, depth=2, num_heads=2)
B = UniFormerConfig(
    side_px=32, patch_px=16, width=16, depth=2, num_heads=2, num_global_heads=2, global_layers=(1,)
)
PAIR = CoordinatedClassifierConfig(
    masked=VideoClassifierConfig(encoder=replace(A, final_norm=False), num_classes=3),
    multimodal=VideoClassifierConfig(encoder=B, num_classes=3, pooling="query"),
)


def initial(model, labels=()):
    weights = model.state_dict()
    if not isinstance(model, CoordinatedClassifier | ActionDetector):
        weights = classifier_weights(weights)
    return InitialWeights(path=Path("x"), weights=weights, documents={"labels": list(labels)})


@pytest.mark.parametrize("encoder", [A, B], ids=["A", "B"])
def test_a_detector_starts_from_a_classifier_of_other_classes(encoder):
    pooling, config = ("mean", replace(A, final_norm=False)) if encoder is A else ("query", B)
    torch.manual_seed(0)
    before = VideoClassifier(VideoClassifierConfig(encoder=config, num_classes=5, pooling=pooling))
    model = ActionDetector(ActionDetectorConfig(encoder=encoder, num_classes=3))

    told = _initialise(model, initial(before, "abcde"), ("x", "y", "z"), is_pair=False)

    for name, value in before.encoder.state_dict().items():
        torch.testing.assert_close(model.encoder.state_dict()[name], value)
    assert {"head.weight", "head.bias"} <= set(told["new"])


def test_a_pair_starts_from_a_coordination():
    torch.manual_seed(0)
    before = CoordinatedClassifier(PAIR)
    model = ActionDetector(ActionDetectorConfig(encoder=PAIR, num_classes=7))

    _initialise(model, initial(before), tuple("abcdefg"), is_pair=True)

    for name, value in before.state_dict().items():
        torch.testing.assert_close(model.encoder.state_dict()[name], value)
    with pytest.raises(CheckpointError, match="holds no coordinated pair"):
        _initialise(model, initial(VideoClassifier(PAIR.masked)), tuple("abcdefg"), is_pair=True)


@pytest.mark.parametrize("classes", ["abc", "abd"])
def test_the_head_of_a_detector_comes_along_where_its_classes_are_the_same(classes):
    config = ActionDetectorConfig(encoder=A, num_classes=3)
    torch.manual_seed(0)
    before, model = ActionDetector(config), ActionDetector(config)

    _initialise(model, initial(before, "abc"), tuple(classes), is_pair=False)

    assert model.head.weight.equal(before.head.weight) == (classes == "abc")
    assert model.encoder.norm.weight.equal(before.encoder.norm.weight)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three videos, two key frames each, one of them without a box inside of most crops."""
    folder = tmp_path_factory.mktemp("boxes")
    rng = np.random.default_rng(0)
    rows = ["path,time_s,x1,y1,x2,y2,label,actor,split"]
    for number, split in enumerate(("train", "train", "val")):
        frames = rng.integers(0, 255, (30, 40, 64, 3), dtype=np.uint8)
        write_video(folder / f"{number}.mp4", iter(frames), 10)
        rows += [f"{number}.mp4,{t},0.1,0.1,0.6,0.9,sit,0,{split}" for t in (1, 2)]
        rows += [f"{number}.mp4,2,0.97,0.0,1.0,1.0,wave,1,{split}"]
    (folder / "boxes.csv").write_text("\n".join(rows) + "\n")
    return folder


def stage_of(folder, tmp_path, encoder=A, **fields):
    model = ActionDetectorConfig(encoder=encoder, num_classes=2, test_side_px=32)
    config = SpatiotemporalLocalizationTraining(model=model, **fields)
    data = VideoData(
        source=str(folder / "boxes.csv"),
        format="box-csv",
        crop="random",
        flip=True,
        stride_frames=1,
        clip_rate_fps=10.0,
    )
    context = RunContext(seed=0, share=Share(), device=torch.device("cpu"), folder=tmp_path)
    return FinetuneStage(config, data, TrainingConfig(num_steps=2, batch_size=2), context)


@pytest.mark.parametrize("encoder", [A, B, PAIR], ids=["A", "B", "pair"])
def test_any_encoder_is_trained_and_scored_on_boxes(folder, tmp_path, encoder):
    stage = stage_of(folder, tmp_path, encoder)

    (batch,) = stage.prepare(next(stage.batches(0)))
    loss = stage.losses(batch, torch.Generator().manual_seed(0))["actions"]
    loss.backward()
    scores = stage.evaluate()

    assert loss > 0 and stage.model.head.weight.grad.abs().sum() > 0
    assert 0 < scores["map/true_boxes"] <= 1 and scores["key_frames"] == 2
    assert stage.documents()["labels"] == ["sit", "wave"]


def test_jitter_depends_on_the_sample_alone(folder, tmp_path):
    stage = stage_of(folder, tmp_path)
    (batch,) = next(stage.batches(0))

    plain, *_ = stage.objective.boxes_of(batch, jitter=False)
    once, twice = (stage.objective.boxes_of(batch, jitter=True)[0] for _ in range(2))

    assert once.equal(twice) and not once.equal(plain)
    assert ((once - plain).abs() < 0.11).all()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"num_frames": 8}, "num_frames is 8; it is for encoder B alone"),
        ({"num_trained_blocks": 9}, "num_trained_blocks is 9; the encoder has 2"),
        ({"encoder": PAIR, "trained": "last"}, "all modules are trained, or the head alone"),
        ({"scored": ("run",)}, "stage.scored names 'run'"),
    ],
)
def test_an_impossible_training_is_refused(folder, tmp_path, fields, said):
    with pytest.raises(ConfigError, match=said):
        stage_of(folder, tmp_path, **fields)


@pytest.mark.parametrize(("trained", "num_trained"), [("head", 0), ("last", 1), ("all", 2)])
def test_what_is_not_trained_is_frozen(folder, tmp_path, trained, num_trained):
    model = stage_of(folder, tmp_path, trained=trained).model

    of_blocks = [any(p.requires_grad for p in block.parameters()) for block in model.encoder.blocks]
    assert sum(of_blocks) == num_trained
    assert model.head.weight.requires_grad
