"""Fine-tuning on one's own videos: what a run starts from, how much of it is trained, how long.

What differs from task to task comes from the task's `FinetuningGuide`.
"""

from __future__ import annotations

import copy
import shutil
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from internvideo.errors import CheckpointError, ConfigError, unknown_name
from internvideo.hub.open import load_pretrained
from internvideo.hub.pretrained import is_saved_model, save_pretrained
from internvideo.hub.released import cache_folder
from internvideo.runs.run import Run
from internvideo.tasks import TASKS
from internvideo.tasks.shared import FinetuningGuide, Request, SourceModel
from internvideo.training import TrainingConfig
from internvideo.training.precision import autocast, resolve_precision

_LONG_S = 2.0  # a step that takes longer is timed once, without a first one to warm up


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A preset, and why it."""

    preset: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Of a run: seconds of one step on so many items, as measured just now."""

    num_steps: int
    items_per_step: int
    step_s: float

    @property
    def total_s(self) -> float:
        return self.num_steps * self.step_s


def finetuning_guide(task: str) -> FinetuningGuide:
    """What a task brings to fine-tuning.

    Raises:
        ConfigError: There is no such task, or nothing of it is fine-tuned.
    """
    if task not in TASKS:
        raise unknown_name("task", task, TASKS)
    guides = {name: getattr(of, "finetuning", None) for name, of in TASKS.items()}
    guide = guides[task]
    if guide is None:
        can = ", ".join(name for name, found in guides.items() if found is not None)
        raise ConfigError(f"{task} cannot be fine-tuned yet; tasks that can: {can}")
    return guide


def open_source(name: str, folder: Path) -> SourceModel:
    """Open what to start from: a run or checkpoint of ours, a saved model, a release, a file.

    Weights in a layout of others are saved into `folder`, as a model of ours.
    """
    found, path = load_pretrained(name), Path(name)
    if not path.exists():
        return SourceModel(name=name, weights=cache_folder() / "models" / name, found=found)
    is_ours = is_saved_model(path) or any(
        (place / "training.json").exists() for place in (path, path / "checkpoints" / "last")
    )
    if not is_ours:
        path = folder / "start"
        shutil.rmtree(path, ignore_errors=True)
        save_pretrained(found, path)
    return SourceModel(name=name, weights=path.absolute(), found=found)


def choose_preset(
    guide: FinetuningGuide, wanted: str, num_items: int, *, has_start: bool
) -> Choice:
    """Take the preset asked for, or with "auto" the one for so many items to train on."""
    presets = guide.presets
    if wanted not in ("auto", *presets):
        raise unknown_name("preset", wanted, ["auto", *presets])
    if not has_start and guide.scratch_recipe is None:
        raise ConfigError(
            "this task trains on what a trained encoder sees; name a model with --from: a run, a "
            "saved model, or a name from `internvideo weights list`"
        )
    if not has_start:
        if wanted != "auto" and presets[wanted].trained != "all":
            raise ConfigError(
                f"preset {wanted} leaves blocks as they are, but without --from none of them has "
                "learned anything; name a model with --from, or use preset full"
            )
        whole = next(name for name, preset in presets.items() if preset.trained == "all")
        return Choice(preset=whole, why="without --from nothing is learned yet")
    if wanted != "auto":
        return Choice(preset=wanted, why="asked for")
    least = 0
    for name, preset in presets.items():
        most, told = preset.most_clips, f"{num_items} {guide.unit} to train on"
        if most is None:
            return Choice(preset=name, why=f"{told}, {least} or more" if least else told)
        if num_items < most:
            return Choice(preset=name, why=f"{told}, fewer than {most}")
        least = most
    raise ConfigError(f"no preset is for {num_items} {guide.unit}; known: {', '.join(presets)}")


def finetuning_run(guide: FinetuningGuide, request: Request) -> Run:
    """Give the run that trains on the videos of a request.

    Raises:
        CheckpointError: The task cannot start from a model of this kind; the message names it.
    """
    try:
        plan = guide.plan(request)
    except CheckpointError as error:
        name = request.source.name if request.source else "from scratch"
        raise CheckpointError(f"{name}: {error}") from error
    return Run(name="finetune", stage=plan.stage, data=plan.data, training=plan.training)


def measure_cost(stage: Any, training: TrainingConfig) -> Cost:
    """Time a step of any stage: forward and backward of a micro-batch, and the next one's reading.

    The stage is left as it was.
    """
    precision = resolve_precision(training.precision, next(stage.model.parameters()).device)
    state = copy.deepcopy(stage.state())
    stage.model.eval()
    with closing(stage.batches(0)) as batches:
        computing_s = _timed(stage, next(batches), precision)
        began = time.perf_counter()
        following = next(batches)
        reading_s = time.perf_counter() - began
        if computing_s < _LONG_S:
            computing_s = _timed(stage, following, precision)
    stage.model.train()
    stage.model.zero_grad(set_to_none=True)
    stage.restore(state)
    return Cost(
        num_steps=training.num_steps,
        items_per_step=training.batch_size,
        step_s=computing_s + reading_s,
    )


def _timed(stage: Any, batches: Any, precision: Any) -> float:
    """Seconds of a step, from its first micro-batch."""
    device = next(stage.model.parameters()).device
    began = time.perf_counter()
    prepared = stage.prepare(batches)
    with autocast(precision, device):
        losses = stage.losses(prepared[0], torch.Generator(device).manual_seed(0))
        total = sum(losses[name] * weight for name, weight in stage.loss_weights.items())
    assert isinstance(total, torch.Tensor)
    total.backward()
    total.item()  # waits for the device
    return (time.perf_counter() - began) * len(batches)
