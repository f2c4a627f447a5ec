"""What `internvideo finetune` asks of a task, its `FinetuningGuide`, and the plan that it gives.

A task that can be fine-tuned names a guide as its attribute `finetuning`. The flow is the same for
all: read and check the data, save them as the run's manifest, prepare what training reads besides
them, plan the run, overfit a few clips where the task can, measure the cost, train, validate, write
the page, name the commands that use what was trained.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypedDict, Unpack, runtime_checkable

import torch
from torch import nn

from internvideo.data import VideoData
from internvideo.report import Page
from internvideo.training import OptimiserConfig, OverfitCheck, TrainingConfig
from internvideo.values import Annotations, Preprocessing

Progress = Callable[[int, int], None]  # how many are done, and of how many

_LARGE = 20_000_000  # parameters


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """How much is trained, for how long; `lr` is for networks below 20 million parameters.

    Without a preset asked for it is taken for fewer than `most_clips` items to train on.
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
    """Annotated videos that can be trained on, each with a split: an `OwnVideos`, say."""

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
    def num_items(self, split: str) -> int: ...


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


class Checking(TypedDict):
    """Options of checking videos before training; see `internvideo.data.check_videos`."""

    held_back_share: float
    decoded: int | None
    num_workers: int
    seed: int
    on_progress: Progress


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceModel:
    """A trained model: the name it was asked for by, and where its weights are."""

    name: str
    weights: Path
    found: PretrainedModel


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What is to be planned: the checked videos, as saved in the run's folder, and the options.

    Without `source` the network of `scratch`, the run of the guide's `scratch_recipe`, is trained
    from scratch. `num_steps` stands instead of the preset's.
    """

    videos: CheckedVideos
    folder: Path
    preset: Preset
    source: SourceModel | None = None
    scratch: Any = None
    num_steps: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A run but for its name and seed; `stage` is the task's training configuration."""

    stage: Any
    data: VideoData
    training: TrainingConfig


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Validation:
    """What the held-back videos tell: `scores` and `details` as JSON values, `lines` to print.

    `kept` is what the model keeps of it in its provenance.
    """

    scores: dict[str, Any]
    lines: list[str]
    add_to: Callable[[Page], None]
    details: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)


class FinetuningGuide(ABC):
    """What a task brings to the flow of fine-tuning.

    Attributes:
        presets: By name, those for fewer items first.
        manifest: Name of the file of annotations in the run's folder; `read` reads it too.
        unit: What a step counts and training is done on.
        scratch_recipe: Recipe whose network is trained where there is no model to start from; None
            where there has to be one.
        scratch_name: That network in words.
    """

    presets: ClassVar[Mapping[str, Preset]]
    manifest: ClassVar[str] = "videos.csv"
    unit: ClassVar[str] = "clips"
    scratch_recipe: ClassVar[str | None] = None
    scratch_name: ClassVar[str] = ""

    @abstractmethod
    def read(
        self, source: Path, *, root: str | None = None, columns: Mapping[str, str] | None = None
    ) -> Annotations:
        """Read the annotations of all splits."""

    @abstractmethod
    def check(self, annotations: Annotations, **options: Unpack[Checking]) -> CheckedVideos:
        """Leave out what cannot be used, name what looks wrong, and hold a part out.

        `internvideo.data.check_videos` does what is the same for all annotations.
        """

    @abstractmethod
    def save(self, videos: Any, path: Path) -> CheckedVideos:
        """Write the annotations; what comes back is what they will be read as."""

    @abstractmethod
    def summary(self, videos: Any) -> str:
        """Say in a line what the videos are."""

    def prepare(self, request: Request, *, device: torch.device, progress: Progress) -> None:  # noqa: B027
        """Write what training reads besides the videos into the run's folder, such as features.

        After a stop it is called again, and goes on where it was.
        """

    @abstractmethod
    def plan(self, request: Request) -> Plan:
        """Choose stage, data and training.

        Raises:
            CheckpointError: The task cannot start from a model of this kind.
        """

    @abstractmethod
    def starting(self, plan: Plan, name: str | None) -> str:
        """Say in a line what training starts from: the model of this name, or from scratch."""

    def overfit(self, stage: Any, training: TrainingConfig) -> OverfitCheck | None:
        """See whether a copy of the network can overfit a few clips; None where none is tried."""
        return None

    @abstractmethod
    def validate(
        self, task: Any, pretrained: PretrainedModel, held_out: Annotations, *, progress: Progress
    ) -> Validation:
        """Evaluate what was trained by the protocol of `task`, the class whose guide this is."""

    def next_commands(
        self, task: str, folder: Path, *, video: Path, split: str, ema: tuple[str, ...]
    ) -> list[tuple[object, ...]]:
        """Words of the commands that use the run in `folder`: on a held-back video, on a split."""
        data = ("--data", folder / self.manifest, "--split", split)
        return [
            ("predict", task, video, "--model", folder, *ema),
            ("evaluate", task, folder, *data, *ema),
        ]


def plan_on_clips(
    request: Request,
    stage: Any,
    data: VideoData,
    *,
    seen: Preprocessing,
    keep_best: str,
    optimiser: OptimiserConfig | None = None,
) -> Plan:
    """Plan the training of an encoder with a head on clips.

    Args:
        request: What is planned.
        stage: The task's training configuration.
        data: Source, format, and whether clips are mirrored; the rest is filled in here.
        seen: How the encoder sees clips.
        keep_best: Score of the held-back videos by which the best checkpoint is chosen.
        optimiser: All but the rate and its warm-up; that of fine-tuning by default.
    """
    preset, num_train = request.preset, request.videos.num_items("train")
    optimiser = optimiser or OptimiserConfig(
        weight_decay=0.05, betas=(0.9, 0.999), layer_decay=0.75, clip_gradient=1.0
    )
    is_large = stage.num_parameters >= _LARGE
    batch_size = min(16 if is_large else 32, num_train)
    steps = request.num_steps or max(
        preset.least_steps, preset.num_epochs * -(-num_train // batch_size)
    )
    lr = preset.large_lr if is_large else preset.lr
    few_pixels = seen.side_px <= 112
    return Plan(
        stage=stage,
        data=replace(
            data,
            sampling=seen.sampling,
            stride_frames=seen.stride_frames,
            eval_crop=seen.crop,
            # Small frames are kept in memory; large ones are decoded beside the training.
            cache_mb=2048 if few_pixels else 0,
            num_workers=0 if few_pixels else min(8, os.cpu_count() or 1),
        ),
        training=TrainingConfig(
            num_steps=steps,
            batch_size=batch_size,
            optimiser=replace(
                optimiser, lr=lr, final_lr=lr / 100, warmup_steps=min(50, steps // 10)
            ),
            log_every=max(1, min(25, steps // 4)),
            evaluate_every=max(1, steps // 5),
            checkpoint_every=max(1, min(200, steps // 5)),
            keep_best=keep_best,
        ),
    )


def clips_from(plan: Plan, name: str | None, scratch_name: str) -> str:
    """Say in a line what clips an encoder starts to be trained on, and from what."""
    seen = plan.stage.preprocessing(plan.data)
    return (
        f"start: {name or f'from scratch (no --from), {scratch_name}'}, "
        f"{plan.stage.num_parameters / 1e6:.2g} M parameters, clips of {seen.num_frames} frames of "
        f"{seen.side_px} px, "
        + ("one of each segment" if seen.sampling == "segments" else "")
        + (f"{seen.stride_frames} apart" if seen.sampling == "dense" else "")
    )
