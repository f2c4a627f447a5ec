from __future__ import annotations

import math

import pytest

from internvideo.metrics import bleu, cider_d, words


def test_words_are_lower_case_without_punctuation():
    assert words("A Man's dog, 3 cats... ÜBER!") == ["a", "man's", "dog", "3", "cats", "über"]


def test_a_sentence_like_a_reference_has_bleu_one():
    assert bleu(["a b c d e"], [["x y", "a b c d e"]]) == pytest.approx(1)


def test_bleu_of_a_hand_counted_sentence():
    # 1-grams 5 of 6 ("the" is allowed twice of three), 2-grams 3 of 5, 3-grams 2 of 4, 4-grams 1
    # of 3; as long as the reference.
    got = bleu(["the cat sat on the the"], [["the cat sat on a the"]])

    assert got == pytest.approx((5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)


def test_a_short_sentence_is_penalised():
    assert bleu(["a b c d"], [["a b c d e f"]]) == pytest.approx(math.exp(1 - 6 / 4))


def test_counts_are_summed_over_sentences_before_dividing():
    got = bleu(["a b c d", "p q r s"], [["a b c d"], ["p q x y"]])

    assert got == pytest.approx((6 / 8 * 4 / 6 * 2 / 4 * 1 / 2) ** 0.25)


@pytest.mark.parametrize("sentence", ["", "x y z w v", "a b"])
def test_without_a_right_run_of_four_bleu_is_zero(sentence):
    assert bleu([sentence], [["a b c d e"]]) == 0


def test_captions_equal_to_their_only_references_have_cider_ten():
    texts = ["a red disc turns round", "the blue ring slides left"]

    assert cider_d(texts, [[text] for text in texts]) == pytest.approx(10)


def test_cider_of_hand_counted_sentences():
    # "b" is in both videos' references and weighs nothing; "a" and "c" weigh ln 2 each.
    got = cider_d(["a b", "b"], [["a b"], ["c b"]])

    # First: 1-grams and 2-grams alike, 3- and 4-grams absent: (1 + 1) / 4. Second: nothing.
    assert got == pytest.approx(10 * (0.5 + 0) / 2)


def test_repeating_a_rare_word_does_not_help():
    references = [["red disc"], ["blue ring"]]

    once, often = (cider_d([text, ""], references) for text in ("red disc", "red red red disc"))

    assert often < once


def test_another_length_costs_by_a_gaussian():
    references = [["red a a"], ["blue b"]]

    got = cider_d(["red", ""], references)

    weights = {"red": math.log(2), "a": 2 * math.log(2)}
    cosine = weights["red"] / math.hypot(*weights.values())
    assert got == pytest.approx(10 * math.exp(-4 / 72) * cosine / 4 / 2)


def test_nothing_has_no_cider():
    assert math.isnan(cider_d([], []))
