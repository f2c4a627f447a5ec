"""Training a navigator by imitation, in the episodes that it walks itself.

Source: `trainer_HAMT.py` and `train.bash` of Visual-Language-Navigation in the InternVideo release.
A step walks a batch of episodes to their end. The teacher's action is the candidate that leaves the
shortest way to the goal, or to stop within `teacher_stop_m`; the walk goes on with the teacher's
action with a share that falls (`teacher_share`), else the network's own.
Differs: the share is drawn for each decision and not for a whole step; a small navigator learns the
waypoints as well, from what the world itself knows; goals without a way teach nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from internvideo.data import RunContext, VideoData
from internvideo.errors import ConfigError
from internvideo.heads import Navigator, NavigatorConfig, Seen
from internvideo.navigation import Action, Environment, NavigationEpisode, waypoint_targets
from internvideo.objectives.navigation import waypoint_loss
from internvideo.tasks.navigation.agent import Candidate, Hidden, TrainedAgent, candidate_of
from internvideo.tasks.navigation.frozen import FrozenEncoders, OpenModel
from internvideo.tasks.navigation.walking import WalkedEpisode, mean_scores, walk
from internvideo.tasks.navigation.worlds import World
from internvideo.text import Tokenizer, WordPieces, load_clip_tokenizer, train_tokenizer
from internvideo.training import gather_objects
from internvideo.values import Preprocessing, TokenGrid
from internvideo.weights.navigation import (
    load_bert,
    load_depth_encoder,
    load_policy,
    load_waypoint_predictor,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class NavigationTraining:
    """What is trained, in which world; the defaults are those of the released agent.

    Episodes are `data.source` ("rooms": drawn in generated houses) of `data.train_split` and
    `data.eval_split`; `num_episodes` are drawn or kept, `num_eval_episodes` walked in evaluation.
    `bert` is a folder of BERT weights with vocab.txt, for the policy's text layers; without it and
    without `model.text_encoder` a vocabulary of `vocabulary_size` is learned from the instructions.
    `waypoint_weights`, `depth_weights` and `policy_weights` are released files.
    With `resamples_waypoints` candidates are drawn around the predicted ones; until step
    `predicted_from` they are what the world knows. `hidden` trains without the instruction or the
    pictures, for comparison.
    """

    model_kind: ClassVar[str] = "navigator"
    loss_weights: ClassVar[Mapping[str, float]] = {"action": 1.0, "waypoint": 1.0}
    trained_on: ClassVar[str] = "episodes"

    kind: Literal["navigation"] = "navigation"
    model: NavigatorConfig
    world: World = field(default_factory=World)
    num_episodes: int | None = None
    num_eval_episodes: int = 100
    bert: str | None = None
    vocabulary_size: int = 1000
    waypoint_weights: str | None = None
    depth_weights: str | None = None
    policy_weights: str | None = None
    resamples_waypoints: bool = True
    predicted_from: int = 0
    teacher_share: float = 0.75
    teacher_decay_steps: int = 2000
    teacher_stop_m: float = 1.5
    hidden: Hidden = "nothing"

    def __post_init__(self) -> None:
        if not 0 <= self.teacher_share <= 1 or self.teacher_decay_steps < 1:
            raise ConfigError(
                f"teacher_share {self.teacher_share} every {self.teacher_decay_steps} steps; give "
                "a share from 0 to 1 and one step or more"
            )
        if self.num_eval_episodes < 1:
            raise ConfigError(f"num_eval_episodes is {self.num_eval_episodes}; walk at least one")
        if self.bert is not None and self.model.text_encoder is not None:
            raise ConfigError("bert and model.text_encoder are two readers of text; set one")

    @property
    def model_config(self) -> NavigatorConfig:
        """What is saved; `model_kind` is its name."""
        return self.model

    @property
    def grid(self) -> TokenGrid:
        """Steps of an episode and the views around."""
        return TokenGrid(time=self.model.max_decisions, height=1, width=12)

    @property
    def num_parameters(self) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in Navigator(self.model).parameters())

    @property
    def training_flops_per_clip(self) -> float:
        """A rough count of one episode, forward and backward, without frozen encoders.

        Six times the parameters for every token: views, words and steps of half the decisions.
        """
        tokens = 12 + self.model.context_length + self.model.max_decisions / 2
        return 6.0 * self.num_parameters * tokens * self.model.max_decisions / 2

    def teacher_share_at(self, step: int) -> float:
        """Share of decisions at which the walk follows the teacher."""
        return self.teacher_share ** (step // self.teacher_decay_steps + 1)

    def preprocessing(self, data: VideoData) -> Preprocessing:
        """Views as they are rendered."""
        return data.preprocessing(num_frames=self.model.num_frames, side_px=self.model.side_px)

    def open(
        self, data: VideoData, context: RunContext, open_model: OpenModel
    ) -> tuple[tuple[NavigationEpisode, ...], NavigationObjective]:
        """Read or draw the episodes, and make the network with its released parts.

        Raises:
            ConfigError, AnnotationError, CheckpointError: Something of it is missing or damaged.
        """
        splits = data.train_split or "train", data.eval_split or "val_unseen"
        counts = self.num_episodes, self.num_eval_episodes
        train, held_out = (
            self.world.episodes(data.source, split, root=data.root, count=count, seed=context.seed)
            for split, count in zip(splits, counts, strict=True)
        )
        frozen = FrozenEncoders(self.model, open_model, device=context.device)
        tokenizer = frozen.tokenizer or self._tokenizer(train)
        if self.model.text_encoder is None:
            rows = self.model.policy.text.vocabulary_size
            if tokenizer.vocabulary_size > rows:
                raise ConfigError(
                    f"the vocabulary has {tokenizer.vocabulary_size} tokens, the policy {rows}; "
                    f"set stage.model.policy.text.vocabulary_size={tokenizer.vocabulary_size}"
                )
        model = Navigator(self.model)
        self._fill(model)
        agent = TrainedAgent(
            model.to(context.device), tokenizer, frozen, hidden=self.hidden, device=context.device
        )
        return train, NavigationObjective(self, agent, (train, held_out), context)

    def _tokenizer(self, episodes: Sequence[NavigationEpisode]) -> Tokenizer:
        if self.bert is not None:
            return WordPieces.read(f"{self.bert}/vocab.txt")
        if self.vocabulary_size == load_clip_tokenizer().vocabulary_size:
            return load_clip_tokenizer()
        return train_tokenizer([e.instruction for e in episodes], self.vocabulary_size)

    def _fill(self, model: Navigator) -> None:
        """Load what is named of released weights."""
        if self.policy_weights is not None:
            load_policy(model.policy, self.policy_weights)
        if self.bert is not None:
            load_bert(model.policy, self.bert)
        if self.waypoint_weights is not None:
            load_waypoint_predictor(model.waypoints, self.waypoint_weights)
        if self.depth_weights is not None:
            if model.depth_encoder is None:
                raise ConfigError("depth_weights are named, and model.depth is none")
            load_depth_encoder(model.depth_encoder, self.depth_weights)


class NavigationObjective:
    """The network with its losses on episodes, and its scores on held-back ones."""

    def __init__(
        self,
        config: NavigationTraining,
        agent: TrainedAgent,
        parts: tuple[Sequence[NavigationEpisode], Sequence[NavigationEpisode]],
        context: RunContext,
    ) -> None:
        self.config, self.agent, self.model = config, agent, agent.model
        self._parts, self._share = parts, context.share
        self._environments: list[Environment] = []

    def losses(
        self,
        episodes: Sequence[NavigationEpisode],
        step: int,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Walk episodes to their end; mean losses over all decisions."""
        agent, config = self.agent, self.config
        environments = self._environments_for(len(episodes))
        observations = [e.reset(p)[0] for e, p in zip(environments, episodes, strict=False)]
        draws = torch.Generator().manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        agent.begin(episodes)
        active = list(range(len(episodes)))
        action_losses, waypoint_losses, followed, num_taught = [], [], 0, 0
        while active:
            here = [environments[place] for place in active]
            seen = agent.look([observations[place] for place in active])
            if config.model.tiny is not None:
                waypoint_losses.append(_waypoint_loss(seen, here))
            candidates = self._candidates(seen, here, step, draws)
            logits = agent.logits(seen, candidates, active)
            targets = torch.tensor(
                [self._teacher(e, c) for e, c in zip(here, candidates, strict=True)],
                device=logits.device,
            )
            action_losses.append(F.cross_entropy(logits, targets, reduction="none"))
            followed += int((logits.argmax(1) == targets).sum())
            num_taught += int((targets >= 0).sum())
            chosen = self._roll_in(logits.detach(), targets, step, draws)
            actions: list[Action] = [
                options[place].go if place < len(options) else None
                for options, place in zip(candidates, chosen, strict=True)
            ]
            agent.remember(seen, actions, active)
            left = []
            for place, action in zip(active, actions, strict=True):
                observations[place], _, terminated, truncated, _ = environments[place].step(action)
                if not terminated and not truncated:
                    left.append(place)
            active = left
        decisions = torch.cat(action_losses)
        # The last memory is in the graph, so that all ranks have the same gradients.
        action = decisions.sum() / max(1, num_taught) + 0 * agent.last_memory.sum()
        losses = {"action": action, "teacher/followed": torch.tensor(followed / len(decisions))}
        losses["teacher/decisions"] = torch.tensor(len(decisions) / len(episodes))
        if waypoint_losses:
            losses["waypoint"] = torch.stack(waypoint_losses).mean()
        return losses

    def evaluate(self) -> dict[str, float]:
        """Scores on the held-back episodes; each rank walks a part of them."""
        was_training = self.model.training
        self.model.eval()
        episodes = self._parts[1][self._share.index :: self._share.count]
        device = self.agent.device
        with torch.autocast(device.type, enabled=False):
            mine = walk(self.agent, self._environments_for(8), episodes) if episodes else []
        self.model.train(was_training)
        mine = [WalkedEpisode(episode=o.episode, record=o.record, failure=o.failure) for o in mine]
        return mean_scores([one for part in gather_objects(mine) for one in part])

    def documents(self) -> dict[str, Any]:
        tokenizer = None if self.config.model.text_encoder else self.agent.tokenizer
        facts = {
            f"{name}_{what}": value
            for name, part in zip(("train", "held_back"), self._parts, strict=True)
            for what, value in (("episodes", len(part)), ("sha256", _digest(part)))
        }
        documents: dict[str, Any] = {"data": facts}
        if tokenizer is not None:
            documents["tokenizer"] = tokenizer.to_document()
        return documents

    def _candidates(
        self,
        seen: Seen,
        environments: Sequence[Environment],
        step: int,
        draws: torch.Generator,
    ) -> list[list[Candidate]]:
        if step >= self.config.predicted_from:
            augmented = draws if self.config.resamples_waypoints else None
            return self.agent.candidates(seen, generator=augmented)
        most = self.config.model.max_candidates
        return [[candidate_of(go) for go in e.candidates()[:most]] for e in environments]

    def _teacher(self, environment: Environment, candidates: Sequence[Candidate]) -> int:
        """Place of the best candidate, that of stopping behind them, or -100 where none is."""
        stop = self.config.model.max_candidates
        if not math.isfinite(environment.distance_m):
            return -100
        if environment.distance_m < self.config.teacher_stop_m or not candidates:
            return stop
        left = environment.distances_after([candidate.go for candidate in candidates])
        return min(range(len(left)), key=left.__getitem__)

    def _roll_in(
        self, logits: Tensor, targets: Tensor, step: int, draws: torch.Generator
    ) -> list[int]:
        """The teacher's place with a share that falls, else the network's best."""
        share = self.config.teacher_share_at(step)
        follows = (torch.rand(len(targets), generator=draws) < share).to(targets.device)
        return torch.where(follows & (targets >= 0), targets, logits.argmax(1)).tolist()

    def _environments_for(self, count: int) -> list[Environment]:
        missing = count - len(self._environments)
        if missing > 0:
            self._environments += self.config.world.environments(
                missing,
                side_px=self.agent.side_px,
                num_frames=self.agent.num_frames,
                max_decisions=self.config.model.max_decisions,
            )
        return self._environments[:count]


def _waypoint_loss(seen: Seen, environments: Sequence[Environment]) -> Tensor:
    points = [[(-go.angle, go.distance_m) for go in e.candidates()] for e in environments]
    targets = waypoint_targets(points).to(seen.waypoint_scores.device)
    return waypoint_loss(seen.waypoint_scores, targets)


def _digest(episodes: Sequence[NavigationEpisode]) -> str:
    """Hash of the episodes, so that two runs can be known to share their data."""
    rows = [[e.episode_id, e.scene, e.start, e.goal, e.instruction] for e in episodes]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()
