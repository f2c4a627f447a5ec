"""Messages between us and a simulator in another process: JSON with arrays behind it.

A message is 4 bytes (its header's length, big-endian), a JSON object, and the bytes of the arrays
that the object lists under "arrays" as [name, dtype, shape], one after the other, C order.
`integrations/habitat_server.py` has the same few lines for Python 3.6.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from internvideo.errors import SimulatorError

_MOST_HEADER, _MOST_ARRAY = 2**20, 2**30
_TYPES = {"uint8", "float32", "float64"}


def send(connection: socket.socket, message: Mapping[str, Any]) -> None:
    """Send an object without arrays."""
    header = json.dumps(message).encode()
    connection.sendall(struct.pack(">I", len(header)) + header)


def receive(connection: socket.socket) -> dict[str, Any]:
    """Receive an object; its arrays are entries of it.

    Raises:
        SimulatorError: The other side hung up, or sent what is no message.
        OSError: The connection broke, or nothing came in time.
    """
    (length,) = struct.unpack(">I", _exactly(connection, 4))
    if length > _MOST_HEADER:
        raise SimulatorError(f"a message with a header of {length} bytes; is this the server?")
    try:
        message = json.loads(_exactly(connection, length))
        arrays = [(str(n), str(t), tuple(map(int, s))) for n, t, s in message.pop("arrays", [])]
    except (AttributeError, TypeError, ValueError) as error:
        raise SimulatorError(f"a message that is no JSON object ({error})") from error
    for name, dtype, shape in arrays:
        count = math.prod(shape)
        if dtype not in _TYPES or min(shape, default=1) < 0 or count > _MOST_ARRAY:
            raise SimulatorError(f"an array of type {dtype} and shape {shape} in a message")
        data = _exactly(connection, count * np.dtype(dtype).itemsize)
        message[name] = np.frombuffer(data, dtype).reshape(shape)
    return message


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = connection.recv(min(count - len(data), 2**20))
        if not part:
            raise SimulatorError("the connection was closed in the middle of a message")
        data += part
    return bytes(data)
