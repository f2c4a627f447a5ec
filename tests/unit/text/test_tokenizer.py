"""Byte-pair encoding against the obvious loop, and what odd texts become."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from internvideo.errors import ConfigError
from internvideo.text import Tokenizer, load_clip_tokenizer
from internvideo.text.tokenizer import merged, word_symbols, words


@pytest.fixture(scope="module")
def clip() -> Tokenizer:
    return load_clip_tokenizer()


def merged_in_passes(symbols, ranks):
    """The published way: find the best pair, join all of its places, begin again."""
    while True:
        pairs = [pair for pair in pairwise(symbols) if pair in ranks]
        if not pairs:
            return symbols
        best = min(pairs, key=ranks.__getitem__)
        joined, place = [], 0
        while place < len(symbols):
            is_best = tuple(symbols[place : place + 2]) == best
            joined.append("".join(best) if is_best else symbols[place])
            place += 2 if is_best else 1
        symbols = joined


@given(
    word=st.lists(st.sampled_from("abc"), min_size=1, max_size=24),
    pairs=st.lists(
        st.tuples(*[st.text("abc", min_size=1, max_size=3)] * 2), max_size=40, unique=True
    ),
)
def test_merging_equals_the_published_passes(word, pairs):
    ranks = {pair: rank for rank, pair in enumerate(pairs)}

    assert merged(word, ranks) == merged_in_passes(word, ranks)


@given(st.text(max_size=60))
def test_any_text_comes_back_as_its_words(text):
    clip = load_clip_tokenizer()
    assume("<|" not in "".join(words(text)))

    assert clip.decode(clip.encode(text)) == " ".join(words(text))


def test_special_tokens_written_out_become_their_ids(clip):
    ids = clip.encode("a <|StartOfText|><|endoftext|> dog")

    assert ids == [320, clip.start_id, clip.end_id, 1929]
    assert clip.decode(ids, keeps_special=True) == "a <|startoftext|><|endoftext|>dog"
    assert clip.decode(ids) == "a"


def test_rows_start_and_end_and_are_padded_with_zero(clip):
    ids = clip(["a dog", ""], context_length=6)

    assert ids.dtype == torch.int64
    assert ids.tolist() == [
        [49406, 320, 1929, 49407, 0, 0],
        [49406, 49407, 0, 0, 0, 0],
    ]


def test_a_single_text_is_one_row(clip):
    assert clip("a dog", context_length=6).shape == (1, 6)


def test_no_texts_are_no_rows(clip):
    assert clip([], context_length=6).shape == (0, 6)


def test_the_end_token_has_the_largest_id(clip):
    ids = clip(["a dog!! runs", "!?"])

    assert (ids.argmax(1) == (ids == clip.end_id).int().argmax(1)).all()


def test_too_long_a_text_is_named_with_its_length(clip):
    with pytest.raises(ConfigError, match=r"text 1 has 11 tokens with start .*holds 8;.*10 dog"):
        clip(["a dog", "10 dogs run past the red house today"], context_length=8)


def test_a_truncated_text_ends_in_the_end_token(clip):
    whole = clip(["one two three four five"], context_length=8)
    cut = clip(["one two three four five"], context_length=4, truncate=True)

    assert cut.tolist() == [[*whole[0, :3].tolist(), clip.end_id]]


def test_a_context_without_room_is_refused(clip):
    with pytest.raises(ConfigError, match="context_length 1 has no room for start and end"):
        clip([""], context_length=1, truncate=True)


def test_padding_is_what_follows_the_end_and_not_an_exclamation_mark(clip):
    ids = clip(["!& wow"], context_length=7)

    assert ids[0, 1] == 0, "the first of two signs has id 0"
    assert clip.padding_mask(ids)[0].tolist() == [False] * 5 + [True] * 2


def test_a_row_without_end_has_no_padding(clip):
    assert not clip.padding_mask(torch.tensor([[clip.start_id, 5, 0]])).any()


ODD = {
    "empty": "",
    "spaces": "   \t\n",
    "japanese": "日本語の字幕",
    "emoji": "🏃‍♀️💨👩🏽‍🚀",
    "control": "a\x00b\x1b[31mc\x7f",
    "surrogate": "tail\ud800",
    "surrogate pair": "\ud83d\ude00",
    "ligature": "ﬁ",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_texts_encode(clip, text):
    ids = clip([text])

    assert ids[0, 0] == clip.start_id
    assert (ids[0] == clip.end_id).sum() == 1


def test_a_lone_surrogate_is_a_replacement_character(clip):
    assert clip.encode("tail\ud800") == clip.encode("tail\ufffd")


def test_a_very_long_word_takes_no_quadratic_time(clip):
    assert len(clip.encode("字" * 20_000)) > 10_000


def test_decoding_stops_at_the_end_and_leaves_out_start_and_padding(clip):
    ids = clip(["A Dog's   ball!"])[0]

    assert clip.decode(ids) == "a dog 's ball !"
    assert clip.decode([*ids.tolist(), 320]) == "a dog 's ball !"


def test_decoding_a_cut_character_gives_a_replacement(clip):
    assert clip.decode(clip.encode("ༀ")[:1]) == "\ufffd"


@pytest.mark.parametrize("token", [-100, 49408])
def test_an_id_outside_the_vocabulary_is_named(clip, token):
    with pytest.raises(ConfigError, match=f"id {token} is in no vocabulary of 49408 tokens"):
        clip.decode([token])


def test_a_tokenizer_travels_as_json(clip):
    own = Tokenizer([("a", "b"), ("ab", "c</w>")])

    for tokenizer in (clip, own):
        document = json.loads(json.dumps(tokenizer.to_document()))
        again = Tokenizer.from_document(document)
        assert again.encode("abc abd ab") == tokenizer.encode("abc abd ab")
        assert again.vocabulary_size == tokenizer.vocabulary_size


def test_a_pickled_tokenizer_is_small_and_whole(clip):
    packed = pickle.dumps(clip)

    assert len(packed) < 200
    assert pickle.loads(packed) is clip


@pytest.mark.parametrize("document", [{}, {"vocabulary": "own", "merges": ["a"]}])
def test_what_describes_no_tokenizer_is_refused(document):
    with pytest.raises(ConfigError, match="not the description of a tokenizer"):
        Tokenizer.from_document(document)


def test_the_cache_of_words_stays_bounded(monkeypatch):
    monkeypatch.setattr("internvideo.text.tokenizer._CACHED_WORDS", 10)
    tokenizer = Tokenizer([])

    tokenizer.encode(" ".join(chr(ord("a") + i) * 3 for i in range(26)) + " " + "z" * 1000)

    assert 0 < len(tokenizer._cache) <= 10
    assert "z" * 1000 not in tokenizer._cache


def test_words_are_spelt_in_bytes():
    assert word_symbols("é") == ["Ã", "©</w>"]
