"""Searching for captions, with a cache that changes nothing."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.models import (
    CaptionDecoder,
    CaptionDecoderConfig,
    CaptionScores,
    GenerationConfig,
    KeyValueCache,
    TextEncoder,
    TextEncoderConfig,
    beam_search,
    generate,
    greedy_search,
)

WORDS = 23
START, END = WORDS - 2, WORDS - 1
CONFIG = GenerationConfig(start_id=START, end_id=END, max_length=12)
KINDS = {"parallel": 5, "standard": 0}  # and how many queries pool the video


def _networks(kind: str = "parallel") -> tuple[TextEncoder, CaptionDecoder]:
    torch.manual_seed(0)
    text = TextEncoder(
        TextEncoderConfig(vocabulary_size=WORDS, context_length=12, width=32, depth=2, num_heads=4)
    )
    decoder = CaptionDecoder(
        CaptionDecoderConfig(
            kind=kind,
            width=32,
            context_width=24,
            depth=2,
            num_heads=4,
            head_width=8,
            num_queries=KINDS[kind],
            vocabulary_size=WORDS,
        )
    )
    with torch.no_grad():
        for parameter in [*text.parameters(), *decoder.parameters()]:
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return text.double().eval(), decoder.double().eval()


def _video(count: int = 3) -> Tensor:
    return torch.randn(count, 7, 24, generator=torch.Generator().manual_seed(1)).double()


class Table:
    """Next-token scores that depend on the last token alone; row v of `scores` follows token v."""

    def __init__(self, scores: Tensor) -> None:
        self.scores = scores

    def __call__(self, ids: Tensor) -> Tensor:
        return self.scores[ids[:, -1]]

    def keep_rows(self, rows: Tensor) -> None:
        pass


@torch.inference_mode()
@pytest.mark.parametrize("kind", KINDS)
def test_cached_logits_equal_those_without_a_cache_token_by_token(kind):
    networks, video = _networks(kind), _video()
    ids = torch.randint(WORDS, (3, 10), generator=torch.Generator().manual_seed(2))
    cached = CaptionScores(*networks, video, CONFIG)
    uncached = CaptionScores(*networks, video, replace(CONFIG, cached=False))

    for length in range(1, 11):
        got, expected = cached(ids[:, :length]), uncached(ids[:, :length])
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@torch.inference_mode()
@pytest.mark.parametrize("kind", KINDS)
def test_several_tokens_may_be_read_at_once(kind):
    text, decoder = _networks(kind)
    ids = torch.randint(WORDS, (3, 10), generator=torch.Generator().manual_seed(2))
    context, cache = decoder.pool(_video()), KeyValueCache()

    parts = [
        decoder.hidden(text(part, cache=cache).tokens, context, cache)
        for part in (ids[:, :4], ids[:, 4:9], ids[:, 9:])
    ]

    whole = decoder.hidden(text(ids).tokens, context)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-12)


@torch.inference_mode()
def test_whole_forward_gives_the_scores_that_generation_uses():
    text, decoder = _networks()
    ids = torch.randint(WORDS, (3, 10), generator=torch.Generator().manual_seed(2))

    scores = CaptionScores(text, decoder, _video(), CONFIG)(ids)

    logits = decoder(text(ids).tokens, _video())[:, -1]
    torch.testing.assert_close(scores, logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_beams", [1, 4])
def test_the_cache_changes_no_caption(kind, num_beams):
    networks, config = _networks(kind), replace(CONFIG, num_beams=num_beams)

    cached = generate(*networks, _video(), config)
    uncached = generate(*networks, _video(), replace(config, cached=False))

    assert torch.equal(cached.ids, uncached.ids)
    torch.testing.assert_close(cached.log_probability, uncached.log_probability, rtol=0, atol=1e-4)


@pytest.mark.parametrize("num_beams", [1, 4])
def test_a_caption_does_not_depend_on_the_others_of_its_batch(num_beams):
    networks, config = _networks(), replace(CONFIG, num_beams=num_beams)

    together = generate(*networks, _video(), config).ids

    for i in range(3):
        alone = generate(*networks, _video()[i : i + 1], config).ids[0]
        length = min(len(alone), together.shape[1])
        assert torch.equal(alone[:length], together[i, :length])
        assert not together[i, length:].any()


@torch.inference_mode()
def test_one_beam_is_the_greedy_search():
    networks = _networks()
    scores = [CaptionScores(*networks, _video(), CONFIG) for _ in range(2)]

    greedy = greedy_search(scores[0], 3, CONFIG)
    beam = beam_search(scores[1], 3, CONFIG)

    assert torch.equal(greedy.ids, beam.ids)
    torch.testing.assert_close(greedy.log_probability, beam.log_probability)


@torch.inference_mode()
@pytest.mark.parametrize("num_beams", [1, 4])
def test_log_probability_is_that_of_the_caption_read_again(num_beams):
    text, decoder = _networks()

    captions = generate(text, decoder, _video(), replace(CONFIG, num_beams=num_beams))

    ids = captions.ids
    costs = decoder(text(ids[:, :-1]).tokens, _video()).log_softmax(2)
    taken = costs.gather(2, ids[:, 1:, None])[..., 0]
    written = ((ids[:, 1:] == END).cumsum(1) - (ids[:, 1:] == END).long()) == 0
    torch.testing.assert_close(
        captions.log_probability, (taken * written).sum(1).float(), rtol=1e-4, atol=1e-4
    )


def _exhaustive(scores: Tensor, config: GenerationConfig) -> float:
    """Try every caption over the words of a table, and return the best score by the same rule."""
    costs, longest, best = scores.log_softmax(1), config.max_length - 1, float("-inf")
    for length in range(1, longest + 1):
        for words in itertools.product(range(len(scores)), repeat=length):
            if config.end_id in words[:-1] or (words[-1] != config.end_id and length < longest):
                continue
            path = [config.start_id, *words]
            total = sum(float(costs[a, b]) for a, b in itertools.pairwise(path))
            best = max(best, total / length**config.length_penalty)
    return best


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_enough_beams_find_the_best_of_all_captions(seed, length_penalty):
    scores = 2 * torch.randn(4, 4, generator=torch.Generator().manual_seed(seed))
    config = GenerationConfig(
        start_id=0, end_id=3, max_length=5, num_beams=256, length_penalty=length_penalty
    )

    found = beam_search(Table(scores), 1, config)

    ids = found.ids[0].tolist()
    length = ids.index(3) if 3 in ids else 4
    score = float(found.log_probability) / length**length_penalty
    assert score == pytest.approx(_exhaustive(scores, config), abs=1e-5)


def test_a_beam_finds_a_better_caption_behind_a_worse_first_word():
    scores = torch.full((5, 5), -20.0)
    scores[0, 1], scores[0, 2] = 1.0, 0.9  # word 1 looks better at first
    scores[1, 1:] = 0.0  # but nothing is likely after it
    scores[2, 4] = 9.0
    config = GenerationConfig(start_id=0, end_id=4, max_length=6, length_penalty=0.0)

    greedy = greedy_search(Table(scores), 1, config)
    beam = beam_search(Table(scores), 1, replace(config, num_beams=2))

    assert beam.ids[0, :3].tolist() == [0, 2, 4]
    assert greedy.ids[0, 1] == 1
    assert beam.log_probability > greedy.log_probability


@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_caption_stops_at_the_end_token_and_is_padded(num_beams):
    scores = torch.full((5, 5), -20.0)
    scores[0, 1] = scores[1, 4] = scores[4, 2] = 0.0
    config = GenerationConfig(start_id=0, end_id=4, padding_id=3, max_length=6, num_beams=num_beams)
    search = greedy_search if num_beams == 1 else beam_search

    ids = search(Table(scores), 1, config).ids[0].tolist()

    assert ids[:3] == [0, 1, 4]
    assert set(ids[3:]) <= {3}


@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_caption_without_end_stops_at_the_greatest_length(num_beams):
    scores = torch.full((5, 5), -20.0)
    scores[:, 1] = 20.0
    config = GenerationConfig(start_id=0, end_id=4, max_length=6, num_beams=num_beams)
    search = greedy_search if num_beams == 1 else beam_search

    assert search(Table(scores), 2, config).ids.tolist() == [[0, 1, 1, 1, 1, 1]] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_length": 1}, "max_length 1 must be at least 2"),
        ({"num_beams": 0}, "num_beams 0 at least 1"),
        ({"length_penalty": -1.0}, "length_penalty -1.0 at least 0"),
    ],
)
def test_an_impossible_search_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **change)


def test_captions_longer_than_the_text_encoder_reads_are_refused():
    with pytest.raises(ConfigError, match="max_length 13 exceeds the text encoder's context of 12"):
        generate(*_networks(), _video(), replace(CONFIG, max_length=13))


@pytest.mark.parametrize("num_beams", [1, 3])
def test_ids_of_no_token_are_never_written(num_beams):
    config = replace(CONFIG, start_id=3, end_id=4, num_tokens=5, num_beams=num_beams)

    written = generate(*_networks(), _video(5), config)

    assert int(written.ids.max()) < 5
    assert int(generate(*_networks(), _video(5), CONFIG).ids[:, 1:-1].max()) >= 5
