"""Questions about a video with short answers, in the formats of published data sets.

Sources of the formats: MSRVTT-QA and MSVD-QA (lists of objects, one for each question) and TGIF-QA
(tab-separated: FrameQA, count, and the five choices of action and transition; without a validation
split). Names of videos are relative to `videos/`, without the ending.
Six kinds, of which a video has those that fit it: what, which colour, how many, which direction,
first or last, yes or no. Frames out of order tell neither a direction nor what comes first.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from internvideo.playground.facts import Facts
from internvideo.playground.language import OPPOSITES, alternatives
from internvideo.playground.phrases import JOINT, PHRASES, SECOND, conjugate

QUESTION_KINDS = (
    "what",
    "which colour",
    "how many",
    "which direction",
    "first or last",
    "yes or no",
)

_NUMBERS = ("none", "one", "two", "three", "four", "five", "six")
# Verb and direction of the actions that have one.
_DIRECTED = {
    "slide_right": ("slide", "right"),
    "slide_left": ("slide", "left"),
    "slide_down": ("slide", "down"),
    "slide_up": ("slide", "up"),
    "turn_clockwise": ("turn", "clockwise"),
    "turn_anticlockwise": ("turn", "anticlockwise"),
    "circle_clockwise": ("circle", "clockwise"),
    "circle_anticlockwise": ("circle", "anticlockwise"),
}
# What is so at one end of the video, and at which.
_ENDS = {
    "grow": ("big", "last"),
    "shrink": ("big", "first"),
    "appear": ("visible", "last"),
    "vanish": ("visible", "first"),
    "enter": ("in the picture", "last"),
    "leave": ("in the picture", "first"),
    "hide": ("hidden", "last"),
    "emerge": ("hidden", "first"),
    "approach": ("close together", "last"),
    "separate": ("close together", "first"),
}
_PHASES = {"rise_then_fall": ("rise", "fall"), "fall_then_rise": ("fall", "rise")}
_REPEATED = {"bounce": "bounces", "blink": "blinks", "shake": "swings"}
_FRAME_TYPES = {"what": 0, "how many": 1, "which colour": 2}
_NUM_CHOICES = 5
_TGIF_SPLITS = {"train": "Train", "test": "Test"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question of a kind, with its answer."""

    kind: str
    text: str
    answer: str


def questions(facts: Facts) -> tuple[Question, ...]:
    """Ask one question of each kind that fits the video, in the order of `QUESTION_KINDS`."""
    rng = _rng(facts, 0)
    asked = (
        _what(facts, rng),
        _colour(facts),
        _number(facts),
        _direction(facts),
        _order(facts, rng),
        _truth(facts, rng),
    )
    pairs = zip(QUESTION_KINDS, asked, strict=True)
    return tuple(
        Question(kind=kind, text=found[0], answer=found[1]) for kind, found in pairs if found
    )


