"""Laws of the caption decoder, for both kinds of layers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.models import CaptionDecoder, CaptionDecoderConfig
from internvideo.models.caption_blocks import CrossAttention, ParallelBlock, Rotary

TINY = CaptionDecoderConfig(
    width=32,
    context_width=24,
    depth=2,
    num_heads=4,
    head_width=8,
    num_queries=5,
    vocabulary_size=50,
)
CONFIGS = {
    "parallel": TINY,
    "parallel without queries": replace(TINY, num_queries=0),
    "standard": replace(TINY, kind="standard", num_queries=0),
    "standard with queries": replace(TINY, kind="standard"),
}


def _decoder(config: CaptionDecoderConfig) -> CaptionDecoder:
    torch.manual_seed(0)
    decoder = CaptionDecoder(config)
    with torch.no_grad():  # weights of ordinary size, so that everything has an effect
        for parameter in decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return decoder.eval()


def _inputs(length: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    text = torch.randn(2, length, TINY.width, generator=generator)
    return text, torch.randn(2, 7, TINY.context_width, generator=generator)


@pytest.fixture(params=CONFIGS, ids=list(CONFIGS))
def decoder(request: pytest.FixtureRequest) -> CaptionDecoder:
    return _decoder(CONFIGS[request.param])


@torch.no_grad()
def test_a_later_token_changes_no_earlier_logits(decoder):
    text, video = _inputs()
    changed = text.clone()
    changed[:, 4:] += torch.randn(2, 2, TINY.width)

    before, after = decoder(text, video), decoder(changed, video)

    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:], atol=1e-3)


@torch.no_grad()
def test_padding_behind_a_caption_changes_nothing(decoder):
    text, video = _inputs()

    short, padded = decoder(text[:, :3], video), decoder(text, video)

    torch.testing.assert_close(short, padded[:, :3], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_order_of_video_tokens_plays_no_part(decoder):
    text, video = _inputs()
    order = torch.randperm(7, generator=torch.Generator().manual_seed(2))

    torch.testing.assert_close(
        decoder(text, video), decoder(text, video[:, order]), rtol=1e-4, atol=1e-4
    )


@torch.no_grad()
def test_the_video_and_its_every_token_play_a_part(decoder):
    text, video = _inputs()
    before = decoder(text, video)

    for i in range(7):
        changed = video.clone()
        changed[0, i] += torch.randn(TINY.context_width)
        after = decoder(text, changed)
        assert (after[0] - before[0]).abs().max() > 1e-3
        torch.testing.assert_close(after[1], before[1])


def test_every_parameter_gets_a_gradient(decoder):
    decoder(*_inputs()).square().sum().backward()

    without = [n for n, p in decoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@torch.no_grad()
def test_logits_are_the_predictor_of_the_hidden_state(decoder):
    text, video = _inputs()

    hidden = decoder.hidden(text, decoder.pool(video))

    assert hidden.shape == text.shape
    torch.testing.assert_close(decoder.predictor(hidden), decoder(text, video))


@pytest.mark.parametrize("kind", ["parallel", "standard"])
def test_four_captions_are_learned_by_heart(kind):
    torch.manual_seed(0)
    decoder = CaptionDecoder(replace(TINY, kind=kind))
    embedding = torch.nn.Embedding(TINY.vocabulary_size, TINY.width)
    ids = torch.randint(TINY.vocabulary_size, (4, 7))
    ids[:, 0] = 1  # the same start: the first word must come from the video
    video = torch.randn(4, 7, TINY.context_width)
    optimiser = torch.optim.Adam([*decoder.parameters(), *embedding.parameters()], lr=3e-3)

    for _ in range(80):
        logits = decoder(embedding(ids[:, :-1]), video)
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    assert torch.equal(logits.argmax(2), ids[:, 1:])


@torch.no_grad()
def test_rotary_products_depend_on_the_distance_alone():
    rotary = Rotary(8)
    query, key = (x.expand(1, 9, 1, 8) for x in torch.randn(2, 8))

    products = rotary(query)[0, :, 0] @ rotary(key)[0, :, 0].T

    for distance in range(-8, 9):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    assert not torch.allclose(products[0, 0], products[0, 8], atol=1e-3)


@torch.no_grad()
def test_rotary_positions_may_start_anywhere():
    rotary, heads = Rotary(8), torch.randn(1, 9, 2, 8)

    torch.testing.assert_close(rotary(heads[:, 4:], first=4), rotary(heads)[:, 4:])


@torch.no_grad()
def test_shared_keys_equal_attention_with_the_key_copied_for_each_head():
    torch.manual_seed(0)
    attention = CrossAttention(32, 24, 4, 8)
    tokens, context = torch.randn(2, 6, 32), torch.randn(2, 7, 24)

    got = attention(tokens, context)

    query = attention.to_q(F.layer_norm(tokens, (32,))).view(2, 6, 4, 8)
    key, value = attention.to_kv(context).chunk(2, -1)
    weights = torch.einsum("blae,bne->blan", query, key).div(8**0.5).softmax(-1)
    attended = torch.einsum("blan,bne->blae", weights, value).flatten(2)
    torch.testing.assert_close(got, attention.to_out(attended))


@torch.no_grad()
def test_what_is_not_allowed_is_not_attended_to():
    torch.manual_seed(0)
    block = ParallelBlock(32, 4, 8, 4)
    text = torch.randn(1, 6, 32)
    changed = text.clone()
    changed[:, 2] += torch.randn(32)
    allowed = torch.ones(1, 6, 6, dtype=torch.bool)
    allowed[:, :, 2] = torch.eye(6, dtype=torch.bool)[2]

    before, after = block(text, None, allowed), block(changed, None, allowed)

    others = [0, 1, 3, 4, 5]
    torch.testing.assert_close(before[:, others], after[:, others])
    assert not torch.allclose(block(text)[:, 5], block(changed)[:, 5], atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width 0 is below 1"),
        ({"head_width": 7}, "head_width 7 is not even"),
        ({"num_queries": -1}, "num_queries -1 at least 0"),
    ],
)
def test_an_impossible_decoder_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **change)
