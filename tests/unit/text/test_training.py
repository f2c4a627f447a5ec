"""Training a vocabulary against the obvious loop, and what it gives for small sets."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvideo.errors import ConfigError
from internvideo.text import Tokenizer, train_tokenizer
from internvideo.text.tokenizer import NUM_BASE_SYMBOLS, merged, word_symbols

CAPTIONS = ["A red disc slides left!", "a blue disc slides right.", "the red star turns"]


def trained_from_scratch(texts, size):
    """Count all pairs anew before each choice."""
    spelt = {word: word_symbols(word) for text in texts for word in text.split()}
    counts = Counter(word for text in texts for word in text.split())
    chosen = []
    while len(chosen) < size - NUM_BASE_SYMBOLS:
        pairs = Counter()
        for word, symbols in spelt.items():
            for pair in pairwise(symbols):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        chosen.append(best)
        spelt = {word: merged(symbols, {best: 0}) for word, symbols in spelt.items()}
    return Tokenizer(chosen)


@given(
    words=st.lists(st.text("abc", min_size=1, max_size=8), min_size=1, max_size=20),
    room=st.integers(0, 30),
)
def test_training_equals_counting_anew_each_time(words, room):
    size = NUM_BASE_SYMBOLS + room

    tokenizer = train_tokenizer([" ".join(words)], size)

    assert tokenizer.to_document() == trained_from_scratch(words, size).to_document()


def test_with_room_every_word_is_one_token():
    tokenizer = train_tokenizer(CAPTIONS, 2000)

    assert len(tokenizer.encode(CAPTIONS[0])) == 6
    assert tokenizer.vocabulary_size < 2000


def test_the_vocabulary_is_no_larger_than_asked():
    assert train_tokenizer(CAPTIONS, NUM_BASE_SYMBOLS + 7).vocabulary_size == NUM_BASE_SYMBOLS + 7


def test_the_order_of_captions_does_not_matter():
    forward, backward = train_tokenizer(CAPTIONS, 550), train_tokenizer(CAPTIONS[::-1], 550)

    assert forward.to_document() == backward.to_document()


def test_padding_is_no_token_of_a_text():
    tokenizer = train_tokenizer(CAPTIONS, 600)

    ids = tokenizer(["!& !! \x00 red 日本", "!"], context_length=32)

    assert ((ids == 0) == tokenizer.padding_mask(ids)).all()
    assert tokenizer.decode([tokenizer.start_id, 0, *tokenizer.encode("red"), 0]) == "red"


def test_the_end_token_has_the_largest_id():
    tokenizer = train_tokenizer(CAPTIONS, 600)

    ids = tokenizer(["a red disc", "zzz 🏃"], context_length=16)

    assert (ids.max(1).values == tokenizer.end_id).all()


def test_what_was_never_seen_comes_back_from_its_bytes():
    tokenizer = train_tokenizer(CAPTIONS, 600)

    assert tokenizer.decode(tokenizer.encode("Ünseen 字 🏃")) == "ünseen 字 🏃"


def test_special_tokens_in_captions_are_not_learned_from():
    assert train_tokenizer(["<|endoftext|> <|startoftext|> a b"], 600).vocabulary_size == 515


def test_too_small_a_vocabulary_is_refused():
    with pytest.raises(ConfigError, match="vocabulary_size 100 is below 515"):
        train_tokenizer(CAPTIONS, 100)


def test_captions_without_words_are_refused():
    with pytest.raises(ConfigError, match="hold no word"):
        train_tokenizer(["", "  "], 600)
