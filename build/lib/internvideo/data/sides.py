"""Words that mean something else in the mirror: turning left, counter-clockwise."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SIDES = re.compile(
    r"(?<![a-z])(left|right|(anti[- ]?|counter[- ]?)?clockwise)(?=(wards?|most)?(?![a-z]))"
    r"|[左右]|[顺逆](?=时针)",
    re.IGNORECASE,
)
_JOINT = re.compile(r"(?<=[a-z])(?=[A-Z])")  # of words written together: TurnLeft
_OTHER = {"left": "right", "right": "left", "左": "右", "右": "左", "顺": "逆", "逆": "顺"}
_OTHER["clockwise"] = "anticlockwise"


def sided_classes(classes: Sequence[str]) -> list[str]:
    """List the classes whose name holds a side, in English or Chinese.

    >>> sided_classes(["TurnLeft", "copyright", "左转"])
    ['TurnLeft', '左转']
    """
    return [name for name in classes if _SIDES.search(_JOINT.sub(" ", name))]


def mirrored(sentence: str) -> str:
    """Say it of the mirrored clip, in English or Chinese: left and right, both ways of turning.

    Words change whatever they mean: "the right answer" becomes "the left answer".

    >>> mirrored("A man turns left, then counter-clockwise.")
    'A man turns right, then clockwise.'
    """
    return _SIDES.sub(lambda found: _in_mirror(found[0]), sentence)


def _in_mirror(side: str) -> str:
    other = _OTHER.get(side.lower(), "clockwise")
    return other.capitalize() if side[0].isupper() else other
