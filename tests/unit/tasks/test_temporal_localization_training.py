"""Training a temporal detector on planted features: it learns, resumes to the bit, and refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from internvideo.data import VideoData
from internvideo.errors import ConfigError
from internvideo.hub import load_pretrained
from internvideo.runs import Run, execute
from internvideo.tasks import (
    LocalizationData,
    TemporalDetector,
    TemporalLocalization,
    TemporalLocalizationTraining,
)
from internvideo.tasks.temporal_localization import FeatureSets
from internvideo.training import OptimiserConfig, TrainingConfig, joined
from tests.unit.tasks.planted import CLASSES, NETWORK, NUM_CHANNELS, NUM_STEPS, plant


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    plant(folder, train=24, val=8, test=12)
    return folder


def run_on(folder, *, num_steps=4, **changes) -> Run:
    stage = TemporalLocalizationTraining(
        model=NETWORK,
        features=FeatureSets(extracted=(str(folder / "features"),)),
        initial_normaliser=20.0,
    )
    return Run(
        name="planted",
        stage=replace(stage, **changes),
        data=VideoData(source=str(folder / "segments.csv"), format="segment-csv", cache_mb=64),
        training=TrainingConfig(
            num_steps=num_steps,
            batch_size=8,
            optimiser=OptimiserConfig(
                lr=3e-3, final_lr=1e-4, warmup_steps=min(10, num_steps // 2), clip_gradient=1.0
            ),
            ema_decay=0.9,
            log_every=2,
            checkpoint_every=2,
        ),
    )


def trained(run: Run, out, *, resume=False):
    with joined("cpu") as process:
        return execute(run, out, process=process, resume=resume)


def test_it_learns_planted_segments_and_finds_them_in_unseen_videos(planted, tmp_path):
    outcome, _ = trained(run_on(planted, num_steps=100), tmp_path / "run")
    found = load_pretrained(tmp_path / "run", averaged=True)
    model = TemporalDetector.from_pretrained(found, source="run")
    data = LocalizationData(data=str(planted / "segments.csv"), format="segment-csv", split="test")

    result = TemporalLocalization().evaluate(model, data.read())

    assert found.classes == CLASSES
    assert model.config.encoders == ("runs/a",)
    assert (result.num_evaluated, result.num_total) == (12, 12)
    assert result.scores["map/0.5"] > 0.6
    assert outcome.scores["map/0.5"] > 0.6


def test_a_stopped_run_goes_on_to_the_same_weights(planted, tmp_path):
    whole = run_on(planted, num_steps=4)
    trained(whole, tmp_path / "whole")
    first = tmp_path / "whole" / "checkpoints" / "step-2"
    again = tmp_path / "again"
    (again / "checkpoints").mkdir(parents=True)
    (again / "run.json").write_bytes((tmp_path / "whole" / "run.json").read_bytes())
    first.rename(again / "checkpoints" / "step-2")
    (again / "checkpoints" / "last").symlink_to("step-2")

    trained(whole, again, resume=True)

    for name in ("model", "ema"):
        one, other = (
            load_file(folder / "checkpoints" / "step-4" / f"{name}.safetensors")
            for folder in (tmp_path / "whole", again)
        )
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_class_agnostic_detector_is_trained_with_one_output(planted, tmp_path):
    network = replace(NETWORK, num_classes=1)
    outcome, _ = trained(
        run_on(planted, num_steps=2, model=network, class_agnostic=True), tmp_path / "run"
    )

    found = load_pretrained(tmp_path / "run")
    assert found.classes == CLASSES
    assert TemporalDetector.from_pretrained(found, source="run").labels == ("action",)
    assert "class_agnostic/map/average" in outcome.scores


def test_training_sequences_are_the_same_whatever_the_step_it_starts_from(planted, tmp_path):
    _, stage = trained(run_on(planted, num_steps=2), tmp_path / "run")
    from_start, later = stage.batches(0), stage.batches(3)
    for _ in range(3):
        next(from_start)

    (one,), (other,) = next(from_start), next(later)

    assert torch.equal(one.features, other.features)
    assert one.features.shape == (8, NUM_STEPS, NUM_CHANNELS)
    assert [s.video for s in one.sequences] == [s.video for s in other.sequences]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": replace(NETWORK, input_width=5)},
            r"features have 12 channels, model.input_width is 5; set stage.model.input_width=12",
        ),
        (
            {"model": replace(NETWORK, num_classes=4)},
            r"3 classes, model.num_classes is 4; set stage.model.num_classes=3",
        ),
        ({"features": FeatureSets()}, "no features are named"),
        ({"features": FeatureSets(extracted=("nowhere",))}, "nowhere: there is no such folder"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(planted, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        trained(run_on(planted, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_run_says_what_its_features_were_made_with(planted, tmp_path):
    trained(run_on(planted, num_steps=2), tmp_path / "run")

    (source,) = load_pretrained(tmp_path / "run").config.sources
    assert (source.model_type, source.pooling) == ("MaskedEncoder", "mean")
    assert source.num_channels == NUM_CHANNELS
