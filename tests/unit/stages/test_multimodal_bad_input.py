"""Multimodal pretraining on what people really have: odd captions, lost images, cut shards."""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import multiprocessing

from internvideo.data import RunContext, Source, VideoData, write_shards
from internvideo.errors import ConfigError, TrainingError
from internvideo.stages import MultimodalPretrainingStage
from internvideo.training import TrainingConfig, joined
from internvideo.values import Share
from tests.unit.stages.test_multimodal import CONTEXT, TINY
from tests.unit.video.conftest import dot_frames, encode

ODD = {
    "empty": "",
    "blank": " \t ",
    "long": "a dot that goes on " * 2000,
    "word": "ab" * 50_000,
    "japanese": "青い四角が右へ滑る",
    "arabic": "مربع أحمر يكبر",
    "devanagari": "लाल वर्ग बढ़ता है",
    "emoji": "👩‍👩‍👧‍👦 🎉🎉 ➡️",
    "signs": "!!! <|endoftext|> &amp; \u200b\x07\ufeff",
    "broken": "caf\u00c3\u00a9 \ufffd",
    "quoted": 'he said "a, b"',
    "plain": "a red square grows",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A video and an image for each odd caption."""
    folder = tmp_path_factory.mktemp("odd")
    frames = dot_frames(4)
    encode(folder / "one.mp4", frames)
    Image.fromarray(frames[0].numpy()).save(folder / "one.png")
    for name in ODD:
        shutil.copy(folder / "one.mp4", folder / f"{name}.mp4")
        shutil.copy(folder / "one.png", folder / f"{name}.png")
    write_list(folder / "videos.jsonl", [(f"{name}.mp4", text) for name, text in ODD.items()])
    write_list(folder / "images.jsonl", [(f"{name}.png", text) for name, text in ODD.items()])
    return folder


def write_list(path: Path, rows: list[tuple[str, str]]) -> None:
    entries = [{"caption": text, "image_root": ".", "filename": name} for name, text in rows]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")


def listed(folder: Path, name: str, **options) -> VideoData:
    return VideoData(
        source=name,
        root=str(folder),
        **{"format": "image-text-list", "train_split": None, "eval_split": None, **options},
    )


def make_stage(
    data: VideoData, folder: Path, *, share: Share | None = None, **others: Source
) -> MultimodalPretrainingStage:
    return MultimodalPretrainingStage(
        TINY,
        data,
        TrainingConfig(num_steps=2, batch_size=8),
        RunContext(
            seed=0,
            share=share or Share(),
            device=torch.device("cpu"),
            folder=folder,
            others=others or {},
        ),
    )


def take_steps(stage: MultimodalPretrainingStage, count: int) -> list[dict[str, float]]:
    """Losses of the first steps, all of them finite."""
    batches, taken = stage.batches(0), []
    for _ in range(count):
        [work] = stage.prepare(next(batches))
        losses = stage.losses(work, torch.Generator())
        sum(losses.values()).backward()
        taken.append({name: float(value.detach()) for name, value in losses.items()})
    assert all(torch.tensor(list(losses.values())).isfinite().all() for losses in taken)
    return taken


def test_odd_captions_are_trained_on_and_empty_ones_counted(folder, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        stage = make_stage(listed(folder, "videos.jsonl"), tmp_path)
        take_steps(stage, 2)

    assert "left out 2 empty captions, first" in caplog.text
    assert "left out 2 items without a caption" in caplog.text
    assert f"captions of more than {CONTEXT} tokens are cut" in caplog.text
    assert stage.num_cut >= 2
    assert not list(tmp_path.iterdir())


def test_odd_captions_are_evaluated(folder, tmp_path):
    scores = make_stage(listed(folder, "videos.jsonl"), tmp_path).evaluate()

    assert scores["clips"] == scores["captions"] == len(ODD) - 2
    assert torch.tensor(list(scores.values())).isfinite().all()


def test_captions_without_a_single_word_are_said_to_be(folder, tmp_path):
    write_list(folder / "wordless.jsonl", [("plain.mp4", "\x07"), ("emoji.mp4", "\x0e")])

    with pytest.raises(ConfigError, match="the captions hold no word to train a tokenizer on"):
        make_stage(listed(folder, "wordless.jsonl"), tmp_path)


def test_records_without_captions_are_named(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"\.: .*\.mp4 has no caption; give captions to all"):
        make_stage(listed(folder, ".", format="videos"), tmp_path)


def with_images(folder: Path, rows: list[tuple[str, str]], **options) -> Source:
    write_list(folder / "some.jsonl", rows)
    return Source(data=listed(folder, "some.jsonl", **options), batch_size=4, num_frames=1)


def test_missing_images_are_counted_named_and_replaced(folder, tmp_path, caplog):
    (folder / "cut.png").write_bytes((folder / "plain.png").read_bytes()[:900])
    rows = [(name, "a dot") for name in ("plain.png", "emoji.png", "gone.png", "cut.png")]
    videos = listed(folder, "videos.jsonl")

    with caplog.at_level(logging.WARNING):
        stage = make_stage(videos, tmp_path, images=with_images(folder, rows))
        _, losses = take_steps(stage, 2)

    assert "1 of 4 videos are not there, such as" in caplog.text
    assert {"image_contrastive", "image_captioning"} <= losses.keys()
    found = [json.loads(line) for line in (tmp_path / "broken.jsonl").read_text().splitlines()]
    assert {Path(entry["path"]).name for entry in found} == {"gone.png", "cut.png"}
    broken = stage.state()["broken"]
    assert len(broken["images"]) == 2
    assert broken["first"] == []


def test_too_many_missing_images_stop_the_run(folder, tmp_path):
    rows = [("plain.png", "a dot"), ("gone.png", "a dot"), ("lost.png", "a dot")]
    images = with_images(folder, rows, max_broken_share=0.5)

    with pytest.raises(TrainingError, match="2 of 3 videos are broken, more than the share"):
        take_steps(make_stage(listed(folder, "videos.jsonl"), tmp_path, images=images), 4)


def test_images_of_which_none_exists_stop_before_the_first_step(folder, tmp_path):
    images = with_images(folder, [("gone.png", "a dot"), ("lost.png", "a dot")])

    with pytest.raises(ConfigError, match=r"some\.jsonl: none of its first 2 videos exists"):
        make_stage(listed(folder, "videos.jsonl"), tmp_path, images=images)


@pytest.fixture
def cut_shard(folder, tmp_path) -> VideoData:
    """Twelve videos in one shard, of which the second half is lost."""
    shards = tmp_path / "shards"
    write_list(folder / "twelve.jsonl", [(f"{name}.mp4", f"a {name} dot") for name in ODD])
    write_shards(listed(folder, "twelve.jsonl").read(), shards, seed=None)
    [tar] = shards.glob("*.tar")
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 2])
    return VideoData(source=str(shards), format="shards", train_split=None, eval_split=None)


def test_a_cut_shard_trains_on_and_lists_what_is_lost(cut_shard, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        stage = make_stage(replace(cut_shard, max_broken_share=0.9), tmp_path)
        take_steps(stage, 3)

    assert "1 of 1 shards are cut off or missing" in caplog.text
    found = (tmp_path / "broken.jsonl").read_text().splitlines()
    assert 5 <= len(found) == len(stage.state()["broken"]["first"]) <= 7
    assert stage.evaluate()["clips"] == len(ODD) - len(found)


def test_a_shard_cut_too_short_stops_the_run(cut_shard, tmp_path):
    stage = make_stage(replace(cut_shard, max_broken_share=0.1), tmp_path)

    with pytest.raises(
        TrainingError, match=r"more than the share of 0\.1 that data\.max_broken_sh"
    ):
        take_steps(stage, 3)


# Of twelve clips of the first rank one can be decoded, or none; of the second rank all thirteen.
UNEQUAL = {
    "few.jsonl": ["plain.mp4", *(f"gone{n}.mp4" for n in range(11)), *["plain.mp4"] * 13],
    "none.jsonl": [*(f"gone{n}.mp4" for n in range(12)), *["plain.mp4"] * 13],
}


def _evaluate(rank: int, count: int, folder: str, out: str, port: int) -> None:
    os.environ.update(
        RANK=str(rank), WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    logging.getLogger("internvideo").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    said = {}
    with joined("cpu") as process:
        for name in UNEQUAL:
            stage = make_stage(listed(Path(folder), name), Path(out), share=process.share)
            said[name] = stage.evaluate()
    torch.save(said, Path(out) / f"{rank}.pt")


@pytest.mark.slow
def test_ranks_with_unequal_clips_agree_also_where_one_has_none(folder, tmp_path, free_port):
    for name, videos in UNEQUAL.items():
        write_list(folder / name, [(video, f"dot {n}") for n, video in enumerate(videos)])

    multiprocessing.spawn(_evaluate, (2, str(folder), str(tmp_path), free_port), nprocs=2)

    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert first == second
    assert first["few.jsonl"]["clips"] == 14
    assert first["none.jsonl"]["clips"] == 13
