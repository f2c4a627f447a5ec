from __future__ import annotations

import pytest

from internvideo.playground.compose import World, draw_facts
from internvideo.playground.language import OPPOSITES, captions
from internvideo.playground.phrases import slots
from internvideo.text import false_sentences, negated, opposite


@pytest.mark.parametrize(
    ("true", "false"),
    [
        ("a man is opening a door", "a man is closing a door"),
        ("someone enters and then leaves", "someone leaves and then enters"),
        ("she picks the big red cup up", "she puts the big red cup down"),
        ("a woman takes off a hat", "a woman puts on a hat"),
        ("two men walk into a room", "two men walk out of a room"),
        ("it moves in an anticlockwise circle", "it moves in a clockwise circle"),
        ("a ball goes up and then down", "a ball goes down and then up"),
        ("a car drives away from the house", "a car drives towards the house"),
    ],
)
def test_what_happens_is_turned_round(true, false):
    assert opposite(true) == false
    assert opposite(false) == true


@pytest.mark.parametrize(
    "sentence",
    [
        "a man on the left sings",
        "an open door next to a close friend",
        "people jump up and down",
        "a dog does not enter the room",
        "nobody opens the door",
    ],
)
def test_a_sentence_without_a_reversible_action_has_no_opposite(sentence):
    assert opposite(sentence) is None


@pytest.mark.parametrize(
    ("true", "false"),
    [
        ("a dog is running", "a dog is not running"),
        ("two dogs are slowly eating", "two dogs are not slowly eating"),
        ("a man opens the door", "a man does not open the door"),
    ],
)
def test_a_denial_is_put_in_and_taken_out(true, false):
    assert negated(true) == false
    assert negated(false) == true


def test_a_sentence_without_a_known_verb_is_not_negated():
    assert negated("a red disc on a table") is None


def test_false_sentences_are_of_the_kinds_asked_for():
    said = "a man opens the door"

    assert false_sentences(said, ("negated",)) == ("a man does not open the door",)
    assert len(false_sentences(said)) == 2
    assert false_sentences("a red disc") == ()


def test_the_lexicon_agrees_with_the_facts_of_the_playground():
    world = World(seed=3, side_px=64, rate_fps=8)
    drawn = [draw_facts(number, world) for number in range(80)]
    wrong = [
        (said, opposite(said))
        for facts in drawn
        for said in captions(facts)
        if _action(opposite(said)) != OPPOSITES.get(facts.action)
    ]

    assert not wrong


def _action(said: str | None) -> str | None:
    # The phrase book spells one of its turns "counterclockwise" alone.
    otherwise = said and said.replace("an anticlock", "a counterclock").replace("anti", "counter")
    return said and (slots(said)[2] or slots(otherwise)[2])
