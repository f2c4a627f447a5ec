"""Episodes walked by an agent, several at once, and scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from internvideo.errors import ConfigError, SimulatorError
from internvideo.metrics import Episode, navigation_metrics
from internvideo.navigation import Environment, NavigationEpisode, Observation, Plan
from internvideo.tasks.navigation.agent import Agent, Choice

# Every metric of an episode, in the order of tables.
METRICS = (
    *("success", "spl", "oracle_success", "ndtw", "sdtw", "distance_to_goal", "path_length"),
    *("collisions", "steps_taken"),
)
_GIVE_UP_AFTER = 3  # episodes in a row that the simulator does not start


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Decision:
    """A decision at a position of the path; `colours` (12, h, w, 3) is what was seen there."""

    choice: Choice
    at: int
    heading: float
    colours: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WalkedEpisode:
    """What an agent did in an episode; or why it could not be walked."""

    episode: NavigationEpisode
    record: Episode | None = None
    decisions: tuple[Decision, ...] = ()
    headings: tuple[float, ...] = ()
    plan: Plan | None = None
    failure: str = ""

    @property
    def scores(self) -> dict[str, float]:
        """Its metrics; an episode that was not walked is a failure at all of them."""
        if self.record is None:
            return dict.fromkeys(METRICS, 0.0) | {"distance_to_goal": float("inf")}
        return navigation_metrics(self.record)


def walk(
    agent: Agent,
    environments: Sequence[Environment],
    episodes: Sequence[NavigationEpisode],
    *,
    progress: Callable[[int, int], None] | None = None,
    has_plans: bool = False,
) -> list[WalkedEpisode]:
    """Walk all episodes, as many at once as there are environments.

    One that cannot be started or whose simulator dies is kept with the reason. When the simulator
    has started none of several episodes in a row, the rest are not tried: each may take minutes.
    """
    walked: list[WalkedEpisode] = []
    lost: list[str] = []
    at_once = len(environments)
    try:
        for first in range(0, len(episodes), at_once):
            batch = episodes[first : first + at_once]
            walked += _walk_batch(agent, environments, batch, lost, has_plans)
            if progress is not None:
                progress(len(walked), len(episodes))
    finally:
        for environment in environments:
            environment.close()
    return walked


def _walk_batch(
    agent: Agent,
    environments: Sequence[Environment],
    episodes: Sequence[NavigationEpisode],
    lost: list[str],
    has_plans: bool,
) -> list[WalkedEpisode]:
    """Walk episodes side by side; `lost` are the starts before that failed in the simulator."""
    agent.begin(episodes)
    failures: dict[int, str] = {}
    decisions: list[list[Decision]] = [[] for _ in episodes]
    observations = {}
    for place, (environment, episode) in enumerate(zip(environments, episodes, strict=False)):
        if len(lost) == _GIVE_UP_AFTER:
            failures[place] = f"not tried, for {_GIVE_UP_AFTER} before it failed: {lost[-1]}"
            continue
        try:
            observations[place], _ = environment.reset(episode)
        except ConfigError as error:
            failures[place] = str(error).removeprefix(f"episode {episode.episode_id}: ")
        except SimulatorError as error:
            failures[place] = str(error)
            lost.append(str(error))
        else:
            lost.clear()
    while observations:
        active = sorted(observations)
        choices = _choose(agent, environments, observations, failures)
        for place in active:
            if place in failures:
                del observations[place]
                continue
            environment, choice = environments[place], choices[place]
            decisions[place].append(
                Decision(
                    choice=choice,
                    at=len(environment.headings) - 1,
                    heading=environment.place.heading,
                    colours=observations[place].panorama.colours,
                )
            )
            try:
                after, _, terminated, truncated, _ = environment.step(choice.action)
            except SimulatorError as error:
                failures[place] = str(error)
                del observations[place]
                continue
            observations[place] = after
            if terminated or truncated:
                del observations[place]
    return [
        WalkedEpisode(episode=episode, failure=failures[place])
        if place in failures
        else WalkedEpisode(
            episode=episode,
            record=environments[place].record(),
            decisions=tuple(decisions[place]),
            headings=tuple(environments[place].headings),
            plan=environments[place].plan() if has_plans else None,
        )
        for place, episode in enumerate(episodes)
    ]


def _choose(
    agent: Agent,
    environments: Sequence[Environment],
    observations: Mapping[int, Observation],
    failures: dict[int, str],
) -> dict[int, Choice]:
    """Decide in all episodes that are not over; one whose simulator dies joins the failures."""
    active = sorted(observations)
    seen = [observations[place] for place in active]
    if agent.side_px is not None:
        choices = agent.act([environments[place] for place in active], seen, active)
        return dict(zip(active, choices, strict=True))
    chosen: dict[int, Choice] = {}
    for place in active:  # agents that do not look ask their simulators, each of which may die
        try:
            (chosen[place],) = agent.act([environments[place]], [observations[place]], [place])
        except SimulatorError as error:
            failures[place] = str(error)
    return chosen


def mean_scores(walked: Sequence[WalkedEpisode]) -> dict[str, float]:
    """Mean of each metric over all episodes; those that were not walked count as failures.

    `distance_to_goal` is the mean over episodes whose goal can be reached, and `unreachable` the
    share of the others, so that no score is infinite.
    """
    rows = [one.scores for one in walked]
    scores = {}
    for name in METRICS:
        values = np.array([row[name] for row in rows])
        finite = values[np.isfinite(values)]
        scores[name] = float(finite.mean()) if len(finite) else 0.0
    lost = sum(
        one.record is not None and not np.isfinite(row["distance_to_goal"])
        for one, row in zip(walked, rows, strict=True)
    )
    return scores | {"unreachable": lost / len(rows)}
