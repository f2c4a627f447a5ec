"""Training on features of whole videos: sequences instead of clips, in the same loop.

What a task brings is its training configuration, a `SequenceTraining`: where features are, how
sequences are shortened, network and objective. The stage batches sequences; it knows no task.
A sequence's part of an epoch is a function of (seed, epoch, sample) alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from internvideo.data import RunContext, VideoData
from internvideo.data.feature_sequences import FeatureSequence
from internvideo.data.sequence_batches import SequenceBatch, TruncationConfig, pad_sequences
from internvideo.data.stateless_rng import Purpose, generator, permutation
from internvideo.errors import ConfigError
from internvideo.training import TrainingConfig


@runtime_checkable
class SequenceObjective(Protocol):
    """A network on sequences, on the device, and what it is trained and judged by."""

    model: nn.Module

    def prepare(self) -> None:
        """Called once a step, on all ranks together."""
        ...

    def losses(self, batch: SequenceBatch) -> dict[str, Tensor]:
        """Named losses of a micro-batch."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Scores on the held-back videos, equal on every rank."""
        ...

    def documents(self) -> dict[str, Any]:
        """JSON documents to keep with the weights."""
        ...

    def state(self) -> Any:
        """JSON value of what has to survive a stop besides the weights; called on all ranks."""
        ...

    def restore(self, state: Any) -> None: ...


@runtime_checkable
class TrainingSequences(Protocol):
    """Sequences to train on, read when they are asked for."""

    def __len__(self) -> int: ...
    def read(self, index: int) -> FeatureSequence: ...


@runtime_checkable
class SequenceTraining(Protocol):
    """What a task's training configuration offers, besides what a run asks of any stage."""

    @property
    def loss_weights(self) -> Mapping[str, float]: ...

    @property
    def training_flops_per_clip(self) -> float: ...

    @property
    def truncation(self) -> TruncationConfig:
        """How sequences are shortened; all are padded to its `max_length`."""
        ...

    def open(
        self, data: VideoData, context: RunContext
    ) -> tuple[SequenceTraining, TrainingSequences, SequenceObjective]:
        """Read the annotations, find the features, make the network and its objective.

        The configuration comes back with what only the files could tell.
        """
        ...


class FeatureSequenceStage:
    """The stage as the training loop sees it; see `internvideo.training.Trainable`."""

    def __init__(
        self,
        config: SequenceTraining,
        data: VideoData,
        training: TrainingConfig,
        context: RunContext,
    ) -> None:
        if context.others:
            raise ConfigError("features cannot alternate between sources; leave other_sources")
        if training.batch_size % (training.accumulation * context.share.count):
            raise ConfigError(
                f"batch_size {training.batch_size} is not a multiple of accumulation x processes = "
                f"{training.accumulation} x {context.share.count}"
            )
        torch.manual_seed(context.seed)
        self.config, self.sequences, self.objective = config.open(data, context)
        self.model = self.objective.model
        self.loss_weights = config.loss_weights
        self.videos_per_step = training.batch_size
        self.training_flops_per_clip: float | None = config.training_flops_per_clip
        self._accumulation, self._share, self._seed = (
            training.accumulation,
            context.share,
            context.seed,
        )

    def batches(self, first_step: int) -> Iterator[Sequence[SequenceBatch]]:
        """This rank's micro-batches; videos follow one another epoch by epoch, none is dropped."""
        step, share = first_step, self._share
        per_rank = self.videos_per_step // share.count
        per_batch = per_rank // self._accumulation
        while True:
            first = step * self.videos_per_step + share.index * per_rank
            drawn = [self._sequence(place) for place in range(first, first + per_rank)]
            length = self.config.truncation.max_length
            yield [
                pad_sequences(drawn[start : start + per_batch], length)
                for start in range(0, per_rank, per_batch)
            ]
            step += 1

    def prepare(self, batches: Sequence[SequenceBatch]) -> Sequence[SequenceBatch]:
        self.objective.prepare()
        return batches

    def losses(self, batch: SequenceBatch, generator: torch.Generator) -> dict[str, Tensor]:
        return self.objective.losses(batch)

    def evaluate(self) -> dict[str, float]:
        return self.objective.evaluate()

    def documents(self) -> dict[str, Any]:
        return self.objective.documents()

    def state(self) -> Any:
        return self.objective.state()

    def restore(self, state: Any) -> None:
        self.objective.restore(state)

    def _sequence(self, place: int) -> FeatureSequence:
        epoch, position = divmod(place, len(self.sequences))
        index = int(permutation(self._seed, epoch, len(self.sequences))[position])
        drawn = generator(Purpose.WINDOW, self._seed, epoch, index)
        return self.config.truncation(self.sequences.read(index), drawn)
