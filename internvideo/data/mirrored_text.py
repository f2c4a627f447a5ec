"""Text of mirrored clips: left and right, clockwise and anticlockwise are swapped."""

from __future__ import annotations

import re
from collections.abc import Sequence

_DIRECTIONS = re.compile(
    r"(?<![a-z])(left|right|(anti[- ]?|counter[- ]?)?clockwise)(?=(wards?|most)?(?![a-z]))"
    r"|[左右]|[顺逆](?=时针)",
    re.IGNORECASE,
)
_JOINT = re.compile(r"(?<=[a-z])(?=[A-Z])")  # of words written together: TurnLeft
_OPPOSITE = {"left": "right", "right": "left", "左": "右", "右": "左", "顺": "逆", "逆": "顺"}
_OPPOSITE["clockwise"] = "anticlockwise"


def left_right_classes(classes: Sequence[str]) -> list[str]:
    """List the classes that tell left from right or a sense of rotation, in English or Chinese.

    >>> left_right_classes(["TurnLeft", "copyright", "左转"])
    ['TurnLeft', '左转']
    """
    return [name for name in classes if _DIRECTIONS.search(_JOINT.sub(" ", name))]


def mirror_text(sentence: str) -> str:
    """Swap left and right, clockwise and anticlockwise, in English or Chinese.

    Words change whatever they mean: "the right answer" becomes "the left answer".

    >>> mirror_text("A man turns left, then counter-clockwise.")
    'A man turns right, then clockwise.'
    """
    return _DIRECTIONS.sub(lambda found: _opposite(found[0]), sentence)


def _opposite(direction: str) -> str:
    other = _OPPOSITE.get(direction.lower(), "clockwise")
    return other.capitalize() if direction[0].isupper() else other
