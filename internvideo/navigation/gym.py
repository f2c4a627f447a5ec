"""Generated houses as an environment of gymnasium, for whoever trains agents of their own.

    environment = RoomsGym(make_episodes("train", 100))
    observation, facts = environment.reset(seed=0)

Needs the extra `nav`. Spaces: observation = colours (12, h, w, 3) uint8, depths_m (12, h, w)
float32, instruction; action = stop (0 or 1), angle in radians (counterclockwise), distance_m.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from internvideo.errors import ConfigError
from internvideo.navigation.environment import MAX_DECISIONS, Go, Observation
from internvideo.navigation.episodes import NavigationEpisode
from internvideo.navigation.render import NUM_VIEWS
from internvideo.navigation.rooms import RoomsEnvironment

try:
    import gymnasium
    from gymnasium import spaces
except ImportError as error:
    raise ConfigError(
        "gymnasium is not installed; install it with: pip install 'internvideo[nav]'"
    ) from error

_FAR_M, _LONGEST_TEXT = 100.0, 2000
_LETTERS = "".join(map(chr, range(32, 127)))


class RoomsGym(gymnasium.Env[dict[str, Any], dict[str, Any]]):
    """Episodes in turn, or one drawn from the seed; `options={"episode": n}` asks for the n-th.

    Raises:
        ConfigError: There is no episode.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 4}

    def __init__(
        self,
        episodes: Sequence[NavigationEpisode],
        *,
        side_px: int = 32,
        max_decisions: int = MAX_DECISIONS,
    ) -> None:
        if not episodes:
            raise ConfigError("there are no episodes; draw some with make_episodes")
        self.episodes = tuple(episodes)
        self.render_mode = "rgb_array"
        self._environment = RoomsEnvironment(side_px=side_px, max_decisions=max_decisions)
        seen = (NUM_VIEWS, side_px, side_px)
        self.observation_space = spaces.Dict(
            {
                "colours": spaces.Box(0, 255, (*seen, 3), np.uint8),
                "depths_m": spaces.Box(0.0, _FAR_M, seen, np.float32),
                "instruction": spaces.Text(_LONGEST_TEXT, charset=_LETTERS),
            }
        )
        self.action_space = spaces.Dict(
            {
                "stop": spaces.Discrete(2),
                "angle": spaces.Box(-math.pi, math.pi, (), np.float32),
                "distance_m": spaces.Box(0.0, 3.0, (), np.float32),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        number = int((options or {}).get("episode", self.np_random.integers(len(self.episodes))))
        if not 0 <= number < len(self.episodes):
            raise ConfigError(f"episode {number} of {len(self.episodes)}; give 0 or more")
        self._last, facts = self._environment.reset(self.episodes[number])
        return _observed(self._last), facts

    def step(
        self, action: Mapping[str, Any]
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        go = Go(float(action["angle"]), float(action["distance_m"]))
        self._last, reward, terminated, truncated, facts = self._environment.step(
            None if action["stop"] else go
        )
        return _observed(self._last), reward, terminated, truncated, facts

    def render(self) -> np.ndarray:
        """The twelve views beside each other, from the left to the right of the heading."""
        order = [(NUM_VIEWS // 2 - place) % NUM_VIEWS for place in range(NUM_VIEWS)]
        return np.concatenate([self._last.panorama.colours[view] for view in order], axis=1)


def _observed(seen: Observation) -> dict[str, Any]:
    panorama = seen.panorama
    return {
        "colours": panorama.colours.copy(),
        "depths_m": panorama.depths_m.copy(),
        "instruction": seen.instruction,
    }
