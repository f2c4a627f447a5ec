"""Masked pretraining as the loop sees it: targets, errors, and what a report shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from internvideo.data import RunContext, VideoData
from internvideo.errors import ConfigError
from internvideo.models import DecoderConfig, MaskedEncoderConfig, MaskingConfig
from internvideo.stages import MaskedPretraining, MaskedPretrainingStage
from internvideo.training import TrainingConfig
from internvideo.values import ClipBatch, Share, Tubelet
from internvideo.video import write_video

TINY = MaskedPretraining(
    encoder=MaskedEncoderConfig(
        num_frames=4,
        side_px=16,
        tubelet=Tubelet(time=2, height=4, width=4),
        width=24,
        depth=1,
        num_heads=2,
    ),
    decoder=DecoderConfig(width=24, depth=1, num_heads=2),
    masking=MaskingConfig(ratio=0.5),
)
TARGETS = ("tubelet", "pixel")


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    for number in range(8):
        ramp = np.linspace(0, 200, 32)[None, None, :, None] + rng.uniform(0, 50, (12, 1, 1, 3))
        frames = np.broadcast_to(ramp, (12, 24, 32, 3)).astype(np.uint8)
        write_video(folder / f"{number}.mp4", torch.from_numpy(frames), 12)
    return folder


def stage(videos: Path, tmp_path: Path, config: MaskedPretraining) -> MaskedPretrainingStage:
    return MaskedPretrainingStage(
        config,
        VideoData(source=".", format="videos", root=str(videos), stride_frames=2),
        TrainingConfig(num_steps=2, batch_size=4),
        RunContext(seed=0, share=Share(), device=torch.device("cpu"), folder=tmp_path),
    )


@pytest.mark.parametrize("target", TARGETS)
def test_an_untrained_network_is_no_better_than_the_mean_tubelet(videos, tmp_path, target):
    scores = stage(videos, tmp_path, replace(TINY, target=target)).evaluate()

    assert scores["error_ratio"] > 0.8
    assert scores["error_ratio"] == pytest.approx(scores["error"] / scores["mean_baseline_error"])


@pytest.mark.parametrize("target", TARGETS)
def test_losses_do_not_depend_on_how_the_batch_is_cut(videos, tmp_path, target):
    whole_stage = stage(videos, tmp_path, replace(TINY, target=target))
    [batch] = next(whole_stage.batches(0))
    parts = [
        ClipBatch(frames=batch.frames[rows], seeds=batch.seeds[rows], sources=batch.sources[rows])
        for rows in (slice(0, 2), slice(2, 4))
    ]

    whole = whole_stage.losses(batch, torch.Generator())
    halves = [whole_stage.losses(part, torch.Generator()) for part in parts]

    for name, value in whole.items():
        mean = sum(half[name] for half in halves) / 2
        torch.testing.assert_close(value, mean)


@pytest.mark.parametrize("target", TARGETS)
def test_a_rebuilt_clip_keeps_what_was_visible(videos, tmp_path, target):
    clips = stage(videos, tmp_path, replace(TINY, target=target)).reconstructions(1)

    [clip] = clips
    visible = (clip.masked != 128).any(-1)
    assert clip.shown.shape == (4, 16, 16, 3)
    assert torch.equal(clip.rebuilt[visible], clip.shown[visible])
    assert not torch.equal(clip.rebuilt, clip.shown)


def test_a_mask_that_does_not_fit_the_grid_is_refused_at_once():
    with pytest.raises(ConfigError, match="hides 0 of the 32 tokens"):
        replace(TINY, masking=MaskingConfig(ratio=0.01))


def test_broken_videos_survive_a_stop(videos, tmp_path):
    it = stage(videos, tmp_path, TINY)
    it.restore({"first": [{"path": "x.mp4", "reason": "cut"}]})

    assert it.state() == {"first": [{"path": "x.mp4", "reason": "cut"}]}


def test_held_back_videos_that_are_all_broken_do_not_lose_the_run(videos, tmp_path):
    for path in videos.glob("*.mp4"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    it = stage(tmp_path, tmp_path, TINY)
    for record in it._data.held_out.dataset.records:
        record.video.write_bytes(b"not a video")

    assert it.evaluate() == {"clips": 0.0}
    assert it.reconstructions(2) == []
