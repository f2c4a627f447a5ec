"""Clips of the coordinated pair among the sentences of its encoder B."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.heads import (
    CoordinatedClassifier,
    CoordinatedClassifierConfig,
    VideoClassifierConfig,
)
from internvideo.models import (
    CoordinationConfig,
    MultimodalEncoder,
    MultimodalEncoderConfig,
    TextEncoderConfig,
)
from internvideo.tasks import CoordinatedTextModel, VideoTextModel
from internvideo.text import Tokenizer
from internvideo.video.transforms import CLIP_MEAN, CLIP_STD
from tests.unit.models.pair import A, B, noisy

FRAMES = torch.randint(
    256, (2, 8, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


@pytest.fixture
def words() -> VideoTextModel:
    tokenizer = Tokenizer([])
    text = TextEncoderConfig(
        vocabulary_size=tokenizer.vocabulary_size,
        context_length=16,
        width=16,
        depth=1,
        num_heads=2,
    )
    config = MultimodalEncoderConfig(video=B, text=text, embed_dim=12)
    return VideoTextModel(noisy(MultimodalEncoder(config)), tokenizer, num_frames=8)


def pair_on(words: VideoTextModel) -> CoordinatedClassifier:
    """An untrained pair whose encoder B is that of the words."""
    model = CoordinatedClassifier(
        CoordinatedClassifierConfig(
            masked=VideoClassifierConfig(encoder=A, num_classes=3),
            multimodal=VideoClassifierConfig(encoder=B, num_classes=3, pooling="query"),
            coordination=CoordinationConfig(head_width=8, frame_step=1),
            multimodal_mean=CLIP_MEAN,
            multimodal_std=CLIP_STD,
        )
    )
    model.multimodal.encoder.load_state_dict(words.model.video.state_dict())
    return model


def test_with_closed_gates_clips_lie_where_encoder_b_puts_them(words):
    model = CoordinatedTextModel(pair_on(words), words)

    assert (model.num_frames, model.side_px) == (8, 16)
    torch.testing.assert_close(model.embed_clips(FRAMES), words.embed_clips(FRAMES))


def test_open_gates_move_clips_and_leave_sentences(words):
    pair = pair_on(words)
    closed = CoordinatedTextModel(pair, words).embed_clips(FRAMES)
    torch.nn.init.ones_(pair.coordination.reversed_module.attn_gate)

    model = CoordinatedTextModel(pair, words)

    assert (model.embed_clips(FRAMES) - closed).abs().max() > 1e-3
    assert torch.equal(model.embed_texts(["a disc"]), words.embed_texts(["a disc"]))
    assert torch.equal(model.logit_scale, words.logit_scale)


def test_words_of_another_encoder_are_refused(words):
    pair = pair_on(words)
    wider = replace(words.model.config, video=replace(B, width=64))
    words.model = MultimodalEncoder(wider)

    with pytest.raises(ConfigError, match="of another size than the one that knows the words"):
        CoordinatedTextModel(pair, words)
