"""Coordination as the loop sees it: where it starts, what it compares, what it keeps in memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, multiprocessing, nn

from internvideo.data import RunContext, VideoData
from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import CoordinatedClassifierConfig, VideoClassifier, VideoClassifierConfig
from internvideo.models import CoordinationConfig
from internvideo.stages.coordinate import (
    ANSWERS,
    CoordinationStage,
    CoordinationTraining,
    TrainedClassifier,
)
from internvideo.stages.kept_features import FeatureBatch, KeptFeatures
from internvideo.training import OptimiserConfig, Process, TrainingConfig, joined, train
from internvideo.training.parallel import wrap
from internvideo.values import Share
from internvideo.video import write_video
from tests.unit.models.pair import A, B, Pair

CLASSES = ("left", "right", "上")
PAIR = CoordinatedClassifierConfig(
    masked=VideoClassifierConfig(encoder=A, num_classes=3, init_scale=1.0),
    multimodal=VideoClassifierConfig(encoder=B, num_classes=3, pooling="query", init_scale=1.0),
    coordination=CoordinationConfig(head_width=8),
    dropout=0.0,
)
CONFIG = CoordinationTraining(pair=PAIR)
TRAINING = TrainingConfig(
    num_steps=4,
    batch_size=4,
    optimiser=OptimiserConfig(lr=1e-2),
    precision="fp32",
    log_every=1,
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    generator = torch.Generator().manual_seed(0)
    lines = ["path,label,split"]
    for number in range(12):
        frames = torch.randint(0, 255, (10, 16, 16, 3), generator=generator).to(torch.uint8)
        write_video(folder / f"{number}.mp4", frames, 10)
        lines.append(f"{number}.mp4,{CLASSES[number % 3]},{'val' if number > 8 else 'train'}")
    (folder / "manifest.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


def classifier(config: VideoClassifierConfig, classes=CLASSES) -> TrainedClassifier:
    torch.manual_seed(5)
    model = VideoClassifier(config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return TrainedClassifier(weights=model.state_dict(), classes=classes, source="runs/some")


def stage(
    videos: Path, tmp_path: Path, config: CoordinationTraining = CONFIG, **options: Any
) -> CoordinationStage:
    names = ("seed", "share", "device", "folder", "others")
    where = {"seed": 0, "share": Share(), "device": torch.device("cpu"), "folder": tmp_path}
    where |= {name: options.pop(name) for name in names if name in options}
    classifiers = (classifier(PAIR.masked), classifier(PAIR.multimodal))
    data = VideoData(source="manifest.csv", root=str(videos), stride_frames=1, flip=False)
    return CoordinationStage(
        config, data, TRAINING, RunContext(**where), **{"classifiers": classifiers, **options}
    )


def fit(it: CoordinationStage, folder: Path) -> list[dict[str, float]]:
    process = Process(share=Share(), device=torch.device("cpu"))
    train(it, TRAINING, folder=folder, run={"name": "tiny"}, seed=0, process=process)
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_before_training_the_pair_answers_as_its_encoders_do(videos, tmp_path):
    scores = stage(videos, tmp_path).evaluate()

    assert list(scores) == [*(f"top1/{name}" for name in ANSWERS), "clips", "failed"]
    assert scores["top1/A"] == scores["top1/coordinated_A"]
    assert scores["top1/B"] == scores["top1/coordinated_B"]
    assert scores["top1/mean"] == scores["top1/coordinated"]
    assert (scores["clips"], scores["failed"]) == (3, 0)


def test_training_leaves_what_each_encoder_answers_alone(videos, tmp_path):
    it = stage(videos, tmp_path)
    before = {name: it.found_scores(name) for name in ANSWERS}

    fit(it, tmp_path)

    changed = {name for name in ANSWERS if not torch.equal(it.found_scores(name), before[name])}
    assert changed == {"coordinated_A", "coordinated_B", "coordinated"}


def test_training_reduces_the_loss_and_logs_gates_and_fusion(videos, tmp_path):
    lines = fit(stage(videos, tmp_path), tmp_path)

    first, last = ([line for line in lines if "loss/classification" in line][i] for i in (0, -1))
    assert last["loss/classification"] < first["loss/classification"]
    assert first["gate/block2_attn"] == 0 and last["gate/block2_attn"] != 0
    assert first["fusion/masked"] == 0.5 and last["fusion/multimodal"] != 0.5


def test_kept_classifiers_leave_modules_and_fusion_to_learn(videos, tmp_path):
    it = stage(videos, tmp_path, replace(CONFIG, keep_classifiers=True))
    before = {name: value.clone() for name, value in it.model.state_dict().items()}

    fit(it, tmp_path)

    after = it.model.state_dict()
    moved = {name.split(".")[0] for name in after if not after[name].equal(before[name])}
    assert moved == {"coordination", "alpha", "beta"}


def test_a_resumed_run_still_knows_the_encoders_alone(videos, tmp_path):
    it = stage(videos, tmp_path)
    fit(it, tmp_path)

    again = stage(videos, tmp_path)
    again.model.load_state_dict(it.model.state_dict())

    assert again.evaluate() == it.evaluate()


def test_rows_of_a_head_follow_the_names_of_the_classes(videos, tmp_path):
    start = classifier(PAIR.masked)
    order = [2, 0, 1]
    weights = dict(start.weights) | {
        name: start.weights[name][order] for name in ("head.weight", "head.bias")
    }
    moved = replace(start, weights=weights, classes=tuple(CLASSES[i] for i in order))
    other = classifier(PAIR.multimodal)

    got = stage(videos, tmp_path, classifiers=(moved, other)).alone.scores.masked

    torch.testing.assert_close(got, stage(videos, tmp_path).alone.scores.masked)


def test_classifiers_of_other_classes_are_refused(videos, tmp_path):
    wrong = classifier(PAIR.multimodal, classes=("left", "right", "down"))

    with pytest.raises(
        CheckpointError, match=r"runs/some: .* only there: 'down'; only in the data: '上'"
    ):
        stage(videos, tmp_path, classifiers=(classifier(PAIR.masked), wrong))


def test_weights_of_another_size_are_refused(videos, tmp_path):
    other = replace(PAIR.masked, encoder=replace(A, depth=3))

    with pytest.raises(
        CheckpointError, match=r"(?s)runs/some: does not fit stage.pair: .*blocks.3"
    ):
        stage(videos, tmp_path, classifiers=(classifier(other), classifier(PAIR.multimodal)))


def test_videos_without_one_label_are_refused(videos, tmp_path):
    (videos / "bare.csv").write_text("path,split\n0.mp4,train\n9.mp4,val\n")
    data = VideoData(source="bare.csv", root=str(videos), flip=False)

    with pytest.raises(ConfigError, match=r"bare.csv: .*0.mp4 has 0 labels; coordination needs"):
        CoordinationStage(
            CONFIG,
            data,
            TRAINING,
            RunContext(seed=0, share=Share(), device=torch.device("cpu"), folder=tmp_path),
            classifiers=(classifier(PAIR.masked), classifier(PAIR.multimodal)),
        )


def test_kept_features_are_those_of_the_clips(videos, tmp_path):
    it = stage(videos, tmp_path, replace(CONFIG, kept_epochs=2))
    [batch] = next(stage(videos, tmp_path).batches(0))
    assert it.kept is not None

    read = it._read(batch)

    assert len(it.kept) == 24  # two epochs of nine clips in steps of four, three steps each
    assert torch.equal(it.kept.features[:4].tokens, read.features.tokens)
    assert torch.equal(it.kept.labels[:4], read.labels)


def test_kept_features_train_without_clips(videos, tmp_path):
    it = stage(videos, tmp_path, replace(CONFIG, kept_epochs=1))

    lines = fit(it, tmp_path)

    assert all(isinstance(batch, FeatureBatch) for batch in next(it.batches(0)))
    assert "gate/reversed_attn" in lines[0]


def test_another_pair_on_the_same_features_is_as_if_made_by_itself(videos, tmp_path):
    everything = replace(
        PAIR, coordination=replace(PAIR.coordination, blocks="all", layers="depth")
    )
    it = stage(videos, tmp_path, replace(CONFIG, pair=everything, kept_epochs=1))

    other = it.with_pair(PAIR, seed=0)
    fit(other, tmp_path / "of_kept")

    alone = stage(videos, tmp_path, replace(CONFIG, kept_epochs=1))
    fit(alone, tmp_path / "alone")
    torch.testing.assert_close(other.found_scores("coordinated"), alone.found_scores("coordinated"))
    assert torch.equal(it.found_scores("coordinated"), it.found_scores("mean"))


def test_a_reading_shows_one_token_of_a_and_what_it_reads_of_b(videos, tmp_path):
    it = stage(videos, tmp_path)

    [first, _] = it.readings(2)

    assert (first.block, first.asking.shape) == (3, (4, 16, 16, 3))
    assert first.token.sum() == 8 * 8 and first.heat.max() == 1
    torch.testing.assert_close(first.slots.sum(1), torch.ones(4))


def test_without_modules_in_a_there_is_nothing_to_read(videos, tmp_path):
    pair = replace(PAIR, coordination=replace(PAIR.coordination, blocks=()))

    assert stage(videos, tmp_path, replace(CONFIG, pair=pair)).readings(2) == []


def _gradient(videos: Path, folder: Path, process: Process) -> tuple[Tensor, dict[str, float]]:
    it = stage(videos, folder, share=process.share)
    module = wrap(it.model, it.losses, strategy="ddp", precision="fp32", process=process)
    [batch] = next(it.batches(0))
    module(batch, torch.Generator())["classification"].backward()
    trained = [p.grad.flatten() for p in it.model.parameters() if p.grad is not None]
    it.model.eval()
    return torch.cat(trained), it.evaluate()


def _rank(rank: int, videos: str, folder: str, port: int) -> None:
    os.environ.update(
        RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    with joined("cpu") as process:
        found = _gradient(Path(videos), Path(folder), process)
        if process.is_first:
            torch.save(found, Path(folder) / "two.pt")


@pytest.mark.slow
def test_two_ranks_give_the_gradient_and_scores_of_one(videos, tmp_path, free_port):
    process = Process(share=Share(), device=torch.device("cpu"))
    alone, scores = _gradient(videos, tmp_path, process)

    multiprocessing.spawn(_rank, (str(videos), str(tmp_path), free_port), nprocs=2)

    together, their_scores = torch.load(tmp_path / "two.pt")
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)
    assert their_scores == pytest.approx(scores, rel=1e-5)


def _kept(count: int, **options: Any) -> KeptFeatures:
    features = Pair().read(count)
    parts: Iterator[FeatureBatch] = (
        FeatureBatch(features=features[i : i + 1], labels=torch.tensor([i])) for i in range(count)
    )
    return KeptFeatures(parts, count, seed=0, **options)


def _labels(kept: KeptFeatures, first_step: int, steps: int) -> list[list[Tensor]]:
    stream = kept.batches(first_step)
    return [[batch.labels for batch in next(stream)] for _ in range(steps)]


def test_every_kept_clip_comes_once_in_an_epoch():
    labels = _labels(_kept(6, batch_size=2), 0, 6)

    first, second = (torch.cat([batch for [batch] in labels[at : at + 3]]) for at in (0, 3))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(6))
    assert first.tolist() != second.tolist()


def test_kept_clips_are_found_by_step_whatever_the_micro_batches():
    whole, halves = _kept(6, batch_size=4), _kept(6, batch_size=2, accumulation=2)

    from_start, later = _labels(whole, 0, 3), _labels(whole, 1, 2)
    cut = _labels(halves, 0, 3)

    torch.testing.assert_close(later, from_start[1:])
    torch.testing.assert_close([[torch.cat(parts)] for parts in cut], from_start)


def test_nothing_to_keep_is_refused():
    with pytest.raises(ConfigError, match="no clips whose features could be kept"):
        KeptFeatures([], 0, batch_size=2, seed=0)


def test_kept_features_are_those_of_their_parts_whatever_the_parts():
    features, labels = Pair().read(5), torch.arange(5)
    parts = (FeatureBatch(features=features[i:j], labels=labels[i:j]) for i, j in ((0, 3), (3, 5)))

    kept = KeptFeatures(parts, 5, batch_size=2, seed=0)

    torch.testing.assert_close(kept.labels, labels)
    for name in ("tokens", "places", "context", "patch_index"):
        mine, theirs = getattr(kept.features, name), getattr(features, name)
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0; expected 0 to below 1"),
        ({"kept_epochs": -1}, "kept_epochs is -1; it must not be negative"),
    ],
)
def test_an_impossible_configuration_is_refused(change: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **change)
