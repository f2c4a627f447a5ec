"""Stage 3: an encoder with a head is trained on annotated videos, for any task.

Source: InternVideo, section 3.1 (supervised post-pretraining) and 4.2 (fine-tuning for a task).
What a task brings is its training configuration, a `TaskTraining`: preprocessing, targets, network
and objective. The stage opens the data and drives them; it knows no task.
A batch arrives as bytes (b, t, h, w, 3) with the targets that the task asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from internvideo.data import (
    FIRST,
    ClipRequest,
    OpenedData,
    RunContext,
    Targets,
    VideoData,
    open_data,
)
from internvideo.training import TrainingConfig, in_step
from internvideo.values import Annotations, ClipBatch, Preprocessing
from internvideo.video.transforms import normalise

# One evaluation batch: the network's input, the batch itself, and whether it counts. With several
# ranks some batches only keep the others company.
EvaluationBatch = tuple[Float[Tensor, "b c t h w"], ClipBatch, bool]


@runtime_checkable
class TaskObjective(Protocol):
    """A network with its head, on the device, and what it is trained and judged by."""

    model: nn.Module

    def losses(
        self,
        clip: Float[Tensor, "b c t h w"],
        batch: ClipBatch,
        generator: torch.Generator,
        *,
        epoch: float,
        num_epochs: float,
    ) -> dict[str, Tensor]:
        """Named means over the micro-batch, whose targets are on the device."""
        ...

    def evaluate(self, batches: Iterable[EvaluationBatch]) -> dict[str, float]:
        """Scores of the held-back clips of all ranks, equal on every rank."""
        ...

    def documents(self) -> dict[str, Any]:
        """JSON documents to keep with the weights, besides those on the data."""
        ...


@runtime_checkable
class TaskTraining(Protocol):
    """What a task's training configuration offers; an attribute `training` of the task names it.

    A frozen dataclass with a field `kind`, by which a run's JSON says whose it is.
    """

    @property
    def loss_weights(self) -> Mapping[str, float]:
        """The losses that are trained on, and what each counts."""
        ...

    @property
    def training_flops_per_clip(self) -> float: ...

    @property
    def targets(self) -> Targets:
        """What is made of each record and view."""
        ...

    def preprocessing(self, data: VideoData) -> Preprocessing:
        """How the model sees clips of these data, in training and afterwards."""
        ...

    def read_initial_weights(self) -> Any:
        """What to start from, read before any video is opened; `build` is given it."""
        ...

    def build(self, data: OpenedData, initial: Any, context: RunContext) -> TaskObjective:
        """Check the annotations, and make the network and its objective.

        The stage has seeded torch; the network is on the context's device.
        """
        ...


@runtime_checkable
class StepObjective(TaskObjective, Protocol):
    """An objective whose losses depend on all clips of a step."""

    def prepare(self, parts: Sequence[tuple[Float[Tensor, "b c t h w"], ClipBatch]]) -> None:
        """See the micro-batches of this rank before the losses of each are asked for."""
        ...


@runtime_checkable
class ArrangingTraining(TaskTraining, Protocol):
    """A task's training configuration that does not take annotations as they are."""

    def arrange(self, annotations: Annotations, data: VideoData) -> Annotations:
        """What to train and evaluate on, with their splits, of what was read."""
        ...


class FinetuneStage:
    """The stage as the training loop sees it; see `internvideo.training.Trainable`."""

    def __init__(
        self,
        config: TaskTraining,
        data: VideoData,
        training: TrainingConfig,
        context: RunContext,
    ) -> None:
        self.config, self.device = config, context.device
        initial = config.read_initial_weights()
        self.loss_weights = config.loss_weights
        self.videos_per_step = training.batch_size // data.views_per_video
        self.training_flops_per_clip = config.training_flops_per_clip
        self.preprocessing = config.preprocessing(data)
        self.data = open_data(
            ClipRequest(
                videos=data,
                preprocessing=self.preprocessing,
                batch_size=training.batch_size,
                accumulation=training.accumulation,
                targets=config.targets,
                arrange=partial(config.arrange, data=data)
                if isinstance(config, ArrangingTraining)
                else None,
            ),
            context,
        )
        self.classes = self.data.classes
        torch.manual_seed(context.seed)
        self.objective = config.build(self.data, initial, context)
        self.model = self.objective.model
        self._steps_per_epoch = self.data.train[FIRST].steps_per_epoch
        self._step, self._num_steps = 0, training.num_steps

    def batches(self, first_step: int) -> Iterator[Sequence[ClipBatch]]:
        self._step = first_step
        return self.data.batches(first_step)

    def prepare(self, batches: Sequence[ClipBatch]) -> Sequence[ClipBatch]:
        self._step += 1
        if isinstance(self.objective, StepObjective):
            self.objective.prepare([self.inputs(batch) for batch in batches])
        return batches

    def losses(self, batch: ClipBatch, generator: torch.Generator) -> dict[str, Tensor]:
        clip, batch = self.inputs(batch)
        return self.objective.losses(
            clip,
            batch,
            generator,
            epoch=(self._step - 1) / self._steps_per_epoch,
            num_epochs=self._num_steps / self._steps_per_epoch,
        )

    def evaluate(self) -> dict[str, float]:
        """Scores on the held-back videos, as the task defines them."""
        steps = in_step(self.data.held_out.once(), self.device)
        return self.objective.evaluate((*self.inputs(batch), counted) for batch, counted in steps)

    def documents(self) -> dict[str, Any]:
        return {"data": self.data.facts, **self.objective.documents()}

    def state(self) -> Any:
        return self.data.state()

    def restore(self, state: Any) -> None:
        self.data.restore(state)

    def inputs(self, batch: ClipBatch) -> tuple[Float[Tensor, "b c t h w"], ClipBatch]:
        """What the model is given of a batch, and the batch, both on the device."""
        batch = batch.to(self.device)
        seen = self.preprocessing
        return normalise(batch.frames, mean=seen.mean, std=seen.std), batch
