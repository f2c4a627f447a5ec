"""Fine-tuning on boxes: what is read, saved and planned, from any kind of model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from internvideo.errors import AnnotationError, CheckpointError, ConfigError
from internvideo.heads import CoordinatedClassifierConfig, VideoClassifierConfig
from internvideo.models import AutoencoderConfig, MaskedEncoderConfig, UniFormerConfig
from internvideo.recipes import recipe
from internvideo.tasks import SpatiotemporalLocalization
from internvideo.tasks.shared import Request, SourceModel
from internvideo.tiny import MaskedFrontEndConfig
from internvideo.values import Preprocessing
from internvideo.video import write_video

GUIDE = SpatiotemporalLocalization.finetuning
A = MaskedEncoderConfig(num_frames=4, side_px=32, width=16, depth=2, num_heads=2)
B = UniFormerConfig(
    side_px=32, patch_px=16, width=16, depth=2, num_heads=2, num_global_heads=2, global_layers=(1,)
)
CLASSIFIER = VideoClassifierConfig(
    encoder=replace(A, final_norm=False),
    front_end=MaskedFrontEndConfig(frame_differences=True, num_salient_tubelets=3),
    num_classes=3,
)
PAIR = CoordinatedClassifierConfig(
    masked=VideoClassifierConfig(encoder=replace(A, final_norm=False), num_classes=3),
    multimodal=VideoClassifierConfig(encoder=B, num_classes=3, pooling="query"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Five videos of one key frame each, in a csv with a header and in one of AVA."""
    folder = tmp_path_factory.mktemp("own")
    rows, ava = ["path,time_s,x1,y1,x2,y2,label"], []
    for number in range(5):
        write_video(
            folder / f"{number}.mp4", iter([np.full((32, 48, 3), 40 * number, np.uint8)] * 12), 10
        )
        rows += [f"{number}.mp4,1,0.1,0.1,0.6,0.9,{label}" for label in ("sit", "wave")]
        ava.append(f"{number},1,0.1,0.1,0.6,0.9,7,0")
    (folder / "boxes.csv").write_text("\n".join(rows) + "\n")
    (folder / "ava.csv").write_text("\n".join(ava) + "\n")
    return folder


def checked(folder, tmp_path):
    videos = GUIDE.check(
        GUIDE.read(folder / "boxes.csv"),
        held_back_share=0.2,
        decoded=None,
        num_workers=1,
        seed=0,
        on_progress=lambda done, total: None,
    )
    return GUIDE.save(videos, tmp_path / GUIDE.manifest)


def test_boxes_are_checked_split_and_saved_as_they_are_read(folder, tmp_path):
    videos = checked(folder, tmp_path)

    again = GUIDE.read(tmp_path / GUIDE.manifest)
    assert again == videos.annotations
    assert (videos.num_items("train"), videos.num_items("val")) == (4, 1)
    assert again.classes == ("sit", "wave")
    assert "5 boxes of 2 classes on 5 key frames of 5 videos: 4 to train on" in GUIDE.summary(
        videos
    )


def test_formats_are_told_by_their_files(folder, tmp_path):
    assert len(GUIDE.read(folder / "ava.csv").classes) == 80
    with pytest.raises(ConfigError, match="leave --columns out"):
        GUIDE.read(folder / "boxes.csv", columns={"path": "file"})
    with pytest.raises(AnnotationError, match="cannot be read"):
        GUIDE.read(tmp_path / "missing.csv")
    (tmp_path / "c.xml").write_text("<nothing/>")
    with pytest.raises(AnnotationError, match=r"export as 'CVAT for video 1\.1'"):
        GUIDE.read(tmp_path)


def request_on(videos, tmp_path, config, kind="masked-encoder"):
    found = SimpleNamespace(
        model=torch.nn.Identity(),
        kind=kind,
        config=config,
        preprocessing=Preprocessing(num_frames=4, side_px=32, stride_frames=2, sampling="segments"),
        classes=(),
    )
    source = SourceModel(name="m", weights=tmp_path / "m", found=found)
    preset = GUIDE.presets["partial"]
    return Request(videos=videos, folder=tmp_path, preset=preset, source=source, num_steps=7)


@pytest.mark.parametrize(
    "config",
    [A, AutoencoderConfig(encoder=A), CLASSIFIER, B, PAIR],
    ids=["A", "autoencoder", "classifier", "B", "pair"],
)
def test_any_encoder_is_planned_with_a_head_on_boxes(folder, tmp_path, config):
    plan = GUIDE.plan(request_on(checked(folder, tmp_path), tmp_path, config))

    assert plan.stage.model.num_classes == 2
    assert plan.stage.model.network.depth == 2
    assert plan.stage.trained == ("all" if config is PAIR else "last")
    assert plan.training.num_steps == 7
    assert (plan.data.format, plan.data.sampling, plan.data.cache_mb) == ("box-csv", "dense", 0)
    assert plan.data.clip_rate_fps == 25.0
    assert "clips of 4 frames of 32 px" in GUIDE.starting(plan, "m")


def test_without_a_model_the_tiny_network_is_planned(folder, tmp_path):
    request = Request(
        videos=checked(folder, tmp_path),
        folder=tmp_path,
        preset=GUIDE.presets["full"],
        scratch=recipe(GUIDE.scratch_recipe),
    )

    plan = GUIDE.plan(request)

    assert plan.stage.model.num_classes == 2 and plan.stage.initial_weights is None
    assert plan.data.clip_rate_fps == 16.0


def test_a_model_without_an_encoder_of_clips_is_refused(folder, tmp_path):
    odd = request_on(checked(folder, tmp_path), tmp_path, SimpleNamespace(), "temporal-detector")

    with pytest.raises(CheckpointError, match="which is no encoder of clips"):
        GUIDE.plan(odd)
