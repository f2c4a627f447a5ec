"""Class names that mean another class in the mirror: turning left, counter-clockwise."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SIDES = re.compile(
    r"(?<![a-z])(left|right|(anti-?|counter-?)?clockwise)(?![a-z])|[左右]|[顺逆]时针",
    re.IGNORECASE,
)
_JOINT = re.compile(r"(?<=[a-z])(?=[A-Z])")  # of words written together: TurnLeft


def sided_classes(classes: Sequence[str]) -> list[str]:
    """List the classes whose name holds a side, in English or Chinese.

    >>> sided_classes(["TurnLeft", "copyright", "左转"])
    ['TurnLeft', '左转']
    """
    return [name for name in classes if _SIDES.search(_JOINT.sub(" ", name))]
