"""What is said of a video is true of it, and what is changed is not."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers, sampled_from

from internvideo.playground import (
    ACTIONS,
    COLOURS,
    PAIRS,
    SHAPES,
    SIZES,
    SLOTS,
    TEXTURES,
    World,
    alternatives,
    caption,
    captions,
    changed,
    doing,
    draw_facts,
    image_captions,
    negatives,
    slots,
)
from internvideo.playground.appearance import ROUND_SHAPES
from internvideo.playground.language import NUM_CAPTIONS, meaning
from internvideo.playground.phrases import (
    COLOUR_WORDS,
    JOINT,
    PHRASES,
    SECOND,
    SHAPE_WORDS,
    SIZE_WORDS,
    TEXTURE_WORDS,
    conjugate,
)

WORLD = World(seed=3)
INDICES = integers(0, 50_000)
NUMBERS = integers(0, NUM_CAPTIONS - 1)


def truth(facts):
    return facts.subject.colour, facts.subject.shape, facts.action


def spellings(action):
    forms = ("plain", "third", "ing")
    return {
        conjugate(phrase, form).removesuffix(f" {SECOND}")
        for phrase in PHRASES[action]
        for form in forms
    }


def test_everything_has_words_and_every_action_three_phrases():
    assert set(PHRASES) == set(ACTIONS)
    assert min(map(len, PHRASES.values())) >= 3
    for words, known in (
        (COLOUR_WORDS, COLOURS),
        (SHAPE_WORDS, SHAPES),
        (SIZE_WORDS, SIZES),
        (TEXTURE_WORDS, TEXTURES),
    ):
        assert set(words) == set(known)
        spoken = [word for options in words.values() for word in options]
        assert len(set(spoken)) == len(spoken)


def test_what_something_is_doing_is_told_with_the_second_thing_named():
    assert doing("slide_right") == "sliding right"
    assert doing("push") == "pushing another shape"


def test_no_action_has_a_phrase_that_holds_one_of_another():
    for one in ACTIONS:
        for other in set(ACTIONS) - {one}:
            for phrase in spellings(one):
                inside = [words for words in spellings(other) if f" {words} " in f" {phrase} "]
                assert not inside, (one, phrase, other)


def test_a_phrase_names_a_second_thing_where_the_action_has_one():
    for name, action in ACTIONS.items():
        has_second = len(action.sizes) == 2 and name not in JOINT
        assert all(phrase.endswith(SECOND) == has_second for phrase in PHRASES[name])


@pytest.mark.parametrize(
    ("phrase", "third", "ing"),
    [
        ("{slide} left", "slides left", "sliding left"),
        ("{go} up and then down", "goes up and then down", "going up and then down"),
        ("{rise} and then {fall}", "rises and then falls", "rising and then falling"),
        ("{pass} by", "passes by", "passing by"),
        ("{zigzag}", "zigzags", "zigzagging"),
    ],
)
def test_verbs_are_conjugated(phrase, third, ing):
    assert (conjugate(phrase, "third"), conjugate(phrase, "ing")) == (third, ing)


@settings(max_examples=150, deadline=None)
@given(index=INDICES)
def test_every_caption_says_colour_shape_and_action_of_the_subject(index):
    facts = draw_facts(index, WORLD)

    assert [slots(said) for said in captions(facts)] == [truth(facts)] * NUM_CAPTIONS


@settings(max_examples=100, deadline=None)
@given(index=INDICES)
def test_captions_differ_and_have_one_to_three_sentences(index):
    said = captions(draw_facts(index, WORLD))

    assert len(set(said)) == NUM_CAPTIONS
    assert [len(text.split(". ")) for text in said] == [1, 1, 1, 2, 3]


@settings(max_examples=30, deadline=None)
@given(index=INDICES)
def test_captions_depend_on_the_facts_only(index):
    facts = draw_facts(index, WORLD)
    before = captions(facts), image_captions(facts)
    np.random.seed(index)

    assert (captions(facts), image_captions(facts)) == before


@settings(max_examples=60, deadline=None)
@given(index=INDICES)
def test_further_sentences_say_nothing_false(index):
    facts = draw_facts(index, WORLD)
    things = [*(actor.look for actor in facts.actors), *(x.look for x in facts.distractors)]
    there = {f"{look.colour} {look.shape}" for look in things}
    for text in captions(facts)[3:]:
        words = text.split(". ", 1)[1].replace(",", "").replace(".", "").split()
        pairs = {f"{a} {b}" for a, b in pairwise(words) if a in COLOURS}
        assert pairs <= there


@pytest.mark.parametrize("index", range(len(ACTIONS)))
def test_the_size_is_said_only_where_it_lasts(index):
    facts = draw_facts(index, WORLD)
    is_sized = any(
        word in captions(facts)[2].split() for words in SIZE_WORDS.values() for word in words
    )

    assert is_sized == (facts.action not in ("grow", "shrink"))


@settings(max_examples=60, deadline=None)
@given(index=INDICES)
def test_captions_of_an_image_say_what_is_seen_and_no_action(index):
    facts = draw_facts(index, WORLD)
    said = image_captions(facts)

    assert len(set(said)) == len(said)
    assert [slots(text) for text in said] == [(*truth(facts)[:2], None)] * len(said)


def test_what_is_not_said_is_not_found():
    assert slots("") == (None, None, None)
    assert slots("a green man waves") == ("green", None, None)
    assert slots("a disc pushes a red square") == (None, "disc", "push")
    assert slots("A Violet HEART-shape, sliding left!") == ("purple", None, "slide_left")
    assert slots("a red goes round clockwise past a circle") == ("red", None, "circle_clockwise")


@settings(max_examples=80, deadline=None)
@given(index=INDICES, slot=sampled_from(SLOTS), number=NUMBERS)
def test_a_negative_differs_in_exactly_one_slot(index, slot, number):
    facts = draw_facts(index, WORLD)
    place = {"colour": 0, "shape": 1}.get(slot, 2)

    false = changed(facts, slot, np.random.default_rng(0), number=number)
    assert len(set(false)) == len(false)
    for text in false:
        differs = [a != b for a, b in zip(slots(text), truth(facts), strict=True)]
        assert differs == [at == place for at in range(3)]
    assert sorted(false) == sorted(negatives(facts, number=number)[slot])


@settings(max_examples=80, deadline=None)
@given(index=INDICES, slot=sampled_from(SLOTS))
def test_a_negative_means_something_else_and_names_no_thing_twice(index, slot):
    facts = draw_facts(index, WORLD)

    for other in alternatives(facts, slot):
        looks = [(actor.look.shape, actor.look.colour) for actor in other.actors]
        assert meaning(other) != meaning(facts)
        assert len(set(looks)) == len(looks)
        assert len(ACTIONS[other.action].sizes) == len(looks)
        assert not (ACTIONS[other.action].must_show_turning and looks[0][0] in ROUND_SHAPES)


@pytest.mark.parametrize("index", range(2 * len(ACTIONS)))
def test_there_are_four_wrong_answers_and_the_opposite_is_one_of_them(index):
    facts = draw_facts(index, WORLD)
    partners = {**dict(PAIRS), **{second: first for first, second in PAIRS}}

    wrong = negatives(facts)
    assert all(len(wrong[slot]) >= 4 for slot in SLOTS if slot != "opposite")
    assert [slots(text)[2] for text in wrong["opposite"]] == [
        partners[name] for name in [facts.action] if name in partners
    ]
    assert set(wrong["opposite"]) <= set(wrong["motion"])


def test_what_may_also_be_said_of_an_action_is_no_wrong_answer():
    wrong = defaultdict(set)
    for index in range(4 * len(ACTIONS)):
        facts = draw_facts(index, WORLD)
        wrong[facts.action] |= {other.action for other in alternatives(facts, "motion")}

    assert not wrong["collide"] & {"approach", "separate"}
    assert not wrong["pass_behind"] & {"hide", "emerge"}
    assert not wrong["blink"] & {"appear", "vanish"}
    assert "fall_then_rise" in wrong["rise_then_fall"]


def test_two_that_do_the_same_to_each_other_mean_the_same_in_either_order():
    for index in range(len(ACTIONS)):
        facts = draw_facts(index, WORLD)
        if len(facts.actors) == 2:
            turned = replace(facts, actors=facts.actors[::-1])
            is_mutual = facts.action in ("approach", "separate", "swap", "collide")
            assert (meaning(turned) == meaning(facts)) == is_mutual


def test_synonyms_are_used_and_further_colours_are_rare():
    said = [captions(draw_facts(index, WORLD)) for index in range(400)]
    words = Counter(word for texts in said for text in texts[1:] for word in text.split())

    assert all(words[word.split()[0]] for options in SHAPE_WORDS.values() for word in options)
    assert 0 < words["scarlet"] < 0.3 * words["red"]
    assert caption(draw_facts(0, WORLD)) == said[0][0]
