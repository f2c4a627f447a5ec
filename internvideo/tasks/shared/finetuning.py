"""What `internvideo finetune` asks of a task: to read its annotations, to advise, and to validate.

A task that can be fine-tuned names a `FinetuningGuide` as its attribute `finetuning`. The flow is
the same for all: check the data, choose a preset, overfit a few clips, measure the cost, train,
validate, write the page, name the commands that use what was trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from internvideo.data import OpenedData
from internvideo.report import Page
from internvideo.training import OverfitCheck, TrainingConfig
from internvideo.values import Annotations, ClipBatch, Preprocessing

Progress = Callable[[int, int], None]  # how many are done, and of how many


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """How much is trained, for how long; `lr` is for networks below 20 million parameters.

    Without a preset asked for it is taken for fewer than `most_clips` clips to train on.
    """

    trained: Literal["all", "head", "last"]
    num_epochs: int
    least_steps: int
    lr: float
    large_lr: float
    what: str
    most_clips: int | None = None


@runtime_checkable
class CheckedVideos(Protocol):
    """Annotated videos that can be trained on, each with a split."""

    @property
    def annotations(self) -> Annotations: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...
    @property
    def left_out(self) -> tuple[tuple[str, str], ...]: ...
    @property
    def num_decoded(self) -> int: ...
    @property
    def usual_frames(self) -> int | None: ...
    def num_videos(self, split: str) -> int: ...


@runtime_checkable
class PretrainedModel(Protocol):
    """A model with what its files tell of it."""

    @property
    def model(self) -> nn.Module: ...
    @property
    def kind(self) -> str: ...
    @property
    def config(self) -> Any: ...
    @property
    def preprocessing(self) -> Preprocessing: ...
    @property
    def classes(self) -> tuple[str, ...]: ...


@runtime_checkable
class OpenedStage(Protocol):
    """The stage of fine-tuning, as a task sees it."""

    data: OpenedData
    model: nn.Module
    device: torch.device

    def inputs(self, batch: ClipBatch) -> tuple[Float[Tensor, "b c t h w"], ClipBatch]:
        """What the model is given of a batch, and the batch, both on the device."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Validation:
    """What the held-back videos tell: `scores` and `details` as JSON values, `lines` to print."""

    scores: dict[str, Any]
    lines: list[str]
    add_to: Callable[[Page], None]
    details: dict[str, Any] = field(default_factory=dict)


@runtime_checkable
class FinetuningGuide(Protocol):
    """What a task brings to the flow of fine-tuning."""

    presets: Mapping[str, Preset]
    # Recipe whose network is trained where there is no model to start from, and its name in words.
    scratch_recipe: str
    scratch_name: str

    def read(
        self, source: Path, *, root: str | None = None, columns: Mapping[str, str] | None = None
    ) -> Annotations:
        """Read the annotations of all splits."""
        ...

    def check(
        self,
        annotations: Annotations,
        *,
        held_back_share: float,
        decoded: int | None,
        num_workers: int,
        seed: int,
        on_progress: Progress,
    ) -> CheckedVideos:
        """Leave out what cannot be used, name what looks wrong, and hold a part out."""
        ...

    def save(self, videos: CheckedVideos, path: Path) -> CheckedVideos:
        """Write the annotations; what comes back is what they will be read as."""
        ...

    def summary(self, videos: CheckedVideos) -> str:
        """Say in a line what the videos are."""
        ...

    def may_flip(self, videos: CheckedVideos) -> bool:
        """Whether mirrored clips still show what the annotations say."""
        ...

    def configure(
        self,
        videos: CheckedVideos,
        preset: Preset,
        *,
        pretrained: PretrainedModel | None = None,
        weights: Path | None = None,
        scratch: Any = None,
    ) -> Any:
        """The training configuration on a pretrained model with its weights, or on `scratch`.

        Args:
            videos: What is trained on.
            preset: How much is trained.
            pretrained: What to start from.
            weights: Where its weights are.
            scratch: The configuration of `scratch_recipe`, where nothing is started from.

        Raises:
            CheckpointError: The task cannot start from a model of this kind.
        """
        ...

    def overfit(self, stage: OpenedStage, training: TrainingConfig) -> OverfitCheck:
        """See whether a copy of the network can overfit a few clips."""
        ...

    def validate(
        self, task: Any, pretrained: PretrainedModel, held_out: Annotations, *, progress: Progress
    ) -> Validation:
        """Evaluate what was trained by the protocol of `task`, the class whose guide this is."""
        ...
