"""What can happen: the classes, most of them in pairs of the same frames in another order.

Only one of a pair is drawn; the other is that draw with all its frames reversed (sliding right
becomes sliding left) or rolled by half the video (rising then falling becomes falling then
rising). So the two have exactly the same distribution of single frames, and a network that tells
them apart has read time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from internvideo.playground import motions
from internvideo.playground.motions import Motion, Scene


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """A class: how it is drawn, in which order its frames are shown, and who takes part.

    `verb` is one number for both of a pair: what a subject looks like may depend on the verb
    (unseen combinations), and must not tell the two apart. `sizes` are those that each part may
    have. `must_show_turning` rules out round subjects, `must_cover` second parts that one could
    see through. `template` is the class in the manner of Something-Something.
    """

    draw: Callable[[Scene], Motion]
    verb: int
    template: str
    order: Literal["drawn", "reversed", "rolled"] = "drawn"
    sizes: tuple[tuple[str, ...], ...] = (("small", "medium", "large"),)
    must_show_turning: bool = False
    must_cover: bool = False


_TWO = (("small", "medium"), ("small", "medium"))
_BEHIND = (("small",), ("large",))
_A = "[Something]"
_B = "[something]"

ACTIONS: dict[str, Action] = {
    "slide_right": Action(draw=motions.slide_right, verb=0, template=f"{_A} sliding right"),
    "slide_left": Action(
        draw=motions.slide_right, order="reversed", verb=0, template=f"{_A} sliding left"
    ),
    "slide_down": Action(draw=motions.slide_down, verb=1, template=f"{_A} sliding down"),
    "slide_up": Action(
        draw=motions.slide_down, order="reversed", verb=1, template=f"{_A} sliding up"
    ),
    "turn_clockwise": Action(
        draw=motions.turn_clockwise,
        verb=2,
        template=f"{_A} turning clockwise",
        must_show_turning=True,
    ),
    "turn_anticlockwise": Action(
        draw=motions.turn_clockwise,
        order="reversed",
        verb=2,
        template=f"{_A} turning anticlockwise",
        must_show_turning=True,
    ),
    "grow": Action(draw=motions.grow, verb=3, template=f"{_A} growing"),
    "shrink": Action(draw=motions.grow, order="reversed", verb=3, template=f"{_A} shrinking"),
    "appear": Action(draw=motions.appear, verb=4, template=f"{_A} appearing"),
    "vanish": Action(draw=motions.appear, order="reversed", verb=4, template=f"{_A} vanishing"),
    "approach": Action(
        draw=motions.approach, verb=5, template=f"{_A} and {_B} approaching each other", sizes=_TWO
    ),
    "separate": Action(
        draw=motions.approach,
        order="reversed",
        verb=5,
        template=f"{_A} and {_B} moving apart",
        sizes=_TWO,
    ),
    "rise_then_fall": Action(
        draw=motions.rise_then_fall, verb=6, template=f"{_A} rising and then falling"
    ),
    "fall_then_rise": Action(
        draw=motions.rise_then_fall,
        order="rolled",
        verb=6,
        template=f"{_A} falling and then rising",
    ),
    "circle_clockwise": Action(
        draw=motions.circle_clockwise, verb=7, template=f"{_A} going round in a circle clockwise"
    ),
    "circle_anticlockwise": Action(
        draw=motions.circle_clockwise,
        order="reversed",
        verb=7,
        template=f"{_A} going round in a circle anticlockwise",
    ),
    "enter": Action(draw=motions.enter, verb=8, template=f"{_A} coming into view"),
    "leave": Action(
        draw=motions.enter, order="reversed", verb=8, template=f"{_A} going out of view"
    ),
    "hide": Action(
        draw=motions.hide,
        verb=9,
        template=f"{_A} hiding behind {_B}",
        sizes=_BEHIND,
        must_cover=True,
    ),
    "emerge": Action(
        draw=motions.hide,
        order="reversed",
        verb=9,
        template=f"{_A} coming out from behind {_B}",
        sizes=_BEHIND,
        must_cover=True,
    ),
    "zigzag": Action(draw=motions.zigzag, verb=10, template=f"{_A} moving in a zigzag"),
    "bounce": Action(draw=motions.bounce, verb=11, template=f"{_A} bouncing"),
    "shake": Action(draw=motions.shake, verb=12, template=f"{_A} shaking"),
    "blink": Action(draw=motions.blink, verb=13, template=f"{_A} blinking"),
    "pass_behind": Action(
        draw=motions.pass_behind,
        verb=14,
        template=f"{_A} passing behind {_B}",
        sizes=_BEHIND,
        must_cover=True,
    ),
    "push": Action(draw=motions.push, verb=15, template=f"{_A} pushing {_B}", sizes=_TWO),
    "chase": Action(draw=motions.chase, verb=16, template=f"{_A} chasing {_B}", sizes=_TWO),
    "swap": Action(
        draw=motions.swap, verb=17, template=f"{_A} and {_B} changing places", sizes=_TWO
    ),
    "collide": Action(
        draw=motions.collide, verb=18, template=f"{_A} colliding with {_B}", sizes=_TWO
    ),
}

# The second of each pair shows the frames of the first in another order.
PAIRS: tuple[tuple[str, str], ...] = (
    ("slide_right", "slide_left"),
    ("slide_down", "slide_up"),
    ("turn_clockwise", "turn_anticlockwise"),
    ("grow", "shrink"),
    ("appear", "vanish"),
    ("approach", "separate"),
    ("rise_then_fall", "fall_then_rise"),
    ("circle_clockwise", "circle_anticlockwise"),
    ("enter", "leave"),
    ("hide", "emerge"),
)
