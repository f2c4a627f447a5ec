"""Encoder B: what it shares with CLIP at the start, and its caption decoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.models import (
    CaptionDecoderConfig,
    MultimodalEncoder,
    MultimodalEncoderConfig,
    TextEncoderConfig,
    UniFormerConfig,
    caption_context,
    unit_length,
)
from internvideo.weights import OPENAI_CLIP, initialise_from_clip

VIDEO = UniFormerConfig(
    side_px=32,
    patch_px=8,
    width=32,
    depth=3,
    num_heads=4,
    global_layers=(1, 2),
    num_global_heads=4,
)
TEXT = TextEncoderConfig(vocabulary_size=50, context_length=12, width=16, depth=2, num_heads=2)
CLIP = MultimodalEncoderConfig(video=replace(VIDEO, global_layers=()), text=TEXT, embed_dim=24)
TINY = replace(CLIP, video=VIDEO)
CAPTIONER = CaptionDecoderConfig(
    width=16,
    context_width=32,
    depth=1,
    num_heads=2,
    head_width=8,
    num_queries=4,
    vocabulary_size=50,
)
IDS = torch.tensor([[48, 3, 7, 49, 0], [48, 5, 9, 11, 49]])


def _clip(t: int) -> torch.Tensor:
    return torch.randn(2, 3, t, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def clip_and_ours() -> tuple[MultimodalEncoder, MultimodalEncoder]:
    torch.manual_seed(0)
    image_encoder, ours = MultimodalEncoder(CLIP).eval(), MultimodalEncoder(TINY).eval()
    initialise_from_clip(ours, OPENAI_CLIP.write(image_encoder.state_dict()))
    return image_encoder, ours


def test_from_clip_one_frame_embeds_as_clips_image(clip_and_ours):
    clip, ours = clip_and_ours

    expected, got = clip.encode_video(_clip(1)), ours.encode_video(_clip(1))

    assert (got.embedding * expected.embedding).sum(1).min() > 0.99999


def test_from_clip_frames_embed_as_their_mean_class_token(clip_and_ours):
    clip, ours = clip_and_ours
    frames = _clip(4).transpose(1, 2).flatten(0, 1)[:, :, None]
    mean = clip.video(frames).tokens[:, 0, 0].unflatten(0, (2, 4)).mean(1)

    got = ours.encode_video(_clip(4)).embedding

    expected = unit_length(clip.project_video(mean))
    assert (got * expected).sum(1).min() > 0.99999


def test_from_clip_texts_embed_as_clips(clip_and_ours):
    clip, ours = clip_and_ours

    assert torch.equal(clip.encode_text(IDS).embedding, ours.encode_text(IDS).embedding)


def test_embeddings_have_length_one(clip_and_ours):
    video, text = clip_and_ours[1](_clip(2), IDS)

    lengths = torch.stack([video.embedding.norm(dim=1), text.embedding.norm(dim=1)])

    torch.testing.assert_close(lengths, torch.ones(2, 2))


def test_the_caption_decoder_scores_all_tokens_but_the_first():
    model = MultimodalEncoder(replace(TINY, captioner=CAPTIONER))
    video, text = model(_clip(2), IDS)

    assert model.caption_logits(text.tokens, video.tokens).shape == (2, 4, 50)


def test_the_caption_decoder_reads_space_before_time():
    tokens = torch.arange(2 * 3).view(1, 2, 3, 1).float()

    assert caption_context(tokens).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_captioning_without_a_caption_decoder_is_refused():
    model = MultimodalEncoder(TINY)

    with pytest.raises(ConfigError, match=r"configure captioner=\.\.\."):
        model.caption_logits(torch.zeros(1, 3, 16), torch.zeros(1, 2, 17, 32))


@pytest.mark.parametrize("field", ["width", "context_width", "vocabulary_size"])
def test_a_caption_decoder_that_does_not_fit_is_refused(field: str):
    captioner = replace(CAPTIONER, **{field: 64})

    with pytest.raises(ConfigError, match=f"{field} 64 does not fit the towers"):
        replace(TINY, captioner=captioner)


def test_an_empty_space_is_refused():
    with pytest.raises(ConfigError, match="embed_dim 0 is below 1"):
        replace(TINY, embed_dim=0)
