"""Saved models: what is written comes back, complete or not at all."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from internvideo.data.feature_sequences import FeatureSource
from internvideo.errors import CheckpointError
from internvideo.heads import (
    ActionDetectorConfig,
    AnticipatorConfig,
    CoordinatedClassifierConfig,
    QuestionAnswererConfig,
    RetrieverConfig,
    VideoClassifierConfig,
)
from internvideo.hub.pretrained import (
    KINDS,
    AutoencoderConfig,
    Preprocessing,
    Pretrained,
    build_model,
    read_saved_model,
    save_pretrained,
)
from internvideo.models import (
    CaptionDecoderConfig,
    CoordinationConfig,
    DecoderConfig,
    JointEncoderConfig,
    MaskedEncoderConfig,
    MultimodalEncoderConfig,
    TextEncoderConfig,
    UniFormerConfig,
    ViclipConfig,
)
from internvideo.models.actionformer import ActionFormerConfig
from internvideo.recipes.navigation import navigation_tiny_rooms
from internvideo.tasks.temporal_localization.detector import TemporalDetectorConfig
from internvideo.text import load_clip_tokenizer
from internvideo.tiny import (
    MaskedFrontEndConfig,
    TinyAutoencoderConfig,
    TinyMultimodalConfig,
    UniFormerFrontEndConfig,
)
from internvideo.values import Tubelet

A = MaskedEncoderConfig(
    num_frames=4,
    side_px=16,
    tubelet=Tubelet(time=2, height=8, width=8),
    width=16,
    depth=1,
    num_heads=2,
)
B = UniFormerConfig(
    side_px=16, patch_px=8, width=16, depth=2, num_heads=2, num_global_heads=2, global_layers=(1,)
)
TEXT = TextEncoderConfig(vocabulary_size=20, context_length=6, width=16, depth=1, num_heads=2)
JOINT = JointEncoderConfig(num_frames=2, side_px=16, patch_px=8, width=16, depth=1, num_heads=2)
CONFIGS = {
    "masked-encoder": A,
    "masked-autoencoder": AutoencoderConfig(
        encoder=A, decoder=DecoderConfig(width=8, depth=1, num_heads=2)
    ),
    "video-classifier": VideoClassifierConfig(encoder=replace(A, final_norm=False), num_classes=3),
    "coordinated-classifier": CoordinatedClassifierConfig(
        masked=VideoClassifierConfig(encoder=replace(A, final_norm=False), num_classes=3),
        multimodal=VideoClassifierConfig(encoder=B, num_classes=3, pooling="query"),
        coordination=CoordinationConfig(head_width=8, blocks=(0,)),
    ),
    "question-answerer": QuestionAnswererConfig(
        encoder=MultimodalEncoderConfig(
            video=B,
            text=TEXT,
            embed_dim=8,
            captioner=CaptionDecoderConfig(
                width=16, context_width=16, depth=1, num_heads=2, head_width=8, vocabulary_size=20
            ),
        ),
        num_answers=3,
    ),
    "tiny-masked-autoencoder": TinyAutoencoderConfig(
        encoder=A,
        front_end=MaskedFrontEndConfig(),
        decoder=DecoderConfig(width=8, depth=1, num_heads=2),
    ),
    "tiny-multimodal-encoder": TinyMultimodalConfig(
        encoder=MultimodalEncoderConfig(video=B, text=TEXT, embed_dim=8),
        front_end=UniFormerFrontEndConfig(stem_width=4, num_salient_patches=2),
    ),
    "uniformer": B,
    "multimodal-encoder": MultimodalEncoderConfig(video=B, text=TEXT, embed_dim=8),
    "action-detector": ActionDetectorConfig(encoder=A, num_classes=3),
    "anticipator": AnticipatorConfig(
        detector=ActionDetectorConfig(encoder=A, num_classes=3), num_nouns=2
    ),
    "temporal-detector": TemporalDetectorConfig(
        network=ActionFormerConfig(
            input_width=8,
            num_classes=3,
            max_length=16,
            width=8,
            num_heads=2,
            num_branch_blocks=1,
            windows=(3, 3),
            pyramid_width=8,
            head_width=8,
            regression_ranges=((0.0, 4.0), (4.0, 100.0)),
        ),
        num_classes=3,
        sources=(
            FeatureSource(
                model_type="MaskedEncoder",
                model_sha256="0" * 64,
                pooling="mean",
                num_frames=16,
                stride_frames=8,
                rate_fps="native",
                num_channels=8,
            ),
        ),
        encoders=("runs/a",),
    ),
    "retriever": RetrieverConfig(
        encoder=MultimodalEncoderConfig(video=B, text=TEXT, embed_dim=8),
        similarity="tokens",
        learned_weights=True,
    ),
    "navigator": navigation_tiny_rooms().stage.model,
    "viclip": ViclipConfig(video=JOINT, text=TEXT, embed_dim=8),
}


def _pretrained(kind: str = "video-classifier", **more) -> Pretrained:
    config = CONFIGS[kind]
    model = build_model(kind, config)
    return Pretrained(
        model=model,
        kind=kind,
        config=config,
        preprocessing=Preprocessing(num_frames=4, side_px=16, mean=(0.5, 0.4, 0.3)),
        **more,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_each_kind_comes_back(tmp_path, kind: str):
    saved = _pretrained(kind, tokenizer=load_clip_tokenizer(), provenance={"source": "here"})

    found = read_saved_model(save_pretrained(saved, tmp_path / "model"))

    assert (found.kind, found.config, found.preprocessing) == (
        kind,
        saved.config,
        saved.preprocessing,
    )
    torch.testing.assert_close(found.model.state_dict(), saved.model.state_dict())
    assert found.tokenizer is not None
    assert found.provenance == {"source": "here"}
    assert not found.model.training


def test_class_names_travel_with_the_weights(tmp_path):
    save_pretrained(_pretrained(classes=("jump", "run", "sit")), tmp_path / "model")

    assert read_saved_model(tmp_path / "model").classes == ("jump", "run", "sit")


def test_too_few_class_names_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(CheckpointError, match="2 labels for a model with 3 classes"):
        save_pretrained(_pretrained(classes=("jump", "run")), tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_exists_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")

    with pytest.raises(CheckpointError, match="exists already"):
        save_pretrained(_pretrained(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "video-clasifier"}, "unknown kind of model .*did you mean 'video-classifier'"),
        ({"config": {"num_classes": -1}}, "is no VideoClassifierConfig .*num_classes is -1"),
        ({"config": {"num_clases": 2}}, "num_clases"),
        ({"preprocessing": {"num_frames": "many"}}, "is no Preprocessing"),
    ],
)
def test_a_wrong_description_is_refused(tmp_path, change, message: str):
    path = save_pretrained(_pretrained(), tmp_path / "model") / "config.json"
    document = json.loads(path.read_text())
    for name, value in change.items():
        document[name] = document[name] | value if isinstance(value, dict) else value
    path.write_text(json.dumps(document))

    with pytest.raises(CheckpointError, match=message):
        read_saved_model(tmp_path / "model")


def test_weights_of_another_size_are_refused(tmp_path):
    path = save_pretrained(_pretrained(), tmp_path / "model") / "config.json"
    path.write_text(path.read_text().replace('"num_classes": 3', '"num_classes": 4'))

    with pytest.raises(CheckpointError, match=r"weights and config\.json disagree"):
        read_saved_model(tmp_path / "model")


def test_cut_weights_are_refused(tmp_path):
    path = save_pretrained(_pretrained(), tmp_path / "model") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged"):
        read_saved_model(tmp_path / "model")
