"""Answers chosen among a list: what they depend on, and what cannot be asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.heads import QuestionAnswerer, QuestionAnswererConfig
from internvideo.models import (
    CaptionDecoderConfig,
    MultimodalEncoderConfig,
    TextEncoderConfig,
    UniFormerConfig,
)

ENCODER = MultimodalEncoderConfig(
    video=UniFormerConfig(
        side_px=16,
        patch_px=8,
        width=16,
        depth=2,
        num_heads=2,
        num_global_heads=2,
        global_layers=(1,),
    ),
    text=TextEncoderConfig(vocabulary_size=20, context_length=8, width=16, depth=1, num_heads=2),
    embed_dim=8,
    captioner=CaptionDecoderConfig(
        width=16, context_width=16, depth=1, num_heads=2, head_width=8, vocabulary_size=20
    ),
)
QUESTION = torch.tensor([[18, 3, 4, 19, 0, 0]])


def _model() -> QuestionAnswerer:
    torch.manual_seed(0)
    return QuestionAnswerer(QuestionAnswererConfig(encoder=ENCODER, num_answers=5)).eval()


@torch.no_grad()
def test_the_answer_depends_on_clip_and_question():
    model, clips = _model(), torch.randn(2, 3, 2, 16, 16)
    other = torch.tensor([[18, 5, 4, 19, 0, 0]])

    first = model(clips[:1], QUESTION)

    assert first.shape == (1, 5)
    assert not torch.allclose(first, model(clips[1:], QUESTION))
    assert not torch.allclose(first, model(clips[:1], other))


@torch.no_grad()
def test_what_follows_the_end_token_changes_nothing():
    model, clip = _model(), torch.randn(1, 3, 2, 16, 16)

    longer = torch.cat([QUESTION, torch.zeros(1, 2, dtype=torch.int64)], dim=1)

    torch.testing.assert_close(model(clip, QUESTION), model(clip, longer))


def test_a_question_that_ends_with_the_context_is_refused():
    with pytest.raises(ConfigError, match="fills all 4 ids; cut it"):
        _model()(torch.randn(1, 3, 2, 16, 16), QUESTION[:, :4])


def test_a_question_answerer_needs_a_caption_decoder():
    with pytest.raises(ConfigError, match=r"needs encoder\.captioner"):
        QuestionAnswererConfig(encoder=replace(ENCODER, captioner=None))


def test_there_is_an_answer_at_least():
    with pytest.raises(ConfigError, match="num_answers is 0"):
        QuestionAnswererConfig(encoder=ENCODER, num_answers=0)
