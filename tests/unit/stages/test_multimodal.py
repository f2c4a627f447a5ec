"""Multimodal pretraining as the loop sees it: one loss over all ranks and micro-batches."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import multiprocessing

from internvideo.data import RunContext, Source, VideoData
from internvideo.errors import ConfigError
from internvideo.models import (
    CaptionDecoderConfig,
    MultimodalEncoder,
    MultimodalEncoderConfig,
    TextEncoderConfig,
    UniFormerConfig,
)
from internvideo.stages import MultimodalPretraining, MultimodalPretrainingStage
from internvideo.tiny import UniFormerFrontEndConfig
from internvideo.training import Process, TrainingConfig, joined
from internvideo.training.parallel import wrap
from internvideo.values import Share
from internvideo.video import write_video
from internvideo.weights import OPENAI_CLIP

VOCABULARY, CONTEXT = 600, 12
TINY = MultimodalPretraining(
    encoder=MultimodalEncoderConfig(
        video=UniFormerConfig(
            side_px=16,
            patch_px=8,
            width=32,
            depth=2,
            num_heads=2,
            global_layers=(1,),
            num_global_heads=2,
            num_local=1,
            local_norm="layer",
        ),
        text=TextEncoderConfig(
            vocabulary_size=VOCABULARY, context_length=CONTEXT, width=32, depth=1, num_heads=2
        ),
        embed_dim=16,
        captioner=CaptionDecoderConfig(
            width=32,
            context_width=32,
            depth=1,
            num_heads=2,
            head_width=8,
            num_queries=4,
            vocabulary_size=VOCABULARY,
        ),
    ),
    num_frames=2,
    vocabulary="own",
)
FRONTED = replace(
    TINY,
    front_end=UniFormerFrontEndConfig(stem_width=4, num_salient_patches=2),
    encoder=replace(TINY.encoder, video=replace(TINY.encoder.video, temporal_patch_size=3)),
)
WORDS = ("one", "two words", "three words here", "now there are four")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Eight videos with captions of unequal lengths, four images."""
    folder = tmp_path_factory.mktemp("captioned")
    rng = np.random.default_rng(0)
    videos, texts = [], []
    for number in range(8):
        frames = torch.from_numpy(rng.integers(0, 255, (4, 16, 16, 3), dtype=np.uint8))
        write_video(folder / f"{number}.mp4", frames, 4)
        one, other = (f"{WORDS[(number + k) % 4]} {number}" for k in range(2))
        videos.append({"caption": [one], "image_root": ".", "filename": f"{number}.mp4"})
        if number < 4:
            Image.fromarray(frames[0].numpy()).save(folder / f"{number}.png")
            texts.append({"caption": [other], "image_root": ".", "filename": f"{number}.png"})
    for name, rows in (("train", videos), ("val", videos[:5]), ("images", texts)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines)
    return folder


