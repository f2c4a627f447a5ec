"""Order on screen of MPEG-4 part 2 packets, read from the packets themselves.

Old AVI files (most of UCF101) hold such streams with B-frames but without presentation times, and
some pack two pictures into one packet and a stand-in of a few bytes into a later one. Decoding
tells the order too, but only by decoding everything.
Source: ISO/IEC 14496-2, 6.2.5 (picture start code, coding type); FFmpeg, which unpacks such packets
by the same rule before it decodes them.
"""

from __future__ import annotations

from collections.abc import Sequence

import av

_PICTURE_START = b"\x00\x00\x01\xb6"
_STAND_IN_BYTES = 19  # FFmpeg's own limit
_BIDIRECTIONAL = 2


def screen_order(packets: Sequence[av.Packet]) -> list[int] | None:
    """Return the numbers of the packets that show a frame, in order on screen; None in doubt."""
    order: list[int] = []
    delayed: int | None = None  # a reference picture is shown when the next one comes
    late: int | None = None  # type of a picture that waits for the packet after its own
    for number, packet in enumerate(packets):
        data = bytes(packet)
        types = [data[at + 4] >> 6 for at in _starts(data) if at + 4 < len(data)]
        is_stand_in = len(data) <= _STAND_IN_BYTES
        match types:
            case [own] if late is not None:
                shown, late = late, None if is_stand_in else own
            case [own] if not is_stand_in:
                shown = own
            case [own, second] if late is None:
                shown, late = own, second
            case [] if is_stand_in:  # a frame left out: the one before stays on screen
                continue
            case [own] if own != _BIDIRECTIONAL:
                continue
            case _:
                return None
        if shown == _BIDIRECTIONAL:
            order.append(number)
        else:
            if delayed is not None:
                order.append(delayed)
            delayed = number
    return order if delayed is None else [*order, delayed]


def _starts(data: bytes) -> list[int]:
    found, at = [], data.find(_PICTURE_START)
    while at >= 0:
        found.append(at)
        at = data.find(_PICTURE_START, at + 4)
    return found
