"""What navigation measured, and its pages: scores, walks on maps, words beside the steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from internvideo.report import Page, Svg, bar_chart, png_bytes
from internvideo.tasks.navigation.drawing import draw_map, views_strip
from internvideo.tasks.navigation.walking import METRICS, Decision, WalkedEpisode
from internvideo.tasks.shared.task import Result

_MOST_MAPS, _MOST_WARNINGS = 6, 10
_LEGEND = (
    "Blue: the way that was walked. Green: the reference. Red: the goal, and the circle within "
    "which stopping is a success."
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NavigationResult(Result):
    """What the scores were counted from; `agent` says what walked."""

    walked: tuple[WalkedEpisode, ...]
    agent: str

    def lines(self) -> list[str]:
        count = f"{self.agent}: {self.num_evaluated} of {self.num_total} episodes walked"
        return [*Result.lines(self), count + "; the others count as failures" * bool(self.failed)]

    def to_json(self) -> dict[str, Any]:
        episodes = [
            {
                "episode_id": one.episode.episode_id,
                "scene": one.episode.scene,
                **_finite(one.scores),
            }
            for one in self.walked
        ]
        return {**Result.to_json(self), "agent": self.agent, "episodes": episodes}

    def add_to(self, page: Page) -> None:
        """Add the scores, a table of episodes, and maps of the first ones."""
        Result.add_to(self, page)
        page.text(f"Agent: {self.agent}. {self.num_evaluated} of {self.num_total} episodes walked.")
        for failed in self.failed[:_MOST_WARNINGS]:
            page.warning(f"Counts as a failure: {failed.path}: {failed.reason}")
        if len(self.failed) > _MOST_WARNINGS:
            page.warning(f"{len(self.failed) - _MOST_WARNINGS} more count as failures.")
        page.section("Walks")
        page.text(_LEGEND)
        walked = [one for one in self.walked if one.record is not None]
        for one in walked[:_MOST_MAPS]:
            page.picture(_png(draw_map(one)), alt="map", caption=_caption(one))
        page.section("Episodes")
        names = ("success", "spl", "distance_to_goal", "path_length", "ndtw", "steps_taken")
        page.table(
            ["episode", "scene", *(name.replace("_", " ") for name in names)],
            [
                [one.episode.episode_id, one.episode.scene]
                + [_rounded(one.scores[name]) for name in names]
                for one in walked
            ],
        )


@dataclass(frozen=True, kw_only=True)
class WalkedAnswer:
    """The answer for one episode: what was done, step by step, and what it scored."""

    walked: WalkedEpisode

    def lines(self) -> list[str]:
        one = self.walked
        if one.record is None:
            return [f"episode {one.episode.episode_id}: {one.failure}"]
        words = one.episode.instruction.split()
        told = [f"episode {one.episode.episode_id} in {one.episode.scene}", one.episode.instruction]
        told += [f"{decision.choice.told}{_read(decision, words)}" for decision in one.decisions]
        scores = one.scores
        return [*told, "  ".join(f"{name} {scores[name]:.3g}" for name in METRICS)]

    def to_json(self) -> dict[str, Any]:
        one = self.walked
        decisions = [
            {
                "action": _action(decision),
                "options": [list(option) for option in decision.choice.options],
                "shares": list(decision.choice.shares),
            }
            for decision in one.decisions
        ]
        path = (
            [] if one.record is None else [[float(x) for x in point] for point in one.record.path]
        )
        return {
            "episode_id": one.episode.episode_id,
            "scene": one.episode.scene,
            "instruction": one.episode.instruction,
            "failure": one.failure or None,
            "path": path,
            "decisions": decisions,
            "scores": _finite(one.scores),
        }

    def page(self, mp4: bytes | None = None) -> Page:
        """The walk as a page: video, map, then each decision with its views and words."""
        one = self.walked
        page = Page(f"Episode {one.episode.episode_id}", subtitle=one.episode.scene)
        page.text(one.episode.instruction)
        page.facts({name.replace("_", " "): _rounded(one.scores[name]) for name in METRICS})
        page.section("The way")
        if mp4 is not None:
            page.video(mp4, caption="The way so far, what is seen, and the words attended to.")
        page.picture(_png(draw_map(one)), alt="map", caption=_LEGEND)
        words = one.episode.instruction.split()
        page.section("Decisions")
        for number, decision in enumerate(one.decisions, 1):
            told = f"Decision {number}: {decision.choice.told}"
            if decision.colours.size:
                strip = _png(views_strip(decision))
                page.picture(strip, alt="views", caption=f"{told} (ahead is in the middle)")
            else:
                page.text(told)
            if decision.choice.words:
                page.charts([_words_chart(words, decision)])
        return page


def _words_chart(words: list[str], decision: Decision) -> Svg:
    most = sorted(range(len(words)), key=lambda place: -decision.choice.words[place])[:8]
    names = [f"{words[place]} ({place + 1})" for place in sorted(most)]
    shares = [decision.choice.words[place] for place in sorted(most)]
    title = "Attention to words, with their place in the sentence"
    return bar_chart(names, {"share": shares}, title=title)


def _action(decision: Decision) -> dict[str, float] | str:
    action = decision.choice.action
    if action is None:
        return "stop"
    return {"angle": action.angle, "distance_m": action.distance_m}


def _read(decision: Decision, words: list[str]) -> str:
    """The three words that were attended to most."""
    if not decision.choice.words:
        return ""
    most = sorted(range(len(words)), key=lambda place: -decision.choice.words[place])[:3]
    return f"  [{' '.join(words[place] for place in sorted(most))}]"


def _caption(one: WalkedEpisode) -> str:
    outcome = "arrived" if one.scores["success"] else "did not arrive"
    name = f"Episode {one.episode.episode_id}, {one.episode.scene}"
    return f"{name}, {outcome}: {one.episode.instruction}"


def _finite(scores: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in scores.items()}


def _rounded(value: float) -> float | str:
    return round(value, 3) if math.isfinite(value) else "no way"


def _png(picture: np.ndarray) -> bytes:
    return png_bytes(torch.from_numpy(picture))
