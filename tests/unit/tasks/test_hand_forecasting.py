"""Hands move with the crop, are learned, forecast and scored in pixels of the frame."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from internvideo.cli import main
from internvideo.data import RunContext, VideoData
from internvideo.data.annotations.ego4d import HAND_MOMENTS
from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.hub import Pretrained
from internvideo.models import MaskedEncoderConfig
from internvideo.report import Page
from internvideo.stages import FinetuneStage
from internvideo.tasks import (
    HandForecaster,
    HandForecasting,
    HandForecastingTraining,
    VideoRequest,
)
from internvideo.tasks.hand_forecasting import HandTargets
from internvideo.tasks.hand_forecasting.training import hands_of, in_frame
from internvideo.training import TrainingConfig
from internvideo.values import Annotations, Box, Preprocessing, Record, Share, View
from internvideo.video import write_video

A = MaskedEncoderConfig(num_frames=4, side_px=32, width=16, depth=1, num_heads=2, final_norm=False)
CONFIG = VideoClassifierConfig(encoder=A, num_classes=20)
PLACES = {"left_hand": (480, 1080), "right_hand": (1440, 720)}  # (0.25, 0.75) and (0.75, 0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two clips of a frame twice as wide as high, whose hands stay where they are."""
    folder = tmp_path_factory.mktemp("hands")
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        write_video(
            folder / f"{split}.mp4", iter(rng.integers(0, 255, (30, 32, 64, 3), np.uint8)), 10
        )
        told = {"boxes": [{hand: list(point)} for hand, point in PLACES.items()]}
        action = {name: {"frame": 45 + 5 * i, **told} for i, name in enumerate(HAND_MOMENTS)}
        clips = [{"clip_uid": split, "frames": [action]}]
        (folder / f"fho_hands_{split}.json").write_text(
            json.dumps({"split": split, "clips": clips})
        )
    return folder


@pytest.fixture(scope="module")
def data(folder):
    return VideoData(
        source="fho_hands_train.json",
        eval_source="fho_hands_val.json",
        format="ego4d-hands",
        root=str(folder),
        sampling="segments",
        crop="centre",
    )


def forecaster(model=None):
    seen = Preprocessing(num_frames=4, side_px=32, sampling="segments")
    return HandForecaster(model or VideoClassifier(CONFIG), seen)


RECORD = Record(
    video="v.mp4",
    boxes=(
        Box(time_s=1, xyxy=(0.25, 0.75, 0.25, 0.75), labels=(0,), actor=0),
        Box(time_s=2, xyxy=(0.9, 0.5, 0.9, 0.5), labels=(4,), actor=1),
    ),
)


def test_hands_move_with_the_crop_and_one_that_is_cut_off_is_not_visible():
    view = View(timestamps_s=torch.zeros(1), crop_xyxy=(0.0, 0.5, 0.5, 1.0))

    made = HandTargets()(RECORD, view)

    assert made["hands"][0, 0].tolist() == [0.5, 0.5]
    assert made["annotated"].nonzero().tolist() == [[0, 0], [4, 1]]
    assert made["visible"].nonzero().tolist() == [[0, 0]]
    points, annotated = hands_of(RECORD)
    back = in_frame(made["hands"][None], made["crop"][None])[0]
    torch.testing.assert_close(back[annotated], points[annotated])


def test_a_mirrored_left_hand_is_a_right_one():
    view = View(timestamps_s=torch.zeros(1), crop_xyxy=(0.0, 0.0, 1.0, 1.0), mirrored=True)

    made = HandTargets()(RECORD, view)

    assert made["hands"][0, 1].tolist() == [0.75, 0.75]
    assert made["annotated"].nonzero().tolist() == [[0, 1], [4, 0]]


def test_hands_are_learned_and_forecast_in_pixels_of_the_frame(folder, data, tmp_path):
    config = HandForecastingTraining(model=replace(CONFIG, init_scale=1.0))
    context = RunContext(seed=0, share=Share(), device=torch.device("cpu"), folder=tmp_path)
    stage = FinetuneStage(config, data, TrainingConfig(num_steps=2, batch_size=1), context)
    optimiser = torch.optim.Adam(stage.model.parameters(), lr=3e-3)
    (batch,) = stage.prepare(next(stage.batches(0)))
    stage.model.train()

    before = stage.evaluate()["displacement"]
    for _ in range(60):
        optimiser.zero_grad()
        stage.losses(batch, torch.Generator())["hands"].backward()
        optimiser.step()
    after = stage.evaluate()

    assert after["displacement"] < before / 3 and after["clips"] == 1
    model, val = forecaster(stage.model), replace(data, source="fho_hands_val.json").read()
    result = HandForecasting().evaluate(model, val.of_split("val"))
    assert result.scores["displacement"] == pytest.approx(after["displacement"], rel=0.02)
    # The middle of 1920 x 1440 px is 480 px beside and 360 px above or at the height of the hands.
    assert result.scores["middle/displacement"] == pytest.approx((600 + 480) / 2)
    page = Page("t")
    result.add_to(page)
    assert "contact_frame" in page.html()
    answer = HandForecasting().predict(model, VideoRequest(video=folder / "val.mp4"))
    assert answer.to_json()["hands"]["pre_45"]["left_hand"] == pytest.approx([0.25, 0.75], abs=0.15)
    assert len(answer.lines()) == 5


def test_a_video_that_cannot_be_decoded_counts_as_the_middle_and_is_named(folder, data):
    records = data.read().of_split("val").records
    (folder / "broken.mp4").write_bytes(b"no video")
    broken = replace(records[0], video=folder / "broken.mp4")

    result = HandForecasting().evaluate(forecaster(), Annotations(records=(*records, broken)))

    assert (result.num_evaluated, result.num_total) == (1, 2)
    assert [failed.path for failed in result.failed] == [str(broken.video)]
    assert result.predicted[1, 0, 0].tolist() == [960, 720]


def test_another_model_and_other_data_are_refused(level_videos):
    other = Pretrained(
        model=VideoClassifier(replace(CONFIG, num_classes=3)),
        kind="video-classifier",
        config=replace(CONFIG, num_classes=3),
        preprocessing=Preprocessing(),
    )
    with pytest.raises(CheckpointError, match="forecasts no hands"):
        HandForecaster.from_pretrained(other, source="x")
    with pytest.raises(ConfigError, match="no hand is annotated"):
        HandForecasting().evaluate(
            forecaster(), Annotations(records=(Record(video=level_videos[0]),))
        )
    with pytest.raises(ConfigError, match="two hands at five moments are 20 numbers"):
        HandForecastingTraining(model=replace(CONFIG, num_classes=3))


def test_the_page_says_what_was_counted(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("internvideo.cli.tasks._model", lambda *words, **named: forecaster())
    words = ["--data", str(folder / "fho_hands_val.json"), "--format", "ego4d-hands"]
    page = tmp_path / "page.html"

    assert main(["evaluate", "hand-forecasting", "x", *words, "--out", str(page)]) == 0

    assert "1 of 1 interactions" in page.read_text()
