"""Walking an episode, whatever the world; the interface is gymnasium's (`reset`, `step`).

An observation has twelve views with depth and the instruction. An action is what agents of this
task decide: stop, or turn to an angle and walk a distance, in steps of 0.25 m with sliding. Worlds
are generated houses (`rooms.py`), scene graphs (`graph.py`) and Habitat (`habitat.py`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from internvideo.errors import ConfigError
from internvideo.metrics import Episode
from internvideo.navigation.episodes import NavigationEpisode, Position
from internvideo.navigation.movement import STEP_M
from internvideo.navigation.render import NUM_VIEWS, Panorama

SUCCESS_M = 3.0
MAX_DECISIONS = 25


class Go(NamedTuple):
    """Turn by `angle` (radians, counterclockwise, of the heading) and walk `distance_m`."""

    angle: float
    distance_m: float

    @property
    def num_steps(self) -> int:
        """Steps of 0.25 m that are walked."""
        return int(self.distance_m / STEP_M + 1e-6)


Action = Go | None  # None: stop


class Place(NamedTuple):
    """Where the agent is; `heading` counterclockwise in radians, 0 along -z."""

    position: Position
    heading: float

    @property
    def x(self) -> float:
        return self.position[0]

    @property
    def z(self) -> float:
        return self.position[2]


class Moved(NamedTuple):
    """The places after each step of a decision, and which steps met something."""

    places: list[Place]
    collided: list[float]


class Plan(NamedTuple):
    """A map from above, for people; `origin` is the point (x, z) of its upper left corner."""

    picture: NDArray[np.uint8]
    origin: tuple[float, float]
    px_per_m: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Observation:
    """What the agent is given before each decision.

    `frames` (t, 12, h, w, 3) are the last views of each direction, the newest last; the first one
    is repeated where there were fewer. None where the environment keeps none.
    """

    panorama: Panorama
    instruction: str
    heading: float
    num_decisions: int
    frames: NDArray[np.uint8] | None = None


@dataclass(kw_only=True, slots=True)
class _Walk:
    """Everything that happened in the episode so far."""

    place: Place
    path: list[Position]
    headings: list[float]
    distances_m: list[float]
    collided: list[float] = field(default_factory=list)
    num_decisions: int = 0
    stopped: bool = False


class Environment(ABC):
    """One agent in one episode at a time.

    Args:
        side_px: Side of each view; None renders nothing, for agents that do not look.
        max_decisions: After so many the episode ends, which counts as stopping, as released.
        num_frames: Views of each direction that an observation looks back on; 0 keeps none.
    """

    def __init__(
        self,
        *,
        side_px: int | None = None,
        max_decisions: int = MAX_DECISIONS,
        num_frames: int = 0,
    ) -> None:
        if max_decisions < 1 or num_frames < 0 or (side_px is not None and side_px < 2):
            raise ConfigError(
                f"side_px {side_px}, max_decisions {max_decisions} and num_frames {num_frames}; "
                "views have two pixels or more, and an episode one decision"
            )
        self.side_px, self.max_decisions = side_px, max_decisions
        self.num_frames = num_frames if side_px is not None else 0
        self._episode: NavigationEpisode | None = None

    def reset(self, episode: NavigationEpisode) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Raises:
            ConfigError: Its scene is missing, or its start lies where nobody can stand.
        """
        self._episode = None
        place = self._start(episode)
        self._walk = _Walk(
            place=place,
            path=[place.position],
            headings=[place.heading],
            distances_m=[self._distance_m(place.position)],
        )
        self._episode = episode
        self._frames: deque[NDArray[np.uint8]] = deque(maxlen=max(1, self.num_frames))
        self._look()
        return self._observe(), {"distance_m": self._walk.distances_m[-1]}

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Carry out a decision; returns observation, reward, terminated, truncated and facts.

        The reward is by how many metres the goal came nearer.
        """
        if self._episode is None or self._walk.stopped:
            raise ConfigError("the episode is over or none was started; call reset(episode) first")
        walk, before = self._walk, self._walk.distances_m[-1]
        walk.num_decisions += 1
        truncated = action is not None and walk.num_decisions >= self.max_decisions
        if action is not None:
            moved = self._go(action)
            for place in moved.places:
                walk.place = place
                walk.path.append(place.position)
                walk.headings.append(place.heading)
                if self.num_frames and place is not moved.places[-1]:
                    self._frames.append(self._render(place).colours)
            walk.collided += moved.collided
            heading = math.remainder(walk.headings[-1], math.tau)
            if not moved.places:  # only turned
                heading = math.remainder(walk.place.heading + action.angle, math.tau)
            walk.place = Place(walk.place.position, heading)
            walk.distances_m.append(self._distance_m(walk.place.position))
            self._look()
        walk.stopped = action is None or truncated
        after = walk.distances_m[-1]
        reward = before - after if math.isfinite(before) and math.isfinite(after) else 0.0
        return self._observe(), reward, action is None, truncated, {"distance_m": after}

    @property
    def episode(self) -> NavigationEpisode:
        """The episode that was started last."""
        assert self._episode is not None
        return self._episode

    @property
    def place(self) -> Place:
        """Where the agent is."""
        return self._walk.place

    @property
    def distance_m(self) -> float:
        """Geodesic distance to the goal; infinite where no way leads."""
        return self._walk.distances_m[-1]

    @property
    def headings(self) -> list[float]:
        """Heading at each position of the path."""
        return self._walk.headings

    def record(self) -> Episode:
        """What happened, for `metrics.navigation_metrics`."""
        reference = self.episode.locations or self.episode.reference_path
        walk = self._walk
        return Episode(
            path=walk.path,
            reference_path=reference or [self.episode.start, self.episode.goal],
            distances_m=walk.distances_m,
            stopped=walk.stopped,
            num_decisions=walk.num_decisions,
            collided=walk.collided,
        )

    @abstractmethod
    def distances_after(self, actions: Sequence[Go]) -> list[float]:
        """Geodesic distance to the goal where each of these actions would lead."""

    @abstractmethod
    def towards_goal(self) -> Action:
        """What the shortest-path oracle does next."""

    @abstractmethod
    def candidates(self) -> list[Go]:
        """Where one can go from here, known from the world itself."""

    def close(self) -> None:
        """End the episode, and let go of what the world holds, such as a connection."""
        self._episode = None

    def plan(self) -> Plan | None:
        """A map of the scene from above, where the world has one."""
        return None

    @abstractmethod
    def _start(self, episode: NavigationEpisode) -> Place: ...

    @abstractmethod
    def _go(self, go: Go) -> Moved: ...

    @abstractmethod
    def _distance_m(self, position: Position) -> float: ...

    @abstractmethod
    def _render(self, place: Place) -> Panorama: ...

    def _look(self) -> None:
        self._panorama = no_pictures()
        if self.side_px is not None:
            self._panorama = self._render(self._walk.place)
            self._frames.append(self._panorama.colours)

    def _observe(self) -> Observation:
        frames = None
        if self.num_frames:
            missing = self.num_frames - len(self._frames)
            frames = np.stack([self._frames[0]] * missing + list(self._frames))
        return Observation(
            panorama=self._panorama,
            instruction=self.episode.instruction,
            heading=self._walk.place.heading,
            num_decisions=self._walk.num_decisions,
            frames=frames,
        )


def no_pictures() -> Panorama:
    """Views of no pixels."""
    colours = np.zeros((NUM_VIEWS, 0, 0, 3), np.uint8)
    return Panorama(colours, np.zeros((NUM_VIEWS, 0, 0), np.float32))


def straight_to(place: Place, x: float, z: float, *, longest_m: float = 3.0) -> Go:
    """Turn to a point and walk to it, as far as one decision leads; at least one step."""
    distance = min(longest_m, math.dist((place.x, place.z), (x, z)))
    heading = math.atan2(-(x - place.x), -(z - place.z))
    steps = max(1, round(distance / STEP_M))
    return Go(math.remainder(heading - place.heading, math.tau), steps * STEP_M)