def make_stage(
    data: Path, config: MultimodalPretraining = TINY, **options: Any
) -> MultimodalPretrainingStage:
    training = TrainingConfig(num_steps=2, batch_size=8, accumulation=options.pop("parts", 1))
    return MultimodalPretrainingStage(
        config,
        VideoData(
            source="train.jsonl",
            eval_source="val.jsonl",
            format="image-text-list",
            root=str(data),
            sampling="segments",
            **options.pop("video", {}),
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


def images(data: Path) -> dict[str, Source]:
    source = VideoData(
        source="images.jsonl", format="image-text-list", root=str(data), train_split=None
    )
    return {"images": Source(data=source, batch_size=4, num_frames=1)}


def shake(stage: MultimodalPretrainingStage) -> None:
    """Branches that start at zero would hide what goes through them."""
    generator = torch.Generator().manual_seed(1)
    for parameter in stage.model.parameters():
        if parameter.ndim:
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)


def step(stage: MultimodalPretrainingStage, module=None, first_step: int = 0):
    """Losses and gradients of one step, as the loop takes it."""
    module = module or stage.losses
    works = stage.prepare(next(iter(stage.batches(first_step))))
    sums: dict[str, torch.Tensor] = {}
    stage.model.zero_grad()
    for work in works:
        losses = module(work, torch.Generator())
        total = sum(stage.loss_weights[n] * v for n, v in losses.items() if n in stage.loss_weights)
        (total / len(works)).backward()
        for name, value in losses.items():
            sums[name] = sums.get(name, 0) + value.detach() / len(works)
    gradients = {n: p.grad for n, p in stage.model.named_parameters() if p.grad is not None}
    return sums, gradients


def assert_same_step(one, other) -> None:
    assert one[0].keys() == other[0].keys() and one[1].keys() == other[1].keys()
    for mine, theirs in zip(one, other, strict=True):
        for name, value in mine.items():
            atol = 1e-5 * max(1.0, float(value.abs().max()))  # sums of a stem's gradients are long
            torch.testing.assert_close(
                value, theirs[name], atol=atol, rtol=1e-5, msg=lambda said, n=name: f"{n}: {said}"
            )


NO_DROPOUT = replace(TINY.encoder.video, global_dropout=0.0)


def without_dropout(config: MultimodalPretraining) -> MultimodalPretraining:
    video = replace(config.encoder.video, global_dropout=0.0)
    return replace(config, encoder=replace(config.encoder, video=video))


@pytest.mark.parametrize("config", [TINY, FRONTED], ids=["published", "front-end"])
@pytest.mark.parametrize("parts", [2, 4])
def test_cached_gradients_are_those_of_the_whole_batch(data, config, parts):
    whole = make_stage(data, without_dropout(config))
    pieces = make_stage(data, without_dropout(config), parts=parts)
    for stage in (whole, pieces):
        shake(stage)

    assert_same_step(step(whole), step(pieces))


def test_the_second_pass_drops_what_the_first_dropped(data, monkeypatch):
    stage = make_stage(data, parts=2)
    shake(stage)
    seen = []
    embed = stage._embed
    monkeypatch.setattr(stage, "_embed", lambda work: seen.append(embed(work)) or seen[-1])

    step(stage)

    first, second = seen[:2], seen[2:]
    assert not torch.equal(first[0][0].embedding, make_first_embedding(data))
    for before, after in zip(first, second, strict=True):
        torch.testing.assert_close(before[0].embedding, after[0].embedding.detach())


def make_first_embedding(data: Path) -> torch.Tensor:
    """Embeddings of the same first micro-batch without dropout."""
    stage = make_stage(data, parts=2)
    shake(stage)
    stage.model.eval()
    [batch, _] = next(iter(stage.batches(0)))
    with torch.no_grad():
        return stage._embed(stage._micro_batch(batch))[0].embedding


def _rank(rank: int, count: int, data: str, out: str, port: int, config, parts: int) -> None:
    os.environ.update(
        RANK=str(rank), WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    logging.getLogger("internvideo").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    with joined("cpu") as process:
        found = _steps_and_scores(Path(data), config, parts, process)
        if rank == 0:
            torch.save(found, out)


def _steps_and_scores(data: Path, config: MultimodalPretraining, parts: int, process: Process):
    stage = make_stage(data, config, share=process.share, parts=parts, others=images(data))
    shake(stage)
    module = wrap(stage.model, stage.losses, strategy="ddp", precision="fp32", process=process)
    steps = [step(stage, module, first_step) for first_step in (0, 1)]
    stage.model.eval()
    scores = stage.evaluate()
    means = [({n: _mean(v) for n, v in losses.items()}, gradients) for losses, gradients in steps]
    return means, scores


def _mean(value: torch.Tensor) -> torch.Tensor:
    torch.distributed.all_reduce(value)
    return value / torch.distributed.get_world_size()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "parts"), [(TINY, 1), (FRONTED, 2)], ids=["whole", "front-end-cached"]
)
def test_two_ranks_equal_one_on_videos_images_and_in_evaluation(
    data, tmp_path, free_port, config, parts
):
    config = without_dropout(config)
    one = make_stage(data, config, others=images(data))
    shake(one)
    expected = [step(one, first_step=first_step) for first_step in (0, 1)]
    one.model.eval()
    scores = one.evaluate()

    out = tmp_path / "two.pt"
    arguments = (2, str(data), str(out), free_port, config, parts)
    multiprocessing.spawn(_rank, arguments, nprocs=2)

    steps, two_scores = torch.load(out)
    assert set(steps[0][0]) == {"contrastive", "captioning"}
    assert set(steps[1][0]) == {"image_contrastive", "image_captioning"}
    for ours, theirs in zip(expected, steps, strict=True):
        assert_same_step(ours, theirs)
    # Five held-back clips: one rank has two of them, the other three.
    assert two_scores == pytest.approx(scores, abs=1e-5)


def test_a_frozen_text_tower_gets_no_gradient(data, tmp_path):
    weights = tmp_path / "clip.pt"
    torch.save(clip_weights(), weights)
    config = replace(
        TINY,
        encoder=replace(TINY.encoder, captioner=None, video=replace(NO_DROPOUT, num_local=0)),
        initial_weights=str(weights),
        freeze_text=True,
    )

    _, gradients = step(make_stage(data, config))

    assert not any(name.startswith("text") for name in gradients)
    assert "video_projection" in gradients


def clip_weights() -> dict[str, torch.Tensor]:
    plain = replace(NO_DROPOUT, num_local=0, global_layers=())
    config = replace(TINY.encoder, captioner=None, video=plain)
    return OPENAI_CLIP.write(MultimodalEncoder(config).state_dict())


def test_captions_that_are_too_long_are_cut_counted_and_told(data, caplog):
    short = replace(TINY.encoder, text=replace(TINY.encoder.text, context_length=4))
    stage = make_stage(data, replace(TINY, encoder=short))

    with caplog.at_level(logging.WARNING):
        stage.prepare(next(iter(stage.batches(0))))

    assert "captions of more than 4 tokens are cut" in caplog.text
    assert stage.num_cut > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze_text": True}, "would keep a text tower that has learned nothing"),
        ({"num_frames": 0}, "num_frames is 0; a clip has at least one frame"),
        (
            {"front_end": UniFormerFrontEndConfig(num_salient_patches=5)},
            r"front_end\.num_salient_patches is 5; a frame has 4 patches",
        ),
    ],
)
def test_an_impossible_configuration_is_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **changes)


def test_batch_statistics_and_micro_batches_do_not_go_together(data):
    video = replace(TINY.encoder.video, local_norm="batch")

    with pytest.raises(ConfigError, match="local_norm='layer' or accumulation=1"):
        make_stage(data, replace(TINY, encoder=replace(TINY.encoder, video=video)), parts=2)


def test_a_vocabulary_of_the_wrong_size_is_named(data):
    with pytest.raises(ConfigError, match="CLIP's vocabulary has 49408 tokens"):
        make_stage(data, replace(TINY, vocabulary="clip"))
