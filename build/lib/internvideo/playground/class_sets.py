"""Which actions a model is told of: three overlapping vintages, and known and unknown classes.

Vintages are to the actions what Kinetics-400, 600 and 700 are to theirs: later ones have more
classes, some of them renamed, split or merged, and one is dropped; and each draws its splits anew,
so that a video to train on in one is evaluated on in another. They are written in the format of
Kinetics, so that what builds Kinetics-710 builds their union as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from internvideo.playground.actions import ACTIONS
from internvideo.playground.compose import place_of
from internvideo.playground.facts import Facts

# Never in the training files of open-set recognition. Two pairs and four without a partner; some
# look like a known class (circling like turning, blinking like appearing), some like none.
UNKNOWN_ACTIONS = frozenset(
    {
        *("circle_clockwise", "circle_anticlockwise", "hide", "emerge"),
        *("zigzag", "blink", "chase", "collide"),
    }
)

# Older names and the newer ones, as the fifteen of Kinetics.
RENAMED_CLASSES = {
    "contract": "shrink",
    "expand": "grow",
    "glide_left": "slide_left",
    "glide_right": "slide_right",
    "tremble": "shake",
}

KINETICS_HEADER: list[object] = ["label", "youtube_id", "time_start", "time_end", "split"]


@dataclass(frozen=True, kw_only=True, slots=True)
class VintageSet:
    """The class that each action has in a vintage, and where the ten videos of a turn go.

    `places` are numbers from 0 to 9; see `compose`, by whose splits 3 is validation, 1 and 5 are
    test, and the others training.
    """

    classes: dict[str, str]
    places: dict[str, frozenset[int]]

    def split_of(self, place: int) -> str | None:
        return next((split for split, places in self.places.items() if place in places), None)


def _as_called(*actions: str, **others: str) -> dict[str, str]:
    return {**{action: action for action in actions}, **others}


_FIRST_ACTIONS = (
    *("slide_down", "slide_up", "appear", "vanish", "rise_then_fall", "fall_then_rise"),
    "bounce",
)

VINTAGES: dict[str, VintageSet] = {
    # Turning and circling whichever way round are one class each, to be split later.
    "early": VintageSet(
        classes=_as_called(
            *_FIRST_ACTIONS,
            "zigzag",
            slide_right="glide_right",
            slide_left="glide_left",
            grow="expand",
            shrink="contract",
            turn_clockwise="turn",
            turn_anticlockwise="turn",
            circle_clockwise="circle",
            circle_anticlockwise="circle",
        ),
        places={
            "train": frozenset({0, 2, 4, 8}),
            "val": frozenset({3}),
            "test": frozenset({1}),
        },
    ),
    "middle": VintageSet(
        classes=_as_called(
            *(*_FIRST_ACTIONS, "zigzag", "slide_right", "slide_left", "grow", "shrink"),
            *("turn_clockwise", "turn_anticlockwise", "circle_clockwise", "circle_anticlockwise"),
            *("approach", "separate", "enter", "leave", "hide", "pass_behind"),
            shake="tremble",
        ),
        places={
            "train": frozenset({0, 2, 6, 7}),
            "val": frozenset({3, 4}),
            "test": frozenset({1, 5}),
        },
    ),
    # Two classes are merged, zigzag is dropped.
    "late": VintageSet(
        classes={
            **_as_called(*(action for action in ACTIONS if action != "zigzag")),
            "hide": "go_behind",
            "pass_behind": "go_behind",
        },
        places={
            "train": frozenset({0, 4, 7, 9}),
            "val": frozenset({2, 3}),
            "test": frozenset({5}),
        },
    ),
}


def vintage_tables() -> Iterator[tuple[str, list[list[object]]]]:
    """Yield the files that do not depend on videos: headers, class names, renamings."""
    for name, vintage in VINTAGES.items():
        for split in vintage.places:
            # The official test lists have no labels.
            yield f"vintages/{name}/{split}.csv", [KINETICS_HEADER[split == "test" :]]
        yield f"vintages/{name}/classes.txt", [[c] for c in sorted(set(vintage.classes.values()))]
    yield (
        "vintages/renamed.csv",
        [["old", "new"], *(list(pair) for pair in RENAMED_CLASSES.items())],
    )


def vintage_rows(facts: Facts) -> Iterator[tuple[str, list[object]]]:
    """Yield the list of each vintage that the video is in, and its line there."""
    for name, vintage in VINTAGES.items():
        split = vintage.split_of(place_of(facts.index))
        if split is not None and facts.action in vintage.classes:
            row = [vintage.classes[facts.action], facts.id, 0, facts.whole_seconds, split]
            yield f"vintages/{name}/{split}.csv", row[split == "test" :]


def open_set_row(facts: Facts) -> tuple[str, list[object]] | None:
    """Give the file of known or of unknown classes, and the video's line there.

    Videos of unknown classes are there to evaluate on alone.
    """
    is_unknown = facts.action in UNKNOWN_ACTIONS
    if is_unknown and facts.split == "train":
        return None
    file = "open_set_unknown.csv" if is_unknown else "open_set_known.csv"
    return file, [facts.path, facts.action, facts.split]