class QuestionFiles:
    """Collects the rows of all files of questions, video by video."""

    def __init__(self) -> None:
        self._lists: dict[str, list[dict[str, object]]] = defaultdict(list)
        self._tables: dict[str, list[list[object]]] = defaultdict(list)
        self._mapping: list[str] = []
        self._num = 0

    def add(self, facts: Facts) -> None:
        """Add the questions about a video."""
        video = facts.path.removeprefix("videos/").removesuffix(".mp4")
        self._mapping.append(f"{video} vid{len(self._mapping) + 1}")
        asked = questions(facts)
        for one in asked:
            entry = {"answer": one.answer, "category_id": 0, "id": self._num, "question": one.text}
            self._lists[f"msrvtt_qa/{facts.split}_qa.json"].append(
                {**entry, "type": one.kind, "video_id": video}
            )
            if one.kind in _FRAME_TYPES:
                self._lists[f"msvd_qa/{facts.split}_qa.json"].append(
                    {**entry, "type": one.kind, "video_id": len(self._mapping)}
                )
            self._num += 1
        if facts.split in _TGIF_SPLITS:
            self._add_tgif(facts, video, asked)

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield the name and the text of every file."""
        for name, entries in self._lists.items():
            yield name, json.dumps(entries) + "\n"
        yield "msvd_qa/youtube_mapping.txt", "".join(f"{line}\n" for line in self._mapping)
        for name, rows in self._tables.items():
            head = _TGIF_HEADERS[name.split("_")[-2]]
            lines = ["\t".join(map(str, row)) for row in [head, *rows]]
            yield name, "".join(f"{line}\n" for line in lines)

    def _add_tgif(self, facts: Facts, video: str, asked: tuple[Question, ...]) -> None:
        split, key, name = _TGIF_SPLITS[facts.split], facts.index, _subject(facts)
        for one in asked:
            if one.kind in _FRAME_TYPES:
                rows = self._tables[f"tgif_qa/{split}_frameqa_question.csv"]
                number = _FRAME_TYPES[one.kind]
                rows.append(
                    [video, one.text, one.answer, number, f"FRAMEQA{key}_{number}", key, ""]
                )
        if facts.action in _REPEATED:
            times = round(facts.events[0].parameters[_REPEATED[facts.action]])
            verb = facts.action
            self._tables[f"tgif_qa/{split}_count_question.csv"].append(
                [video, f"how many times does {name} {verb} ?", times, f"COUNT{key}", key]
            )
            self._add_choice(
                facts, "action", video, f"what does {name} do {times} times ?", verb, f"ACTION{key}"
            )
        if facts.action in _PHASES:
            before, after = _PHASES[facts.action]
            text = f"what does {name} do after it {before}s ?"
            self._add_choice(facts, "transition", video, text, after, f"TRANS{key}")

    def _add_choice(
        self, facts: Facts, part: str, video: str, text: str, answer: str, number: str
    ) -> None:
        rng = _rng(facts, 1)
        verbs = ["rise", "fall", "slide", "turn", "grow", "shrink", *_REPEATED]
        others = [verb for verb in verbs if verb != answer]
        if part == "transition":  # what it does before is not what it does after
            first = next(verb for verb in _PHASES[facts.action] if verb != answer)
            others = [first, *(verb for verb in others if verb not in ("rise", "fall"))]
            options = [others[0], *rng.permutation(others[1:])[: _NUM_CHOICES - 2].tolist()]
        else:
            options = rng.permutation(others)[: _NUM_CHOICES - 1].tolist()
        place = int(rng.integers(_NUM_CHOICES))
        options.insert(place, answer)
        split = _TGIF_SPLITS[facts.split]
        self._tables[f"tgif_qa/{split}_{part}_question.csv"].append(
            [video, text, *options, place, number, facts.index]
        )


_CHOICE_HEADER: list[object] = [
    *("gif_name", "question", "a1", "a2", "a3", "a4", "a5", "answer", "vid_id", "key"),
]
_TGIF_HEADERS: dict[str, list[object]] = {
    "frameqa": ["gif_name", "question", "answer", "type", "vid_id", "key", "description"],
    "count": ["gif_name", "question", "answer", "vid_id", "key"],
    "action": _CHOICE_HEADER,
    "transition": _CHOICE_HEADER,
}


def _what(facts: Facts, rng: np.random.Generator) -> tuple[str, str]:
    """Ask for the shape of what acts, or for what it does, whatever its direction."""
    doing = _doing(facts)
    if facts.action not in JOINT and rng.random() < 0.5:
        return f"what is {doing}?", facts.subject.shape
    return f"what {_are(facts)} {_cast(facts)} doing?", doing


def _colour(facts: Facts) -> tuple[str, str] | None:
    """Ask for the colour of the subject, by its shape where no other thing has it."""
    shapes = [thing.look.shape for thing in (*facts.actors, *facts.distractors)]
    if shapes.count(facts.subject.shape) == 1:
        return f"which colour is the {facts.subject.shape}?", facts.subject.colour
    if facts.action in JOINT:
        return None
    return f"which colour is the thing that is {_doing(facts)}?", facts.subject.colour


def _number(facts: Facts) -> tuple[str, str]:
    return "how many things are there?", _NUMBERS[len(facts.actors) + len(facts.distractors)]


def _direction(facts: Facts) -> tuple[str, str] | None:
    if facts.action not in _DIRECTED:
        return None
    verb, direction = _DIRECTED[facts.action]
    return f"in which direction does {_subject(facts)} {verb}?", direction


def _order(facts: Facts, rng: np.random.Generator) -> tuple[str, str] | None:
    """Ask what comes first or last, or when something is so."""
    if facts.action in _PHASES:
        place = int(rng.integers(2))
        text = f"what does {_subject(facts)} do {('first', 'last')[place]}?"
        return text, _PHASES[facts.action][place]
    if facts.action not in _ENDS:
        return None
    state, answer = _ENDS[facts.action]
    return f"when {_are(facts)} {_cast(facts)} {state}, first or last?", answer


def _truth(facts: Facts, rng: np.random.Generator) -> tuple[str, str]:
    """Ask whether something is there, or happens; half of the questions have the answer no."""
    is_true = bool(rng.random() < 0.5)
    if facts.action in OPPOSITES and rng.random() < 0.5:
        action = facts.action if is_true else OPPOSITES[facts.action]
        does = conjugate(PHRASES[action][0], "plain").replace(SECOND, "another thing")
        return f"{'do' if facts.action in JOINT else 'does'} {_cast(facts)} {does}?", _yes(is_true)
    look = facts.subject
    if not is_true:
        other = alternatives(facts, "colour" if rng.random() < 0.5 else "shape")
        there = {(thing.look.shape, thing.look.colour) for thing in facts.distractors}
        absent = [o.subject for o in other if (o.subject.shape, o.subject.colour) not in there]
        look = absent[int(rng.integers(len(absent)))]
    article = "an" if look.colour[0] in "aeiou" else "a"
    return f"is there {article} {look.colour} {look.shape}?", _yes(is_true)


def _yes(is_true: bool) -> str:
    return "yes" if is_true else "no"


def _doing(facts: Facts) -> str:
    """What is done, without its direction."""
    phrase = PHRASES[facts.action][0]
    if facts.action in _DIRECTED:
        phrase = f"{{{_DIRECTED[facts.action][0]}}}"
    if facts.action in _PHASES:
        return "rising and falling"
    return conjugate(phrase.replace(SECOND, "something"), "ing")


def _are(facts: Facts) -> str:
    return "are" if facts.action in JOINT else "is"


def _cast(facts: Facts) -> str:
    if facts.action not in JOINT:
        return _subject(facts)
    looks = [facts.actors[actor].look for actor in facts.events[0].actors]
    return " and ".join(f"the {look.colour} {look.shape}" for look in looks)


def _subject(facts: Facts) -> str:
    return f"the {facts.subject.colour} {facts.subject.shape}"


def _rng(facts: Facts, number: int) -> np.random.Generator:
    return np.random.default_rng((facts.seed, 7, facts.index + 1, number))
