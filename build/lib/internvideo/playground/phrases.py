"""The words of the playground's captions, and the way back from a caption to what it says.

A phrase is written with its verbs in braces, in their plain form, so that one entry gives "slides
right" and "sliding right". No two actions share a phrase and none contains another's, so a caption
says one action, whatever words it takes.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

Form = Literal["plain", "third", "ing"]
Slots = tuple[str | None, str | None, str | None]

# The first of each is the word of the plain caption; further colours are rare.
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red", "scarlet"),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "green": ("green",),
    "cyan": ("cyan", "turquoise"),
    "blue": ("blue",),
    "purple": ("purple", "violet"),
    "white": ("white",),
}
SHAPE_WORDS: dict[str, tuple[str, ...]] = {
    "disc": ("disc", "circle"),
    "square": ("square", "box"),
    "triangle": ("triangle", "three-cornered shape"),
    "star": ("star", "star shape"),
    "ring": ("ring", "hoop"),
    "cross": ("cross", "plus sign"),
    "heart": ("heart", "heart shape"),
    "moon": ("moon", "crescent"),
}
SIZE_WORDS: dict[str, tuple[str, ...]] = {
    "small": ("small", "little"),
    "medium": ("middle-sized", "medium-sized"),
    "large": ("large", "big"),
}
TEXTURE_WORDS: dict[str, tuple[str, ...]] = {
    "plain": ("plain", "unpatterned"),
    "stripes": ("striped", "stripy"),
    "dots": ("dotted", "spotted"),
    "checks": ("chequered", "checked"),
}

SECOND = "[something]"

PHRASES: dict[str, tuple[str, ...]] = {
    "slide_right": ("{slide} right", "{move} to the right", "{glide} rightwards"),
    "slide_left": ("{slide} left", "{move} to the left", "{glide} leftwards"),
    "slide_down": ("{slide} down", "{move} downwards", "{glide} to the bottom"),
    "slide_up": ("{slide} up", "{move} upwards", "{glide} to the top"),
    "turn_clockwise": ("{turn} clockwise", "{rotate} clockwise", "{spin} clockwise"),
    "turn_anticlockwise": (
        "{turn} anticlockwise",
        "{rotate} counterclockwise",
        "{spin} anticlockwise",
    ),
    "grow": ("{grow}", "{get} bigger", "{expand}", "{become} larger"),
    "shrink": ("{shrink}", "{get} smaller", "{contract}", "{become} smaller"),
    "appear": ("{appear}", "{fade} in", "{become} visible"),
    "vanish": ("{vanish}", "{fade} out", "{disappear}"),
    "approach": ("{approach} each other", "{move} towards each other", "{come} together"),
    "separate": ("{move} apart", "{drift} apart", "{move} away from each other"),
    "rise_then_fall": (
        "{rise} and then {fall}",
        "{climb} and then {drop}",
        "{go} up and then down",
    ),
    "fall_then_rise": (
        "{fall} and then {rise}",
        "{drop} and then {climb}",
        "{go} down and then up",
    ),
    "circle_clockwise": (
        "{circle} clockwise",
        "{go} round clockwise",
        "{move} in a clockwise circle",
    ),
    "circle_anticlockwise": (
        "{circle} anticlockwise",
        "{go} round anticlockwise",
        "{move} in a counterclockwise circle",
    ),
    "enter": ("{enter} the picture", "{come} into view", "{move} into the frame"),
    "leave": ("{leave} the picture", "{go} out of view", "{move} out of the frame"),
    "hide": (
        f"{{hide}} behind {SECOND}",
        f"{{take}} cover behind {SECOND}",
        f"{{slip}} out of sight behind {SECOND}",
    ),
    "emerge": (
        f"{{emerge}} from behind {SECOND}",
        f"{{come}} out from behind {SECOND}",
        f"{{slip}} into sight from behind {SECOND}",
    ),
    "zigzag": ("{zigzag}", "{move} in a zigzag", "{follow} a jagged path"),
    "bounce": ("{bounce}", "{hop}", "{jump} up and down"),
    "shake": ("{shake}", "{tremble}", "{wobble} from side to side"),
    "blink": ("{blink}", "{flash} on and off", "{flicker}"),
    "pass_behind": (
        f"{{pass}} behind {SECOND}",
        f"{{move}} past behind {SECOND}",
        f"{{go}} by behind {SECOND}",
    ),
    "push": (f"{{push}} {SECOND}", f"{{shove}} {SECOND}", f"{{nudge}} {SECOND}"),
    "chase": (f"{{chase}} {SECOND}", f"{{run}} after {SECOND}", f"{{pursue}} {SECOND}"),
    "swap": ("{swap} places", "{change} places", "{trade} positions"),
    "collide": (
        f"{{collide}} with {SECOND}",
        f"{{bump}} into {SECOND}",
        f"{{crash}} into {SECOND}",
    ),
}

# What two do together: "A and B move apart".
JOINT = frozenset({"approach", "separate", "swap"})

_DOUBLED = frozenset({"get", "spin", "drop", "slip", "hop", "run", "swap", "zigzag"})


def conjugate(phrase: str, form: Form) -> str:
    """Put the verbs of a phrase into a form: slide, slides, sliding."""
    return re.sub(r"\{(\w+)\}", lambda verb: _VERB_FORMS[form](verb[1]), phrase)


def doing(action: str) -> str:
    """Name an action as prompts want it, what something is doing.

    >>> doing("slide_right"), doing("push")
    ('sliding right', 'pushing another shape')
    """
    return conjugate(PHRASES[action][0].replace(SECOND, "another shape"), "ing")


def _third(verb: str) -> str:
    return verb + ("es" if verb.endswith(("s", "sh", "ch", "go")) else "s")


def _ing(verb: str) -> str:
    stem = verb + verb[-1] if verb in _DOUBLED else verb.removesuffix("e")
    return stem + "ing"


_VERB_FORMS = {"plain": str, "third": _third, "ing": _ing}


def slots(caption: str) -> Slots:
    """Read colour, shape and action of the subject out of a caption; None for what is not there.

    The inverse of the grammar, whatever sentence and synonyms it took. Meant for what a network
    writes as well: the subject is the first thing named before the action.
    """
    text = " ".join(re.findall(r"[\w-]+", caption.lower()))
    acting = _find(_action_words(), text)
    before = text[: acting.start()] if acting else text
    shape = _find(_SHAPES_OF_WORDS, before)
    colour = _find(_COLOURS_OF_WORDS, before[: shape.start()] if shape else before)
    return (
        _COLOURS_OF_WORDS[colour[0]] if colour else None,
        _SHAPES_OF_WORDS[shape[0]] if shape else None,
        _action_words()[acting[0]] if acting else None,
    )


_COLOURS_OF_WORDS = {word: colour for colour, words in COLOUR_WORDS.items() for word in words}
_SHAPES_OF_WORDS = {word: shape for shape, words in SHAPE_WORDS.items() for word in words}


@cache
def _action_words() -> dict[str, str]:
    """Map every spelling of every phrase, without its second part, to its action."""
    return {
        conjugate(phrase, form).removesuffix(f" {SECOND}"): action
        for action, phrases in PHRASES.items()
        for phrase in phrases
        for form in ("plain" if action in JOINT else "third", "ing")
    }


def _find(words: dict[str, str], text: str) -> re.Match[str] | None:
    return _pattern(tuple(words)).search(text)


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")
