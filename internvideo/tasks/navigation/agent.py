"""Agents: what decides where to go. The trained one, the shortest-path oracle, random walks.

An agent acts for several episodes at once, of which some may be over: `active` are those that are
not, in the order of their observations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from internvideo.heads import Navigator, Seen
from internvideo.models.navigation import ObservationTokens, angle_features
from internvideo.models.navigation.hamt import CANDIDATE, CONTEXT, STOP
from internvideo.navigation import (
    NUM_VIEWS,
    Action,
    Environment,
    Go,
    NavigationEpisode,
    Observation,
    decode_waypoints,
    resample_waypoints,
)
from internvideo.tasks.navigation.frozen import FrozenEncoders
from internvideo.text import Tokenizer

Hidden = Literal["nothing", "instruction", "pictures"]
_FULL_M = 3.0  # distances are given as a share of this


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Choice:
    """A decision, and what it was made among; the last share is that of stopping.

    `words` are shares of attention from the chosen place to the words of the instruction.
    """

    action: Action
    options: tuple[Go, ...] = ()
    shares: tuple[float, ...] = ()
    words: tuple[float, ...] = ()

    @property
    def told(self) -> str:
        """The action for people."""
        if self.action is None:
            return "stop"
        degrees = round(math.degrees(self.action.angle))
        side = "left" if degrees > 0 else "right"
        turn = "ahead" if abs(degrees) < 15 else f"{abs(degrees)} degrees {side}"
        return f"{turn}, {self.action.distance_m:.2f} m"


@runtime_checkable
class Agent(Protocol):
    """What walks episodes."""

    side_px: int | None
    """Side of the views that it is shown; None shows none."""
    num_frames: int
    """How many past views of each direction it is shown."""

    def begin(self, episodes: Sequence[NavigationEpisode]) -> None: ...

    def act(
        self,
        environments: Sequence[Environment],
        observations: Sequence[Observation],
        active: Sequence[int],
    ) -> list[Choice]: ...


class Oracle:
    """Walks the shortest way, which only the simulator knows."""

    side_px, num_frames = None, 0

    def begin(self, episodes: Sequence[NavigationEpisode]) -> None:
        pass

    def act(
        self,
        environments: Sequence[Environment],
        observations: Sequence[Observation],
        active: Sequence[int],
    ) -> list[Choice]:
        return [Choice(action=environment.towards_goal()) for environment in environments]


class RandomWalk:
    """Goes to any of the places where one can go, or stops, each as likely as the others."""

    side_px, num_frames = None, 0

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def begin(self, episodes: Sequence[NavigationEpisode]) -> None:
        names = [e.episode_id.encode() for e in episodes]
        self._random = [np.random.default_rng([self._seed, *name]) for name in names]

    def act(
        self,
        environments: Sequence[Environment],
        observations: Sequence[Observation],
        active: Sequence[int],
    ) -> list[Choice]:
        choices = []
        for environment, place in zip(environments, active, strict=True):
            options = tuple(environment.candidates())
            drawn = int(self._random[place].integers(len(options) + 1))
            action = options[drawn] if drawn < len(options) else None
            equal = (1 / (len(options) + 1),) * (len(options) + 1)
            choices.append(Choice(action=action, options=options, shares=equal))
        return choices


class Candidate(NamedTuple):
    """A place to go, and the view (counterclockwise) that shows it."""

    go: Go
    view: int


class TrainedAgent:
    """The network with the episodes that it walks; also what training differentiates through.

    `hidden` takes the instruction or the pictures from the policy, to see what they are worth.
    Candidates are still predicted from depth: where one can go is no secret.
    """

    def __init__(
        self,
        model: Navigator,
        tokenizer: Tokenizer | None,
        frozen: FrozenEncoders,
        *,
        hidden: Hidden = "nothing",
        device: torch.device | None = None,
    ) -> None:
        self.model, self.tokenizer, self.frozen = model, tokenizer, frozen
        self.hidden = hidden
        self.device = device or next(model.parameters()).device
        self.side_px: int | None = model.config.side_px
        self.num_frames = frozen.num_frames
        angles = torch.arange(NUM_VIEWS, device=self.device) * (math.tau / NUM_VIEWS)
        self._view_angles = angle_features(math.tau - angles)  # the released features go clockwise

    def begin(self, episodes: Sequence[NavigationEpisode]) -> None:
        """Read the instructions, and forget the episodes before."""
        texts = ["" if self.hidden == "instruction" else e.instruction for e in episodes]
        self._texts, policy = texts, self.model.policy
        found = self.frozen.words(texts)
        if found is not None:
            assert policy.text_linear is not None
            self._text, self._padded = policy.text_linear(found[0]), found[1]
        else:
            assert self.tokenizer is not None
            length = self.model.config.context_length
            ids = self.tokenizer(texts, context_length=length, truncate=True)
            self._padded = self.tokenizer.padding_mask(ids)
            kept = int((~self._padded).sum(1).max())
            self._padded = self._padded[:, :kept].to(self.device)
            self._text = policy.encode_text(ids[:, :kept].to(self.device), self._padded)
        self._history = policy.hist_embeddings.first(len(texts))
        self._step = 0

    def look(self, observations: Sequence[Observation]) -> Seen:
        """Features of the views around."""
        colours = torch.from_numpy(np.stack([o.panorama.colours for o in observations]))
        depth = torch.from_numpy(np.stack([o.panorama.depths_m for o in observations]))
        frames = None
        if self.num_frames:
            past = np.stack([o.frames for o in observations if o.frames is not None])
            frames = torch.from_numpy(past).to(self.device)
        colours = colours.to(self.device)
        features = self.frozen.views(colours, frames)
        seen = self.model(colours, depth.to(self.device), features)
        if self.hidden == "pictures":
            blank = torch.zeros_like(seen.image), torch.zeros_like(seen.depth)
            seen = seen._replace(image=blank[0], depth=blank[1])
        return seen

    def candidates(
        self, seen: Seen, *, generator: torch.Generator | None = None
    ) -> list[list[Candidate]]:
        """Where the network thinks one can go; with a generator resampled, as in training."""
        scores = seen.waypoint_scores.detach().cpu()
        found = decode_waypoints(scores, max_peaks=self.model.config.max_candidates)
        if generator is not None:
            found = resample_waypoints(scores, found, generator)
        return [
            [candidate_of(Go(math.remainder(-w.angle, math.tau), w.distance_m)) for w in of_map]
            for of_map in found
        ]

    def logits(
        self, seen: Seen, candidates: Sequence[Sequence[Candidate]], active: Sequence[int]
    ) -> Float[Tensor, "b s"]:
        """Score each candidate, and stopping behind them; absent ones have minus infinity."""
        rows = torch.tensor(active, device=self.device)
        tokens = self._tokens(seen, candidates)
        text, padded, history = self._text[rows], self._padded[rows], self._history[rows]
        most = self.model.config.max_candidates
        return self.model.policy(text, padded, history, tokens)[:, : most + 1]

    def remember(self, seen: Seen, actions: Sequence[Action], active: Sequence[int]) -> None:
        """Add a step to the history; `actions` are those that were taken."""
        angles = [-action.angle if action is not None else 0.0 for action in actions]
        angle = angle_features(torch.tensor(angles, device=self.device))
        last = self.model.config.policy.max_steps - 1
        token = self.model.policy.hist_embeddings(
            seen.image[:, 0], angle, seen.image, self._view_angles, min(self._step, last)
        )
        rows = torch.tensor(active, device=self.device)
        step = torch.zeros_like(self._history[:, :1], dtype=token.dtype)
        self._history = torch.cat([self._history, step.index_copy(0, rows, token)], dim=1)
        self._step += 1

    @property
    def last_memory(self) -> Float[Tensor, "b d"]:
        """The newest token of the history."""
        return self._history[:, -1]

    @torch.no_grad()
    def act(
        self,
        environments: Sequence[Environment],
        observations: Sequence[Observation],
        active: Sequence[int],
    ) -> list[Choice]:
        """Go to the likeliest place."""
        seen = self.look(observations)
        found = self.candidates(seen)
        shares = self.logits(seen, found, active).softmax(1).cpu()
        words = self._word_shares(seen, found, active)
        choices = []
        for row, (options, share) in enumerate(zip(found, shares, strict=True)):
            best = int(share.argmax())
            kept = [*share[: len(options)].tolist(), float(share[-1])]
            action = options[best].go if best < len(options) else None
            choices.append(
                Choice(
                    action=action,
                    options=tuple(option.go for option in options),
                    shares=tuple(kept),
                    words=self._of_words(self._texts[active[row]], words[row, best]),
                )
            )
        self.remember(seen, [choice.action for choice in choices], active)
        return choices

    def _tokens(self, seen: Seen, candidates: Sequence[Sequence[Candidate]]) -> ObservationTokens:
        """Candidates (up to the most that there may be), the stop, and views that show none."""
        most, device = self.model.config.max_candidates, self.device
        count = len(candidates)
        views = torch.zeros(count, most, dtype=torch.long)
        angle, distance = torch.zeros(count, most), torch.zeros(count, most)
        padded = torch.ones(count, most + 1 + NUM_VIEWS, dtype=torch.bool)
        padded[:, most:] = False
        for row, options in enumerate(candidates):
            for place, option in enumerate(options):
                views[row, place] = option.view
                angle[row, place] = -option.go.angle
                distance[row, place] = option.go.distance_m / _FULL_M
                padded[row, place] = False
                padded[row, most + 1 + option.view] = True
        views, angle, distance = views.to(device), angle.to(device), distance.to(device)

        def placed(features: Tensor) -> Tensor:
            of_candidates = features.gather(1, views[..., None].expand(-1, -1, features.shape[2]))
            return torch.cat([of_candidates, torch.zeros_like(features[:, :1]), features], dim=1)

        around = self._view_angles.expand(count, -1, -1)
        stop = torch.zeros(count, 1, 4, device=device)
        far = distance[..., None].expand(-1, -1, 4)
        kinds = torch.tensor([CANDIDATE] * most + [STOP] + [CONTEXT] * NUM_VIEWS, device=device)
        return ObservationTokens(
            image=placed(seen.image),
            depth=placed(seen.depth),
            angle=torch.cat([angle_features(angle), stop, around], dim=1),
            distance=torch.cat([far, stop, torch.zeros_like(around)], dim=1),
            kinds=kinds.expand(count, -1),
            padded=padded.to(device),
        )

    def _word_shares(
        self, seen: Seen, candidates: Sequence[Sequence[Candidate]], active: Sequence[int]
    ) -> Float[Tensor, "b s l"]:
        rows = torch.tensor(active, device=self.device)
        text, padded, history = self._text[rows], self._padded[rows], self._history[rows]
        tokens = self._tokens(seen, candidates)
        return self.model.policy.word_shares(text, padded, history, tokens).cpu()

    def _of_words(self, text: str, shares: Float[Tensor, " l"]) -> tuple[float, ...]:
        """Shares of tokens summed over each word of a text; those of start and end are left out."""
        tokenizer = self.frozen.tokenizer or self.tokenizer
        assert tokenizer is not None
        found, at = [], 1
        for word in text.split():
            count = len(tokenizer.encode(word))
            found.append(float(shares[at : at + count].sum()))
            at += count
        total = sum(found) or 1.0
        return tuple(value / total for value in found)


def candidate_of(go: Go) -> Candidate:
    """A place to go with the view whose 30 degrees hold it."""
    return Candidate(go, round(go.angle / (math.tau / NUM_VIEWS)) % NUM_VIEWS)
