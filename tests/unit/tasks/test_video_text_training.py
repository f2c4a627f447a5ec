"""Fine-tuning on sentences as the loop sees it: one loss over all ranks and micro-batches."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import multiprocessing

from internvideo.data import RunContext, VideoData
from internvideo.heads import RetrieverConfig
from internvideo.models import MultimodalEncoderConfig, TextEncoderConfig, UniFormerConfig
from internvideo.stages import FinetuneStage
from internvideo.tasks import MultipleChoiceTraining, RetrievalTraining
from internvideo.training import TrainingConfig, joined
from internvideo.training.parallel import wrap
from internvideo.values import Share
from internvideo.video import write_video

ENCODER = MultimodalEncoderConfig(
    video=UniFormerConfig(
        side_px=16,
        patch_px=8,
        width=32,
        depth=2,
        num_heads=2,
        global_layers=(1,),
        num_global_heads=2,
        global_dropout=0.0,
        num_local=1,
        local_norm="layer",
    ),
    text=TextEncoderConfig(vocabulary_size=600, context_length=16, width=32, depth=1, num_heads=2),
    embed_dim=16,
)
CLIP = RetrievalTraining(model=RetrieverConfig(encoder=ENCODER), num_frames=3)
FRAMES = replace(CLIP, model=RetrieverConfig(encoder=ENCODER, similarity="frames"))
TOKENS = replace(
    CLIP, model=RetrieverConfig(encoder=ENCODER, similarity="tokens", learned_weights=True)
)
SAID = ("a man opens door {}", "a dog is running {}", "box {}", "it rises and then falls {}")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Twelve videos of two sentences each, in rows of their own; every fourth is to test on."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    rows = ["path,caption,split"]
    for number in range(12):
        frames = torch.from_numpy(rng.integers(0, 255, (4, 16, 16, 3), dtype=np.uint8))
        write_video(folder / f"{number}.mp4", frames, 4)
        split = "test" if number % 4 == 3 else "train"
        said = (SAID[number % 4].format(number), f"video {number}")
        rows += [f"{number}.mp4,{caption},{split}" for caption in said]
    (folder / "pairs.csv").write_text("\n".join(rows))
    return folder


def make_stage(
    data: Path, config: RetrievalTraining | MultipleChoiceTraining = CLIP, **options: Any
) -> FinetuneStage:
    training = TrainingConfig(num_steps=2, batch_size=4, accumulation=options.pop("parts", 1))
    return FinetuneStage(
        replace(config, choose_share=0.3),
        VideoData(
            source="pairs.csv", root=str(data), sampling="segments", **options.pop("video", {})
        ),
        training,
        RunContext(
            seed=0,
            share=options.pop("share", Share()),
            device=torch.device("cpu"),
            folder=data,
            **options,
        ),
    )


def shake(stage: FinetuneStage) -> None:
    """Branches that start at zero would hide what goes through them."""
    generator = torch.Generator().manual_seed(1)
    for parameter in stage.model.parameters():
        if parameter.ndim:
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)


def step(stage: FinetuneStage, module=None, first_step: int = 0):
    """Losses and gradients of one step, as the loop takes it."""
    module = module or stage.losses
    parts = stage.prepare(next(iter(stage.batches(first_step))))
    sums: dict[str, torch.Tensor] = {}
    stage.model.zero_grad()
    for part in parts:
        losses = module(part, torch.Generator())
        total = sum(stage.loss_weights[name] * value for name, value in losses.items())
        (total / len(parts)).backward()
        for name, value in losses.items():
            sums[name] = sums.get(name, 0) + value.detach() / len(parts)
    gradients = {n: p.grad for n, p in stage.model.named_parameters() if p.grad is not None}
    return sums, gradients


def assert_same_step(one, other) -> None:
    assert one[0].keys() == other[0].keys() and one[1].keys() == other[1].keys()
    for mine, theirs in zip(one, other, strict=True):
        for name, value in mine.items():
            torch.testing.assert_close(
                value, theirs[name], atol=1e-5, rtol=1e-5, msg=lambda said, n=name: f"{n}: {said}"
            )


WITH_FALSE = ("opposite", "negated")


@pytest.mark.parametrize("config", [CLIP, FRAMES, TOKENS], ids=["clip", "frames", "tokens"])
def test_micro_batches_give_the_step_of_the_whole_batch(data, config):
    config = replace(config, hard_negatives=WITH_FALSE)
    whole, pieces = make_stage(data, config), make_stage(data, config, parts=2)
    for stage in (whole, pieces):
        shake(stage)

    losses, gradients = step(whole)

    assert losses.keys() == {"contrastive", "hard_negatives"} and gradients
    assert_same_step((losses, gradients), step(pieces))


def _rank(rank: int, count: int, data: str, out: str, port: int, config) -> None:
    os.environ.update(
        RANK=str(rank), WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    logging.getLogger("internvideo").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    with joined("cpu") as process:
        stage = make_stage(Path(data), config, share=process.share)
        shake(stage)
        module = wrap(stage.model, stage.losses, strategy="ddp", precision="fp32", process=process)
        losses, gradients = step(stage, module)
        for value in losses.values():
            torch.distributed.all_reduce(value)
        stage.model.eval()
        found = {name: value / count for name, value in losses.items()}, gradients, stage.evaluate()
        if rank == 0:
            torch.save(found, out)


@pytest.mark.slow
@pytest.mark.parametrize("config", [CLIP, TOKENS], ids=["clip", "tokens"])
def test_two_ranks_equal_one_in_loss_gradients_and_scores(data, tmp_path, free_port, config):
    config = replace(config, hard_negatives=WITH_FALSE)
    one = make_stage(data, config)
    shake(one)
    expected = step(one)
    one.model.eval()
    scores = one.evaluate()

    out = tmp_path / "two.pt"
    multiprocessing.spawn(_rank, (2, str(data), str(out), free_port, config), nprocs=2)

    losses, gradients, two_scores = torch.load(out)
    assert_same_step(expected, (losses, gradients))
    assert two_scores == pytest.approx(scores, abs=1e-5)


def test_a_share_of_the_training_videos_is_chosen_on_and_the_test_left_alone(data):
    stage = make_stage(data)

    train = {r.video.name for r in stage.data.train["first"].dataset.records}
    chosen = {r.video.name for r in stage.data.held_out.dataset.records}

    assert (len(train), len(chosen)) == (6, 3)
    assert not train & chosen
    assert not {"3.mp4", "7.mp4", "11.mp4"} & (train | chosen)


def test_scores_are_of_all_sentences_and_tell_whether_time_is_read(data):
    stage = make_stage(data)
    stage.model.eval()

    scores = stage.evaluate()

    chosen = stage.data.held_out.dataset.records
    assert all(len(record.captions) == 2 for record in chosen)
    assert {"t2v/r1", "v2t/r1", "t2v_dsl/r1"} <= scores.keys()
    assert scores["videos"] == 3
    assert any(name.startswith("time/") for name in scores)


def test_the_batch_and_the_splits_are_told(data, caplog):
    with caplog.at_level(logging.INFO):
        make_stage(data, parts=2)

    assert "trains on 6 videos with 12 sentences, chooses a checkpoint on 3 others" in caplog.text
    assert "a step compares 4 clips with one another = 1 processes x 2 micro-batches x 2" in (
        caplog.text
    )


def test_what_the_release_leaves_frozen_is_a_switch_and_told(data, caplog):
    with caplog.at_level(logging.INFO):
        stage = make_stage(data, replace(CLIP, trained="as-released"))

    frozen = {name for name, p in stage.model.named_parameters() if not p.requires_grad}
    assert {"norm_post.weight", "video_projection", "video.class_token", "video.query_token"} <= (
        frozen
    )
    assert {"text.token_embed.weight", "text.positions", "video.balance"} <= frozen
    trained = {name for name, _ in stage.model.named_parameters()} - frozen
    assert {"text_projection", "logit_scale", "text.norm.bias"} <= trained
    assert any(name.startswith("video.global_blocks.") for name in trained)
    assert "parameters stay as they are, as in the release" in caplog.text
    assert all(p.requires_grad for p in make_stage(data).model.parameters())


@pytest.mark.parametrize("trained", ["head", "last"])
def test_less_of_the_network_can_be_trained(data, trained):
    stage = make_stage(data, replace(CLIP, trained=trained))

    names = {name for name, p in stage.model.named_parameters() if p.requires_grad}

    assert {"video_projection", "text_projection"} <= names
    assert any("video.blocks.1." in name for name in names) == (trained == "last")
    assert not any(name.startswith("video.blocks.0.") for name in names)


def test_options_of_a_question_are_told_apart(data, tmp_path):
    lines = [
        f'{{"clip_name": "{data}/{n}.mp4", "options": ["video {n}", "no"], "answer": 0}}'
        for n in range(6)
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(lines[:4]))
    (tmp_path / "val.jsonl").write_text("\n".join(lines[4:]))
    config = MultipleChoiceTraining(model=CLIP.model, num_frames=3)
    stage = FinetuneStage(
        config,
        VideoData(
            source=str(tmp_path / "train.jsonl"),
            eval_source=str(tmp_path / "val.jsonl"),
            format="msr-vtt-choice",
            root="/",
            sampling="segments",
        ),
        TrainingConfig(num_steps=1, batch_size=4),
        RunContext(seed=0, share=Share(), device=torch.device("cpu"), folder=tmp_path),
    )

    losses, _ = step(stage)
    stage.model.eval()

    assert losses["hard_negatives"] == pytest.approx(0.69, abs=0.6)
    assert stage.evaluate().keys() == {"accuracy"}
