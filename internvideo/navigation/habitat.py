"""Habitat as a simulator in a process of its own, spoken to over a local socket.

Habitat 0.1.7 needs Python 3.6 to 3.8 and a GPU, so it does not share our environment:
`integrations/habitat_server.py` runs in its environment, next to the scenes of Matterport3D. Each
environment here has a connection, and with it a simulator of its own there.

    request                                        answer
    {"do": "reset", episode_id, scene, start,      {"position", "heading", "distance_m"}
       heading, goal}
    {"do": "go", angle, distance_m}                {"positions", "headings", "collided",
                                                    "distance_m"}
    {"do": "look", position, heading, side_px}     arrays colours (12, h, w, 3), depths_m (12, h, w)
    {"do": "try", moves: [[angle, distance_m]]}    {"distances_m"}: after each, nothing is moved
    {"do": "follow"}                               {"angle", "distance_m"} towards the goal, or {}

Every answer may be {"error": "..."} instead. Distances are null where no way leads.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from internvideo.errors import ConfigError, SimulatorError
from internvideo.navigation import messages
from internvideo.navigation.environment import Action, Environment, Go, Moved, Place
from internvideo.navigation.episodes import NavigationEpisode, Position
from internvideo.navigation.movement import STEP_M
from internvideo.navigation.render import NUM_VIEWS, Panorama


class HabitatEnvironment(Environment):
    """One agent in a simulator behind a socket; see `Environment`.

    Args:
        address: HOST:PORT of the server; leave it on this machine, what it says is trusted.
        timeout_s: After so long without an answer the episode is given up.

    Raises:
        ConfigError: The address is none.
    """

    def __init__(self, address: str, *, timeout_s: float = 120.0, **options: Any) -> None:
        super().__init__(**options)
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ConfigError(f"{address!r} is no address of a Habitat server; give HOST:PORT")
        self.address, self._timeout_s = (host, int(port)), timeout_s
        self._connection: socket.socket | None = None

    def distances_after(self, actions: Sequence[Go]) -> list[float]:
        moves = [[go.angle, go.num_steps * STEP_M] for go in actions]
        answer = self._ask({"do": "try", "moves": moves}, "distances_m")
        return [_metres(distance) for distance in answer["distances_m"]]

    def towards_goal(self) -> Action:
        answer = self._ask({"do": "follow"})
        return Go(float(answer["angle"]), float(answer["distance_m"])) if answer else None

    def candidates(self) -> list[Go]:
        """Twelve directions, 1.5 m each: Habitat knows no points of its own."""
        return [Go(math.remainder(k * math.tau / 12, math.tau), 1.5) for k in range(12)]

    def close(self) -> None:
        """Hang up; the next episode connects anew."""
        super().close()
        self._hang_up()

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _start(self, episode: NavigationEpisode) -> Place:
        self._where = f"episode {episode.episode_id}"
        answer = self._ask(
            {
                "do": "reset",
                "episode_id": episode.episode_id,
                "scene": episode.scene,
                "start": episode.start,
                "heading": episode.heading,
                "goal": episode.goal,
            },
            *("position", "heading", "distance_m"),
        )
        self._to_goal = _metres(answer["distance_m"])
        return Place(_position(answer["position"]), float(answer["heading"]))

    def _go(self, go: Go) -> Moved:
        answer = self._ask(
            {"do": "go", "angle": go.angle, "distance_m": go.num_steps * STEP_M},
            *("positions", "headings", "collided", "distance_m"),
        )
        self._to_goal = _metres(answer["distance_m"])
        walked = zip(answer["positions"], answer["headings"], strict=True)
        places = [Place(_position(point), float(heading)) for point, heading in walked]
        return Moved(places, [float(met) for met in answer["collided"]])

    def _distance_m(self, position: Position) -> float:
        return self._to_goal

    def _render(self, place: Place) -> Panorama:
        side = self.side_px
        answer = self._ask(
            {"do": "look", "position": place.position, "heading": place.heading, "side_px": side},
            *("colours", "depths_m"),
        )
        seen = Panorama(answer["colours"], answer["depths_m"].astype(np.float32))
        if seen.colours.shape != (NUM_VIEWS, side, side, 3) or len(seen.depths_m) != NUM_VIEWS:
            raise self._error(f"views of shape {seen.colours.shape}")
        return seen

    def _ask(self, request: Mapping[str, Any], *needed: str) -> dict[str, Any]:
        """Send a request, take an answer that has what is needed; a failure ends the connection."""
        try:
            if self._connection is None:
                self._connection = socket.create_connection(self.address, self._timeout_s)
            messages.send(self._connection, request)
            answer = messages.receive(self._connection)
        except TimeoutError as error:
            raise self._error(f"no answer to {request['do']!r} in {self._timeout_s:g} s") from error
        except (OSError, SimulatorError) as error:
            raise self._error(f"{request['do']!r} failed: {error}") from error
        if "error" in answer:
            raise ConfigError(f"Habitat server, {self._where}: {answer['error']}")
        if missing := [name for name in needed if name not in answer]:
            raise self._error(f"the answer to {request['do']!r} lacks {', '.join(missing)}")
        return answer

    def _error(self, what: str) -> SimulatorError:
        self._hang_up()
        host, port = self.address
        return SimulatorError(
            f"Habitat server {host}:{port}, {self._where}: {what}; start "
            "integrations/habitat_server.py again, or look at its log"
        )


def _metres(value: Any) -> float:
    return math.inf if value is None else float(value)


def _position(values: Sequence[Any]) -> Position:
    x, y, z = map(float, values)
    return x, y, z
