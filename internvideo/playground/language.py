"""What can be said of a video: captions in several words, and false ones with one slot changed.

A grammar writes them from the facts. Every caption names colour, shape and action of the subject,
then perhaps size, texture, background and what else is there; `phrases.slots` reads the three
back. The choice of words follows from the video's seed and number, so a caption of changed facts
is the same sentence with other words in one slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from internvideo.playground.actions import ACTIONS, PAIRS
from internvideo.playground.appearance import COLOURS, ROUND_SHAPES, SHAPES
from internvideo.playground.facts import Actor, Facts, Look
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

Slot = Literal["colour", "shape", "motion", "opposite"]
SLOTS: tuple[Slot, ...] = ("colour", "shape", "motion", "opposite")

NUM_CAPTIONS = 5
NUM_IMAGE_CAPTIONS = 3

OPPOSITES = {**dict(PAIRS), **{second: first for first, second in PAIRS}}

_RARE = 0.1
# Brightness of a background below and above which it is called dark and light.
_DARK, _LIGHT = 90, 145
_GROUNDS = {
    "gradient": "smooth gradient",
    "clouds": "cloudy pattern",
    "waves": "wavy pattern",
    "tiles": "pattern of tiles",
    "spots": "pattern of soft spots",
}
_SLIDES = frozenset({"slide_right", "slide_left", "slide_down", "slide_up"})
# What one may also say of a video of an action, so that it is no false answer.
_ALSO_TRUE: dict[str, frozenset[str]] = {
    "appear": frozenset({"enter"}),
    "vanish": frozenset({"leave"}),
    "enter": _SLIDES | {"appear"},
    "leave": _SLIDES | {"vanish"},
    "rise_then_fall": frozenset({"slide_up", "slide_down", "bounce"}),
    "fall_then_rise": frozenset({"slide_up", "slide_down", "bounce"}),
    "zigzag": _SLIDES | {"bounce"},
    "bounce": _SLIDES | {"rise_then_fall", "fall_then_rise", "zigzag"},
    "blink": frozenset({"appear", "vanish"}),
    "approach": frozenset({"collide"}),
    "hide": frozenset({"approach"}),
    "emerge": frozenset({"separate"}),
    "pass_behind": frozenset({"hide", "emerge", "approach", "separate"}),
    "push": frozenset({"collide", "approach", "chase"}),
    "collide": frozenset({"approach", "separate"}),
}


def captions(facts: Facts) -> tuple[str, ...]:
    """Say what happens in `NUM_CAPTIONS` ways, all distinct, the plain sentence first.

    Three are one sentence, the others two and three.
    """
    return tuple(caption(facts, number) for number in range(NUM_CAPTIONS))


def caption(facts: Facts, number: int = 0) -> str:
    """Write one of `captions`: plain, reworded, described, with one and with two more sentences."""
    phrases = PHRASES[facts.action]
    if number == 0:
        return _told(facts, phrases[0], [_named(thing.look) for thing in _cast(facts)], way=0)
    rng = _rng(facts, number)
    phrase = _choose(rng, phrases[1:] if number == 1 else phrases)
    name = _described if number == 2 else _reworded
    things = [name(thing, rng) for thing in _cast(facts)]
    told = _told(facts, phrase, things, way=int(rng.integers(4)))
    details = (_look_detail, _background_detail, _company_detail)
    chosen = rng.permutation(len(details))[: max(0, number - 2)]
    return ". ".join([told, *(details[place](facts, rng) for place in chosen)])


def denied(facts: Facts) -> str:
    """Deny what the plain caption says, which is false of the video."""
    things = [_named(thing.look) for thing in _cast(facts)]
    is_joint = facts.action in JOINT
    who, does = (" and ".join(things), "do") if is_joint else (things[0], "does")
    phrase = conjugate(PHRASES[facts.action][0], "plain").replace(SECOND, things[-1])
    return f"{who} {does} not {phrase}"


def image_captions(facts: Facts) -> tuple[str, ...]:
    """Describe a single frame in which all actors show, without a word on motion."""
    ground, rng = _ground(facts), _rng(facts, NUM_CAPTIONS)
    plain = " and ".join(_named(thing.look) for thing in _cast(facts))
    described, again = (
        " and ".join(_described(thing, rng) for thing in _cast(facts)) for _ in range(2)
    )
    opening = _choose(rng, ("a picture of", "an image with", "we see"))
    return (
        plain,
        described,
        f"{opening} {again} on {ground}. {_company_detail(facts, rng)}",
    )


def alternatives(facts: Facts, slot: Slot, *, who: int = 0) -> tuple[Facts, ...]:
    """List all facts that differ in one slot of what is said, and are false.

    Looks are changed of the subject, or of the other that acts (`who` 1). Left out are looks
    that are there, what may also be said of such a video (something that collides has approached),
    and turning of what is round. Only actions with as many actors replace one another. "opposite"
    is the other action of the pair, if there is one.
    """
    if slot in ("motion", "opposite"):
        return tuple(_acting(facts, action) for action in _other_actions(facts, slot))
    cast = [thing.look for thing in _cast(facts)]
    there = {(look.shape, look.colour) for look in cast}
    if slot == "colour":
        looks = [replace(cast[who], colour=colour) for colour in COLOURS]
    else:
        is_turning = ACTIONS[facts.action].must_show_turning
        shapes = [shape for shape in SHAPES if not (is_turning and shape in ROUND_SHAPES)]
        looks = [replace(cast[who], shape=shape) for shape in shapes]
    return tuple(
        _looking(facts, who, look) for look in looks if (look.shape, look.colour) not in there
    )


def changed(
    facts: Facts, slot: Slot, rng: np.random.Generator, *, number: int = 0
) -> tuple[str, ...]:
    """Write caption `number` with the slot changed, in every way that is false, in drawn order."""
    said = [caption(other, number) for other in alternatives(facts, slot)]
    return tuple(said[place] for place in rng.permutation(len(said)))


def negatives(facts: Facts, *, number: int = 0) -> dict[Slot, tuple[str, ...]]:
    """Write caption `number` with one slot changed, for every slot."""
    return {
        slot: tuple(caption(other, number) for other in alternatives(facts, slot)) for slot in SLOTS
    }


def meaning(facts: Facts) -> tuple[object, ...]:
    """What the plain caption says; equal for two that say the same, whoever is named first."""
    looks = [(thing.look.colour, thing.look.shape) for thing in _cast(facts)]
    is_mutual = facts.action in JOINT or facts.action == "collide"
    return (facts.action, *(sorted(looks) if is_mutual else looks))


def meanings(facts: Facts) -> frozenset[tuple[object, ...]]:
    """List what plain captions that are true of the video say, its own and looser ones."""
    actions = (facts.action, *_ALSO_TRUE.get(facts.action, ()))
    return frozenset(meaning(_acting(facts, action)) for action in actions)


def _rng(facts: Facts, number: int) -> np.random.Generator:
    return np.random.default_rng((facts.seed, 2, facts.index + 1, number))


def _choose(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.random() * len(options))]


def _cast(facts: Facts) -> list[Actor]:
    return [facts.actors[actor] for actor in facts.events[0].actors]


def _told(facts: Facts, phrase: str, things: list[str], *, way: int) -> str:
    """Make the sentence: who, and one of four ways to say what it does."""
    is_joint = facts.action in JOINT
    who = " and ".join(things) if is_joint else things[0]
    does = conjugate(phrase, "plain" if is_joint else "third")
    doing = conjugate(phrase, "ing")
    sentence = (
        f"{who} {does}",
        f"{who} {'are' if is_joint else 'is'} {doing}",
        f"{who} {doing}",
        f"we see {who} {doing}",
    )[way]
    return sentence.replace(SECOND, things[-1])


def _named(look: Look) -> str:
    return _with_article(f"{COLOUR_WORDS[look.colour][0]} {SHAPE_WORDS[look.shape][0]}")


def _reworded(thing: Actor, rng: np.random.Generator) -> str:
    return _with_article(f"{_colour(thing, rng)} {_choose(rng, SHAPE_WORDS[thing.look.shape])}")


def _described(thing: Actor, rng: np.random.Generator) -> str:
    words = [_colour(thing, rng), _choose(rng, SHAPE_WORDS[thing.look.shape])]
    words.insert(int(rng.integers(2)), _choose(rng, TEXTURE_WORDS[thing.look.texture]))
    return _with_article(" ".join([*_size(thing, rng), *words]))


def _colour(thing: Actor, rng: np.random.Generator) -> str:
    return COLOUR_WORDS[thing.look.colour][-1 if rng.random() < _RARE else 0]


def _size(thing: Actor, rng: np.random.Generator) -> list[str]:
    """Give the word for the size, or nothing where it does not last."""
    word = _choose(rng, SIZE_WORDS[thing.look.size])
    return [word] if len(thing.radius) == 1 else []


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _look_detail(facts: Facts, rng: np.random.Generator) -> str:
    thing = _cast(facts)[-1]
    looks = [*_size(thing, rng), _choose(rng, TEXTURE_WORDS[thing.look.texture])]
    return f"the {thing.look.colour} {thing.look.shape} is {' and '.join(looks)}"


def _background_detail(facts: Facts, rng: np.random.Generator) -> str:
    return _choose(rng, ("in the background is {}", "the background is {}")).format(_ground(facts))


def _ground(facts: Facts) -> str:
    behind = facts.background
    brightness = (sum(behind.near) + sum(behind.far)) / 6
    shade = "dark" if brightness < _DARK else "light" if brightness > _LIGHT else "grey"
    return f"a {shade} {_GROUNDS[behind.kind]}"


def _company_detail(facts: Facts, rng: np.random.Generator) -> str:
    others = [_named(thing.look) for thing in facts.distractors]
    if not others:
        return _choose(rng, ("nothing else is there", "there is nothing else"))
    *most, last = others
    listed = f"{', '.join(most)} and {last}" if most else last
    return _choose(rng, ("there is also {}", "elsewhere there is {}")).format(listed)


def _other_actions(facts: Facts, slot: Slot) -> list[str]:
    """List the actions that take as many actors and are false of this video."""
    if slot == "opposite":
        return [OPPOSITES[facts.action]] if facts.action in OPPOSITES else []
    num_parts, is_round = len(ACTIONS[facts.action].sizes), facts.subject.shape in ROUND_SHAPES
    also_true = _ALSO_TRUE.get(facts.action, frozenset())
    return [
        name
        for name, action in ACTIONS.items()
        if len(action.sizes) == num_parts
        and name != facts.action
        and name not in also_true
        and not (is_round and action.must_show_turning)
    ]


def _acting(facts: Facts, action: str) -> Facts:
    return replace(facts, events=(replace(facts.events[0], action=action), *facts.events[1:]))


def _looking(facts: Facts, who: int, look: Look) -> Facts:
    actor = facts.events[0].actors[who]
    actors = list(facts.actors)
    actors[actor] = replace(actors[actor], look=look)
    return replace(facts, actors=tuple(actors))
