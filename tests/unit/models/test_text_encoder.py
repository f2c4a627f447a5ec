"""CLIP's text tower: causal, so padding can be cut off."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.models import KeyValueCache, TextEncoder, TextEncoderConfig

TINY = TextEncoderConfig(
    vocabulary_size=50, context_length=12, width=32, depth=2, num_heads=4, mask_token=True
)
IDS = torch.tensor([[48, 3, 7, 49, 0, 0, 0, 0], [48, 5, 9, 11, 2, 49, 0, 0]])


@pytest.fixture
def encoder() -> TextEncoder:
    torch.manual_seed(0)
    return TextEncoder(TINY).eval()


def test_cutting_padding_to_the_longest_text_changes_nothing(encoder: TextEncoder):
    whole, cut = encoder(IDS), encoder(IDS[:, :6])

    torch.testing.assert_close(cut.pooled, whole.pooled)
    torch.testing.assert_close(cut.tokens, whole.tokens[:, :6])


def test_a_token_changes_nothing_before_it(encoder: TextEncoder):
    changed = IDS.clone()
    changed[:, 3] = 20

    before, after = encoder(IDS).tokens, encoder(changed).tokens

    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert not torch.allclose(after[:, 3:], before[:, 3:])


def test_a_text_is_read_at_its_largest_id(encoder: TextEncoder):
    output = encoder(IDS)

    assert torch.equal(output.pooled, output.tokens[[0, 1], [3, 5]])


@pytest.mark.parametrize("pieces", [(8,), (1,) * 8, (3, 1, 4)])
def test_reading_in_pieces_with_a_cache_changes_nothing(encoder: TextEncoder, pieces):
    cache = KeyValueCache()

    tokens = [encoder(piece, cache=cache).tokens for piece in IDS.split(pieces, dim=1)]

    torch.testing.assert_close(torch.cat(tokens, dim=1), encoder(IDS).tokens)


def test_what_stands_at_a_masked_position_does_not_matter(encoder: TextEncoder):
    masked = torch.zeros_like(IDS, dtype=torch.bool)
    masked[:, 2] = True
    changed = IDS.clone()
    changed[:, 2] = 30

    torch.testing.assert_close(encoder(changed, masked).tokens, encoder(IDS, masked).tokens)


def test_recomputed_activations_give_the_same_gradients(encoder: TextEncoder):
    again = TextEncoder(replace(TINY, recompute_activations=True))
    again.load_state_dict(encoder.state_dict())

    for network in (encoder, again):
        network(IDS).pooled.square().sum().backward()

    torch.testing.assert_close(encoder.positions.grad, again.positions.grad)


def test_a_text_beyond_the_context_is_refused(encoder: TextEncoder):
    with pytest.raises(ConfigError, match="texts of 13 tokens do not fit the context of 12"):
        encoder(torch.ones(1, 13, dtype=torch.int64))


def test_masking_without_a_mask_token_is_refused():
    encoder = TextEncoder(replace(TINY, mask_token=False))

    with pytest.raises(ConfigError, match="configure mask_token=True"):
        encoder(IDS, torch.ones_like(IDS, dtype=torch.bool))


def test_an_empty_vocabulary_is_refused():
    with pytest.raises(ConfigError, match="vocabulary of 0 and a context of 12"):
        replace(TINY, vocabulary_size=0)
