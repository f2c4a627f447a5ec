"""Vision-language navigation: follow an instruction through rooms that one has never seen.

Source: the evaluation loop of `trainer_HAMT.py` (VLN-CE) in the InternVideo release.
Differs: an episode that cannot be walked is named and counts as a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from internvideo.errors import CheckpointError, ConfigError, TrainingError
from internvideo.heads import Navigator, NavigatorConfig
from internvideo.navigation import MAX_DECISIONS
from internvideo.tasks.navigation.agent import Agent, Hidden, Oracle, RandomWalk, TrainedAgent
from internvideo.tasks.navigation.drawing import walk_frames
from internvideo.tasks.navigation.frozen import FrozenEncoders, OpenModel
from internvideo.tasks.navigation.result import NavigationResult, WalkedAnswer
from internvideo.tasks.navigation.training import NavigationTraining
from internvideo.tasks.navigation.walking import METRICS, mean_scores, walk
from internvideo.tasks.navigation.worlds import ROOMS, World, WorldEpisodes
from internvideo.tasks.shared.evaluation_data import EvaluationSource
from internvideo.tasks.shared.requests import TaskRequest
from internvideo.tasks.shared.task import FailedVideo, Pretrained, Progress, Task
from internvideo.text import Tokenizer
from internvideo.video import write_video

_RATE_FPS = 4


class Navigating:
    """A navigator with its vocabulary, or a baseline without weights: `agent` makes what walks.

    `open_model` opens the frozen encoders that a navigator names.
    """

    kind: ClassVar[str] = "navigator"

    def __init__(
        self,
        make: Callable[[Hidden, OpenModel | None], Agent],
        *,
        name: str,
        max_decisions: int = MAX_DECISIONS,
    ) -> None:
        self._make, self.name, self.max_decisions = make, name, max_decisions
        self.open_model: OpenModel | None = None

    @classmethod
    def of_network(cls, model: Navigator, tokenizer: Tokenizer | None) -> Navigating:
        """A trained network."""

        def make(hidden: Hidden, open_model: OpenModel | None) -> Agent:
            device = next(model.parameters()).device
            frozen = FrozenEncoders(model.config, open_model, device=device)
            return TrainedAgent(model.eval(), tokenizer, frozen, hidden=hidden)

        return cls(make, name="trained agent", max_decisions=model.config.max_decisions)

    @classmethod
    def from_pretrained(cls, pretrained: Pretrained, *, source: str) -> Navigating:
        """Take up a navigator.

        Raises:
            CheckpointError: If it is a model of another kind, or lacks its vocabulary.
        """
        model, config = pretrained.model, getattr(pretrained, "config", None)
        if not isinstance(model, Navigator) or not isinstance(config, NavigatorConfig):
            raise CheckpointError(
                f"{source}: holds a {pretrained.kind} model, which walks nowhere; take the run of "
                "a training for navigation, or oracle or random"
            )
        if pretrained.tokenizer is None and config.text_encoder is None:
            raise CheckpointError(f"{source}: no tokenizer.json, without which it reads nothing")
        return cls.of_network(model, pretrained.tokenizer)

    def agent(self, hidden: Hidden = "nothing") -> Agent:
        """What walks; `hidden` takes the instruction or the pictures from a trained one."""
        return self._make(hidden, self.open_model)


def _oracle() -> Navigating:
    return _baseline(Oracle, "shortest-path oracle")


def _random() -> Navigating:
    return _baseline(RandomWalk, "random walk")


def _baseline(kind: type[Oracle | RandomWalk], name: str) -> Navigating:
    def make(hidden: Hidden, open_model: OpenModel | None) -> Agent:
        if hidden != "nothing":
            raise ConfigError(f"a {name} reads no words and sees no pictures; leave out --hidden")
        return kind()

    return Navigating(make, name=name)


@dataclass(frozen=True, kw_only=True)
class NavigationData(EvaluationSource):
    """Episodes, and the world to walk them in."""

    data: str = ROOMS
    """rooms (drawn in generated houses), or a file of R2R-VLNCE or R2R; {split} stands for the
    split."""
    split: str = "val_unseen"
    """Which episodes; of rooms: train, val_seen or val_unseen."""
    num_episodes: int | None = None
    """How many at most; default 100 of rooms, all of a file."""
    seed: int = 0
    """Of the houses and episodes drawn."""
    connectivity: str | None = None
    """Folder of SCAN_connectivity.json: walk the scene graphs of Matterport3D, without pictures."""
    habitat: str | None = None
    """HOST:PORT of integrations/habitat_server.py: walk in Habitat."""
    num_at_once: int = 8
    """How many episodes are walked together."""

    def __post_init__(self) -> None:
        if self.num_at_once < 1:
            raise ConfigError(f"--at-once {self.num_at_once} walks nothing; give 1 or more")

    def read(self) -> WorldEpisodes:
        world = World(connectivity=self.connectivity, habitat=self.habitat)
        episodes = world.episodes(self.data, self.split, count=self.num_episodes, seed=self.seed)
        return WorldEpisodes(world=world, episodes=episodes, at_once=self.num_at_once)


@dataclass(frozen=True, kw_only=True)
class EpisodeRequest(TaskRequest):
    """One episode of those that an evaluation would walk."""

    episode: int = 1
    """Which episode, counted from 1."""
    data: str = ROOMS
    """rooms (drawn in generated houses), or a file of R2R-VLNCE or R2R; {split} stands for the
    split."""
    split: str = "val_unseen"
    """Which episodes; of rooms: train, val_seen or val_unseen."""
    seed: int = 0
    """Of the houses and episodes drawn."""
    connectivity: str | None = None
    """Folder of SCAN_connectivity.json: walk the scene graphs of Matterport3D, without pictures."""
    habitat: str | None = None
    """HOST:PORT of integrations/habitat_server.py: walk in Habitat."""
    page: Path | None = None
    """Write a page with the way on a map, the views and the words here."""
    drawn: Path | None = None
    """Write an mp4 of the walk here."""

    def __post_init__(self) -> None:
        if self.episode < 1:
            raise ConfigError(f"--episode {self.episode}: episodes are counted from 1")

    @property
    def written(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.page, self.drawn) if path is not None)

    def read(self) -> WorldEpisodes:
        """The one episode with its world.

        Raises:
            ConfigError: There are not so many.
        """
        count = self.episode if self.data == ROOMS else None
        world = World(connectivity=self.connectivity, habitat=self.habitat)
        episodes = world.episodes(self.data, self.split, count=count, seed=self.seed)
        if self.episode > len(episodes):
            raise ConfigError(f"--episode {self.episode}: {self.data} has {len(episodes)}")
        return WorldEpisodes(world=world, episodes=episodes[self.episode - 1 : self.episode])

    def to_json(self) -> dict[str, Any]:
        return {"episode": self.episode, "data": self.data, "split": self.split}


@dataclass(frozen=True, kw_only=True)
class Navigation(Task):
    """Walks to where an instruction leads."""

    name = "navigation"
    summary = "where to go next, to follow an instruction through unseen rooms"
    counted = "episodes"
    model_type = Navigating
    without_weights: ClassVar[Mapping[str, Callable[[], Any]]] = {
        "oracle": _oracle,
        "random": _random,
    }
    metrics = (*METRICS, "unreachable")
    datasets = ("R2R-VLNCE", "R2R (graphs, without pictures)", "generated houses")
    formats = ()
    data_type: ClassVar[type[EvaluationSource]] = NavigationData
    request_type: ClassVar[type[TaskRequest]] = EpisodeRequest
    training = NavigationTraining

    hidden: Hidden = "nothing"
    """What a trained agent has to do without: nothing, instruction or pictures."""
    max_decisions: int | None = None
    """After so many decisions an episode ends as if stopped; default as trained, or 25."""

    def evaluate(
        self, model: Navigating, data: WorldEpisodes, *, progress: Progress | None = None
    ) -> NavigationResult:
        """Walk every episode.

        Raises:
            TrainingError: Not a single one could be walked.
        """
        agent = model.agent(self.hidden)
        environments = self._environments(model, agent, data)
        walked = walk(agent, environments, data.episodes, progress=progress, has_plans=True)
        failed = tuple(
            FailedVideo(path=f"episode {one.episode.episode_id}", reason=one.failure)
            for one in walked
            if one.record is None
        )
        if len(failed) == len(walked):
            first = f"{failed[0].path}: {failed[0].reason}"
            raise TrainingError(f"none of {len(walked)} episodes can be walked; {first}")
        hidden = "" if self.hidden == "nothing" else f" without its {self.hidden}"
        return NavigationResult(
            scores=mean_scores(walked),
            num_evaluated=len(walked) - len(failed),
            num_total=len(walked),
            failed=failed,
            walked=tuple(walked),
            agent=model.name + hidden,
        )

    def predict(
        self, model: Navigating, request: EpisodeRequest, *, progress: Progress | None = None
    ) -> WalkedAnswer:
        """Walk one episode and draw it.

        Raises:
            ConfigError: There is no such episode, or it cannot be walked.
        """
        data = request.read()
        agent = model.agent(self.hidden)
        environments = self._environments(model, agent, data)
        (walked,) = walk(agent, environments, data.episodes, progress=progress, has_plans=True)
        if walked.record is None:
            raise ConfigError(f"episode {walked.episode.episode_id}: {walked.failure}")
        answer = WalkedAnswer(walked=walked)
        for path in (request.page, request.drawn):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
        if request.drawn is not None:
            write_video(request.drawn, walk_frames(walked), _RATE_FPS)
        if request.page is not None:
            mp4 = None if request.drawn is None else request.drawn.read_bytes()
            answer.page(mp4).write(request.page)
        return answer

    def _environments(self, model: Navigating, agent: Agent, data: WorldEpisodes) -> list[Any]:
        return data.world.environments(
            min(data.at_once, len(data.episodes)),
            side_px=agent.side_px,
            num_frames=agent.num_frames,
            max_decisions=self.max_decisions or model.max_decisions,
        )
