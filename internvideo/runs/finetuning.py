"""Fine-tuning on one's own videos: what a run starts from, how much of it is trained, how long.

What differs from task to task comes from the task's `FinetuningGuide`.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from internvideo.data import FIRST, VideoData
from internvideo.errors import CheckpointError, ConfigError, unknown_name
from internvideo.hub.open import load_pretrained
from internvideo.hub.pretrained import Pretrained, is_saved_model, save_pretrained
from internvideo.hub.released import cache_folder
from internvideo.runs.run import Run
from internvideo.stages import FinetuneStage
from internvideo.tasks import TASKS
from internvideo.tasks.shared import CheckedVideos, FinetuningGuide
from internvideo.training import OptimiserConfig, TrainingConfig
from internvideo.training.precision import autocast, resolve_precision

_LARGE = 20_000_000  # parameters
_TIMED_CLIPS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceModel:
    """A trained encoder: the name it was asked for by, and where its weights are."""

    name: str
    weights: Path
    found: Pretrained


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A preset, and why it."""

    preset: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Of a run: seconds of one step of so many clips, as measured just now."""

    num_steps: int
    clips_per_step: int
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
    guide: FinetuningGuide, wanted: str, num_clips: int, *, has_start: bool
) -> Choice:
    """Take the preset asked for, or with "auto" the one for so many clips to train on."""
    presets = guide.presets
    if wanted not in ("auto", *presets):
        raise unknown_name("preset", wanted, ["auto", *presets])
    if not has_start:
        if wanted != "auto" and presets[wanted].trained != "all":
            raise ConfigError(
                f"preset {wanted} leaves blocks as they are, but without --from none of them has "
                "learned anything; name a model with --from, or use preset full"
            )
        return Choice(preset="full", why="without --from nothing is learned yet")
    if wanted != "auto":
        return Choice(preset=wanted, why="asked for")
    least = 0
    for name, preset in presets.items():
        most = preset.most_clips
        if most is None:
            return Choice(preset=name, why=f"{num_clips} clips to train on, {least} or more")
        if num_clips < most:
            return Choice(preset=name, why=f"{num_clips} clips to train on, fewer than {most}")
        least = most
    raise ConfigError(f"no preset is for {num_clips} clips; known: {', '.join(presets)}")


def finetuning_run(
    guide: FinetuningGuide,
    videos: CheckedVideos,
    manifest: Path,
    *,
    preset: str,
    scratch: Run,
    source: SourceModel | None = None,
    num_steps: int | None = None,
) -> Run:
    """Give the run that trains on `videos`, which are listed in `manifest`.

    Args:
        guide: What the task brings.
        videos: What is trained and validated on.
        manifest: The file that lists them.
        preset: How much is trained.
        scratch: The run of the guide's `scratch_recipe`, whose network is trained without `source`.
        source: What to start from.
        num_steps: Instead of those of the preset.
    """
    chosen = guide.presets[preset]
    if source is None:
        stage = guide.configure(videos, chosen, scratch=scratch.stage)
        seen, optimiser = scratch.stage.preprocessing(scratch.data), scratch.training.optimiser
        if videos.usual_frames is not None:  # clips span no more than the usual video has
            longest = max(1, videos.usual_frames // seen.num_frames)
            seen = replace(seen, stride_frames=min(seen.stride_frames, longest))
    else:
        try:
            stage = guide.configure(videos, chosen, pretrained=source.found, weights=source.weights)
        except CheckpointError as error:
            raise CheckpointError(f"{source.name}: {error}") from error
        seen = source.found.preprocessing
        optimiser = OptimiserConfig(
            weight_decay=0.05, betas=(0.9, 0.999), layer_decay=0.75, clip_gradient=1.0
        )
    is_large = stage.num_parameters >= _LARGE
    batch_size = min(16 if is_large else 32, videos.num_videos("train"))
    epoch = -(-videos.num_videos("train") // batch_size)
    steps = num_steps or max(chosen.least_steps, chosen.num_epochs * epoch)
    lr = chosen.large_lr if is_large else chosen.lr
    few_pixels = seen.side_px <= 112
    return Run(
        name="finetune",
        stage=stage,
        data=VideoData(
            source=str(manifest),
            sampling=seen.sampling,
            stride_frames=seen.stride_frames,
            eval_crop=seen.crop,
            flip=guide.may_flip(videos),
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
        ),
    )


def measure_cost(stage: FinetuneStage, run: Run) -> Cost:
    """Time one step on a few clips: second pass of forward and backward, and their decoding."""
    training, dataset = run.training, stage.data.train[FIRST].dataset
    few = min(_TIMED_CLIPS, training.batch_size)
    began = time.perf_counter()
    samples = [dataset.sample(i % len(dataset)) for i in range(few)]
    decoding_s = (time.perf_counter() - began) / few
    batch = dataset.collate(samples)
    precision = resolve_precision(training.precision, stage.device)
    generator = torch.Generator(stage.device).manual_seed(0)
    stage.model.eval()
    for _ in range(2):
        began = time.perf_counter()
        with autocast(precision, stage.device):
            losses = stage.losses(batch, generator)
            loss = sum(losses[name] * weight for name, weight in stage.loss_weights.items())
        assert isinstance(loss, torch.Tensor)
        loss.backward()
        loss.item()  # waits for the device
        clip_s = (time.perf_counter() - began) / few
    stage.model.train()
    stage.model.zero_grad(set_to_none=True)
    workers = run.data.num_workers
    per_clip_s = max(clip_s, decoding_s / workers) if workers else clip_s + decoding_s
    return Cost(
        num_steps=training.num_steps,
        clips_per_step=training.batch_size,
        step_s=per_clip_s * training.batch_size,
    )
