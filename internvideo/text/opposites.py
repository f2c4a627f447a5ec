"""False sentences that differ from a true one only in time or in a denial.

`opposite("a man opens the door")` is "a man closes the door"; `negated("a dog is running")` is "a
dog is not running". What is shown of both shares its objects and places, so only a model that
reads the order of frames, or the word "not", prefers the true one.
Sources of the idea: RTime (arXiv:2412.19178), TARA (arXiv:2512.13511), NegBench (arXiv:2501.09425).
The rules are a short English lexicon of verbs, particles and directions; a sentence that none of
them fits has no opposite. They do not know what else is true of a video.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Literal

PairKind = Literal["opposite", "negated"]
PAIR_KINDS: tuple[PairKind, ...] = ("opposite", "negated")

# Each way of a pair; the first word is the verb, which is inflected.
_PAIRS = (
    *("enter = leave", "open = close", "appear = disappear", "grow = shrink", "rise = fall"),
    *("expand = contract", "load = unload", "lock = unlock", "fold = unfold"),
    *("wrap = unwrap", "tie = untie", "cover = uncover", "connect = disconnect", "lift = lower"),
    *("attach = detach", "inflate = deflate", "freeze = melt", "accelerate = decelerate"),
    *("fade in = fade out", "slip into sight = slip out of sight", "get bigger = get smaller"),
    *("become larger = become smaller", "get on = get off", "get in = get out"),
    *("sit down = stand up", "lie down = get up", "speed up = slow down"),
    *("come into view = go out of view", "slip into sight from behind = slip out of sight behind"),
    *("approach = move away from", "move towards = move away from", "come together = move apart"),
    *("emerge from behind = hide behind", "come out from behind = take cover behind"),
)
# One way only: words for what has its opposite above.
_SYNONYMS = (
    *("vanish = appear", "raise = lower", "drift apart = come together"),
    *("become visible = disappear", "become invisible = appear"),
    *("move into the frame = move out of the frame", "move out of the frame = move into the frame"),
)
# The object may stand between verb and particle: "picks a cup up".
_SEPARABLE = (
    *("pick up = put down", "put on = take off", "turn on = turn off", "switch on = switch off"),
)
# Where these go says a direction, which is turned round.
_MOTIONS = (
    *("move", "go", "slide", "glide", "walk", "run", "come", "drive", "ride", "fly", "roll"),
    *("step", "jump", "climb", "crawl", "swim", "float", "push", "pull", "turn", "look", "swipe"),
)
_DIRECTIONS = (
    *("right = left", "rightwards = leftwards", "up = down", "upwards = downwards"),
    *("upstairs = downstairs", "forwards = backwards", "forward = backward", "top = bottom"),
    *("into = out of", "inside = outside", "towards = away from"),
)
_TURNS = {
    "a clockwise": "an anticlockwise",
    "an anticlockwise": "a clockwise",
    "clockwise": "anticlockwise",
    "anticlockwise": "clockwise",
    "counterclockwise": "clockwise",
}
# Further verbs of captions, and of what is told in an order.
_COMMON = (
    *("play", "talk", "speak", "sing", "dance", "cook", "cut", "eat", "drink", "hold", "make"),
    *("throw", "catch", "kick", "hit", "show", "explain", "clean", "wash", "paint", "draw"),
    *("write", "read", "drop", "circle", "rotate", "spin", "bounce", "shake", "blink", "pass"),
    *("zigzag", "chase", "collide", "swap", "hop", "tremble", "flash", "shove", "nudge"),
    *("pursue", "bump"),
)
_IRREGULAR = {
    "get": ("gets", "getting"),
    "run": ("runs", "running"),
    "come": ("comes", "coming"),
    "lie": ("lies", "lying"),
    "put": ("puts", "putting"),
    "sit": ("sits", "sitting"),
    "tie": ("ties", "tying"),
    "untie": ("unties", "untying"),
    "slip": ("slips", "slipping"),
    "step": ("steps", "stepping"),
    "swim": ("swims", "swimming"),
    "cut": ("cuts", "cutting"),
    "hit": ("hits", "hitting"),
    "drop": ("drops", "dropping"),
    "spin": ("spins", "spinning"),
    "swap": ("swaps", "swapping"),
    "hop": ("hops", "hopping"),
    "zigzag": ("zigzags", "zigzagging"),
}
# As they stand these are as often adjectives, nouns or adverbs ("an open door", "close to").
_AMBIGUOUS = frozenset(
    {
        *("open", "close", "lower", "lock", "fold", "tie", "cover", "freeze", "leave", "contract"),
        *("lift", "load", "wrap", "rise", "fall", "raise"),
    }
)
_DENIED = re.compile(r"\b(?:not|never|nothing(?! else)|nobody|without)\b|n't\b")


def opposite(sentence: str) -> str | None:
    """Turn what happens round in time, everywhere in a sentence; None where nothing is known.

    >>> opposite("a man picks a cup up and leaves the room")
    'a man puts a cup down and enters the room'
    >>> opposite("it rises and then falls")
    'it falls and then rises'
    >>> opposite("a dog on the left")
    """
    if _DENIED.search(sentence):
        return None  # what does not happen may be as untrue turned round
    turned = _opposite_pattern().sub(_turn, sentence)
    return None if turned == sentence else turned


def negated(sentence: str) -> str | None:
    """Deny what happens, or take a denial away; None where no known verb is found.

    >>> negated("a dog is running"), negated("a dog is not running"), negated("it opens the box")
    ('a dog is not running', 'a dog is running', 'it does not open the box')
    """
    for pattern, change in _negations():
        changed, count = pattern.subn(change, sentence, count=1)
        if count:
            return changed
    return None


def false_sentences(sentence: str, kinds: tuple[PairKind, ...] = PAIR_KINDS) -> tuple[str, ...]:
    """The opposite and the negation of a sentence, as far as it has them."""
    makers = {"opposite": opposite, "negated": negated}
    return tuple(said for kind in kinds if (said := makers[kind](sentence)) is not None)


def time_pairs(sentence: str) -> dict[str, tuple[str, str]]:
    """A true and a false sentence of each kind that a true sentence gives.

    "opposite" and "negated" set the sentence beside its opposite and its negation. Of "denied" both
    hold the word "not", which gives nothing away.

    >>> time_pairs("a dog enters")["denied"]
    ('a dog does not leave', 'a dog does not enter')
    """
    turned, denied = opposite(sentence), negated(sentence)
    found = {}
    if turned is not None:
        found["opposite"] = (sentence, turned)
    if denied is not None:
        found["negated"] = (sentence, denied)
    if turned is not None and denied is not None and (true := negated(turned)) is not None:
        found["denied"] = (true, denied)
    return found


def _inflections(verb: str) -> tuple[str, str, str]:
    """Plain form, third person, and -ing."""
    if verb in _IRREGULAR:
        return (verb, *_IRREGULAR[verb])
    third = verb + ("es" if verb.endswith(("s", "sh", "ch", "x", "go")) else "s")
    return verb, third, f"{verb.removesuffix('e')}ing"


def _both_ways(pairs: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for pair in pairs:
        one, other = pair.split(" = ")
        yield from ((one, other), (other, one))


def _inflected(phrase: str, form: int) -> str:
    verb, _, rest = phrase.partition(" ")
    return f"{_inflections(verb)[form]} {rest}".rstrip()


@cache
def _phrases() -> dict[str, str]:
    """Every inflection of every phrase, and its opposite in the same inflection."""
    one_way = [tuple(pair.split(" = ")) for pair in _SYNONYMS]
    found = {}
    for phrase, other in [*_both_ways(_PAIRS), *one_way]:
        for form in range(3):
            if form or phrase not in _AMBIGUOUS:
                found[_inflected(phrase, form)] = _inflected(other, form)
    return found


@cache
def _separable() -> dict[tuple[str, str], tuple[str, str]]:
    """Verb form and particle, and those of the opposite."""
    found = {}
    for phrase, other in _both_ways(_SEPARABLE):
        (verb, particle), (other_verb, other_particle) = phrase.split(), other.split()
        for form in range(3):
            found[_inflections(verb)[form], particle] = (
                _inflections(other_verb)[form],
                other_particle,
            )
    return found


def _any_of(words: Iterator[str] | tuple[str, ...] | dict[str, str] | set[str]) -> str:
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))


@cache
def _opposite_pattern() -> re.Pattern[str]:
    verbs = {verb for verb, _ in _separable()}
    particles = {particle for _, particle in _separable()}
    motions = {form for verb in _MOTIONS for form in _inflections(verb)}
    told = {form for verb in _known_verbs() for form in _inflections(verb)} | {"up", "down"}
    gap = r"(?: [\w-]+){0,4}?"
    return re.compile(
        rf"\b(?P<first>{_any_of(told)}) and then (?P<then>{_any_of(told)})\b"
        rf"|\b(?P<phrase>{_any_of(_phrases())})\b"
        rf"|\b(?P<verb>{_any_of(verbs)})(?P<object>{gap}) (?P<particle>{_any_of(particles)})\b"
        rf"|\b(?P<motion>{_any_of(motions)})(?P<gap>(?: (?:to|the|straight|slowly|back)){{0,2}}) "
        rf"(?P<direction>{_any_of(dict(_both_ways(_DIRECTIONS)))})\b"
        r"(?! and (?:then )?(?:up|down|left|right))"
        rf"|\b(?P<turn>{_any_of(_TURNS)})\b"
    )


def _turn(found: re.Match[str]) -> str:
    if found["first"]:
        return f"{found['then']} and then {found['first']}"
    if found["phrase"]:
        return _phrases()[found["phrase"]]
    if found["verb"]:
        pair = _separable().get((found["verb"], found["particle"]))
        return found[0] if pair is None else f"{pair[0]}{found['object']} {pair[1]}"
    if found["motion"]:
        direction = dict(_both_ways(_DIRECTIONS))[found["direction"]]
        return f"{found['motion']}{found['gap']} {direction}"
    return _TURNS[found["turn"]]


@cache
def _known_verbs() -> frozenset[str]:
    phrases = [phrase for pairs in (_PAIRS, _SEPARABLE) for phrase, _ in _both_ways(pairs)]
    phrases += [pair.split(" = ")[0] for pair in _SYNONYMS]
    return frozenset(phrase.split()[0] for phrase in phrases) | {*_MOTIONS, *_COMMON}


@cache
def _negations() -> tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]:
    """What to look for, in this order, and what becomes of it."""
    plain_of = {_inflections(verb)[1]: verb for verb in _known_verbs()}
    third_of = {verb: third for third, verb in plain_of.items()}
    return (
        (re.compile(r"\b(is|are|was|were) not\b"), r"\1"),
        (re.compile(r"\bdo not "), ""),
        (
            re.compile(rf"\bdoes not ({_any_of(third_of)})\b"),
            lambda found: third_of[found[1]],
        ),
        (re.compile(r"\b(is|are|was|were)((?: \w+ly)? \w+ing)\b"), r"\1 not\2"),
        (
            re.compile(rf"\b({_any_of(plain_of)})\b"),
            lambda found: f"does not {plain_of[found[1]]}",
        ),
    )
