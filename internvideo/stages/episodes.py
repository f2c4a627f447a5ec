"""Training on episodes that the model walks itself: episodes instead of clips, in the same loop.

What a task brings is its training configuration, an `EpisodeTraining`. Which episodes a step walks
is a function of (seed, step) alone; what happens in them follows from the weights and the step's
own generator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from internvideo.data import RunContext, VideoData
from internvideo.data.stateless_rng import permutation
from internvideo.errors import ConfigError
from internvideo.training import TrainingConfig


class EpisodeBatch(NamedTuple):
    """Episodes of one micro-batch, and the number of the step that walks them."""

    episodes: list[Any]
    step: int

    def __len__(self) -> int:
        return len(self.episodes)


@runtime_checkable
class EpisodeObjective(Protocol):
    """A network that walks episodes, and what it is trained and judged by."""

    model: nn.Module

    def losses(
        self, episodes: Sequence[Any], step: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Named losses of a micro-batch."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Scores on the held-back episodes, equal on every rank."""
        ...

    def documents(self) -> dict[str, Any]:
        """JSON documents to keep with the weights."""
        ...


@runtime_checkable
class EpisodeTraining(Protocol):
    """What a task's training configuration offers, besides what a run asks of any stage."""

    @property
    def loss_weights(self) -> Mapping[str, float]: ...

    @property
    def training_flops_per_clip(self) -> float: ...

    def open(
        self, data: VideoData, context: RunContext, open_model: Callable[[str], Any]
    ) -> tuple[Sequence[Any], EpisodeObjective]:
        """Read or draw the episodes, make the network and its objective.

        `open_model` opens a frozen encoder by its name.
        """
        ...


class EpisodeStage:
    """The stage as the training loop sees it; see `internvideo.training.Trainable`."""

    def __init__(
        self,
        config: EpisodeTraining,
        data: VideoData,
        training: TrainingConfig,
        context: RunContext,
        *,
        open_model: Callable[[str], Any],
    ) -> None:
        if context.others:
            raise ConfigError("episodes cannot alternate between sources; leave other_sources")
        if training.batch_size % (training.accumulation * context.share.count):
            raise ConfigError(
                f"batch_size {training.batch_size} is not a multiple of accumulation x processes = "
                f"{training.accumulation} x {context.share.count}"
            )
        torch.manual_seed(context.seed)
        self.config = config
        self.episodes, self.objective = config.open(data, context, open_model)
        self.model = self.objective.model
        self.loss_weights = config.loss_weights
        self.videos_per_step = training.batch_size
        self.training_flops_per_clip: float | None = config.training_flops_per_clip
        self._accumulation, self._share, self._seed = (
            training.accumulation,
            context.share,
            context.seed,
        )

    def batches(self, first_step: int) -> Iterator[Sequence[EpisodeBatch]]:
        """This rank's micro-batches; episodes follow one another epoch by epoch."""
        step, share = first_step, self._share
        per_rank = self.videos_per_step // share.count
        per_batch = per_rank // self._accumulation
        while True:
            first = step * self.videos_per_step + share.index * per_rank
            drawn = [self._episode(place) for place in range(first, first + per_rank)]
            yield [
                EpisodeBatch(drawn[start : start + per_batch], step)
                for start in range(0, per_rank, per_batch)
            ]
            step += 1

    def prepare(self, batches: Sequence[EpisodeBatch]) -> Sequence[EpisodeBatch]:
        return batches

    def losses(self, batch: EpisodeBatch, generator: torch.Generator) -> dict[str, Tensor]:
        return self.objective.losses(batch.episodes, batch.step, generator)

    def evaluate(self) -> dict[str, float]:
        return self.objective.evaluate()

    def documents(self) -> dict[str, Any]:
        return self.objective.documents()

    def state(self) -> Any:
        return {}

    def restore(self, state: Any) -> None:
        pass

    def _episode(self, place: int) -> Any:
        epoch, position = divmod(place, len(self.episodes))
        return self.episodes[int(permutation(self._seed, epoch, len(self.episodes))[position])]
