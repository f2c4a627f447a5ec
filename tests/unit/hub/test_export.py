"""Saved models as files for others: which part, and what is said in the file."""

from __future__ import annotations

import json

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.heads import VideoClassifierConfig
from internvideo.hub import Preprocessing, Pretrained, export_model
from internvideo.hub.pretrained import build_model
from internvideo.models import (
    MaskedEncoderConfig,
    MultimodalEncoderConfig,
    TextEncoderConfig,
    UniFormerConfig,
)
from internvideo.text import load_clip_tokenizer

SIZE = {"width": 16, "depth": 1, "num_heads": 2}
CLASSIFIER = VideoClassifierConfig(
    encoder=MaskedEncoderConfig(num_frames=2, side_px=16, final_norm=False, **SIZE), num_classes=2
)
PAIR = MultimodalEncoderConfig(
    video=UniFormerConfig(side_px=16, num_global_heads=2, global_layers=(), **SIZE),
    text=TextEncoderConfig(vocabulary_size=99, context_length=4, **SIZE),
    embed_dim=8,
)


def pretrained(kind: str, config: object, **more) -> Pretrained:
    return Pretrained(
        model=build_model(kind, config),
        kind=kind,
        config=config,
        preprocessing=Preprocessing(num_frames=2, side_px=16),
        provenance={"source": "here"},
        **more,
    )


def _metadata(path) -> dict:
    extra = {"internvideo.json": ""}
    torch.export.load(path, extra_files=extra)
    return json.loads(extra["internvideo.json"])


def test_classes_and_preprocessing_travel_in_the_file(tmp_path):
    model = pretrained("video-classifier", CLASSIFIER, classes=("left", "right"))

    exported = export_model(model, tmp_path / "deep" / "model.pt2", to="torch")

    metadata = _metadata(exported.path)
    assert metadata["kind"] == "video-classifier"
    assert metadata["classes"] == ["left", "right"]
    assert metadata["provenance"] == {"source": "here"}
    assert metadata["inputs"]["clip"]["shape"] == ["batch", 3, 2, 16, 16]
    preprocessing = metadata["preprocessing"]
    assert preprocessing["mean"] == list(model.preprocessing.mean)
    assert preprocessing["num_frames"] == 2
    assert preprocessing["layout"] == "b c t h w"


def test_the_vocabulary_travels_with_a_text_tower(tmp_path):
    model = pretrained("multimodal-encoder", PAIR, tokenizer=load_clip_tokenizer())

    exported = export_model(model, tmp_path / "text.pt2", to="torch", part="text")

    metadata = _metadata(exported.path)
    assert metadata["tokenizer"] == {"vocabulary": "clip"}
    assert metadata["inputs"] == {"ids": {"shape": ["batch", 4], "dtype": "int64"}}


@pytest.mark.parametrize(
    ("part", "message"),
    [(None, "choose a part: video, text"), ("encoder", "no part 'encoder': video, text")],
)
def test_a_model_of_two_towers_asks_which(tmp_path, part, message):
    with pytest.raises(ConfigError, match=message):
        export_model(
            pretrained("multimodal-encoder", PAIR), tmp_path / "x.pt2", to="torch", part=part
        )
