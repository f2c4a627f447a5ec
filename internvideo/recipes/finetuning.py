"""Recognition of one's own classes: what a run starts from, how much of it is trained, how long.

The sizes of the presets follow the published fine-tuning of small data sets; they were not searched
for. `docs/guides/finetuning.md` tells what was measured.
"""

from __future__ import annotations

import copy
import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from internvideo.data import (
    FIRST,
    ClipDataset,
    LabelledVideos,
    Sample,
    VideoData,
    sided_classes,
)
from internvideo.errors import CheckpointError, ConfigError, unknown_name
from internvideo.heads import VideoClassifierConfig
from internvideo.models import MaskedEncoderConfig, MultimodalEncoderConfig, UniFormerConfig
from internvideo.recipes.opening import load_pretrained
from internvideo.recipes.pretrained import (
    AutoencoderConfig,
    Preprocessing,
    Pretrained,
    is_saved_model,
    save_pretrained,
)
from internvideo.recipes.released import cache_folder
from internvideo.recipes.run import Run
from internvideo.recipes.tiny_recognition import recognition_tiny_actions_a
from internvideo.stages import PostPretraining, PostPretrainingStage
from internvideo.training import Memorised, OptimiserConfig, TrainingConfig, memorise
from internvideo.training.precision import autocast, resolve_precision
from internvideo.values import ClipBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """How much is trained, for how long; `lr` is for encoders below `_LARGE` parameters."""

    trained: Literal["all", "head", "last"]
    num_epochs: int
    least_steps: int
    lr: float
    large_lr: float
    what: str


PRESETS: dict[str, Preset] = {
    "probe": Preset(
        trained="head",
        num_epochs=40,
        least_steps=200,
        lr=1e-3,
        large_lr=1e-3,
        what="the encoder stays as it is, a head on it is trained",
    ),
    "partial": Preset(
        trained="last",
        num_epochs=30,
        least_steps=300,
        lr=5e-4,
        large_lr=1e-4,
        what="the last quarter of the encoder's blocks and a head are trained",
    ),
    "full": Preset(
        trained="all",
        num_epochs=30,
        least_steps=400,
        lr=1e-3,
        large_lr=1e-4,
        what="all of it is trained",
    ),
}
# Below so many clips to train on, the preset; with more it is "full".
_UP_TO = {"probe": 100, "partial": 1000}
_LARGE = 20_000_000  # parameters
_MEMORISED = 8  # clips


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
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


def open_start(name: str, folder: Path) -> Start:
    """Open what to start from: a run or checkpoint of ours, a saved model, a release, a file.

    Weights in a layout of others are saved into `folder`, as a model of ours.
    """
    found, path = load_pretrained(name), Path(name)
    if not path.exists():
        return Start(name=name, weights=cache_folder() / "models" / name, found=found)
    is_ours = is_saved_model(path) or any(
        (place / "training.json").exists() for place in (path, path / "checkpoints" / "last")
    )
    if not is_ours:
        path = folder / "start"
        shutil.rmtree(path, ignore_errors=True)
        save_pretrained(found, path)
    return Start(name=name, weights=path.absolute(), found=found)


def choose_preset(wanted: str, num_clips: int, *, has_start: bool) -> Choice:
    """Take the preset asked for, or with "auto" the one for so many clips to train on."""
    if wanted not in ("auto", *PRESETS):
        raise unknown_name("preset", wanted, ["auto", *PRESETS])
    if not has_start:
        if wanted in ("probe", "partial"):
            raise ConfigError(
                f"preset {wanted} leaves blocks as they are, but without --from none of them has "
                "learned anything; name a model with --from, or use preset full"
            )
        return Choice(preset="full", why="without --from nothing is learned yet")
    if wanted != "auto":
        return Choice(preset=wanted, why="asked for")
    for preset, most in _UP_TO.items():
        if num_clips < most:
            return Choice(preset=preset, why=f"{num_clips} clips to train on, fewer than {most}")
    return Choice(preset="full", why=f"{num_clips} clips to train on, {most} or more")


def finetuning_run(
    videos: LabelledVideos,
    manifest: Path,
    *,
    preset: str,
    start: Start | None = None,
    num_steps: int | None = None,
) -> Run:
    """Give the run that trains on `videos`, which are listed in `manifest`."""
    chosen, num_classes = PRESETS[preset], len(videos.annotations.classes)
    optimiser = OptimiserConfig(
        weight_decay=0.05, betas=(0.9, 0.999), layer_decay=0.75, clip_gradient=1.0
    )
    if start is None:
        stage, seen, optimiser = _from_scratch(videos, num_classes)
    else:
        stage = _from_start(start, preset, num_classes)
        seen = start.found.preprocessing
    is_large = stage.num_parameters >= _LARGE
    batch_size = min(16 if is_large else 32, videos.num_videos("train"))
    epoch = -(-videos.num_videos("train") // batch_size)
    steps = num_steps or max(chosen.least_steps, chosen.num_epochs * epoch)
    lr = chosen.large_lr if is_large else chosen.lr
    stage = replace(
        stage,
        trained=chosen.trained,
        num_trained_blocks=max(1, stage.model.encoder.depth // 4),
        label_smoothing=0.1,
    )
    few_pixels = stage.model.encoder.side_px <= 112
    return Run(
        name="finetune",
        stage=stage,
        data=VideoData(
            source=str(manifest),
            sampling=seen.sampling,
            stride_frames=seen.stride_frames,
            eval_crop=seen.crop,
            flip=not sided_classes(videos.annotations.classes),
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


def memorise_few(stage: PostPretrainingStage, training: TrainingConfig) -> Memorised:
    """Let a copy of the stage's model learn a few clips of different classes by heart."""
    model = copy.deepcopy(stage.model).eval()  # nothing is dropped
    dataset = stage.data.train[FIRST].dataset
    batch = _few_clips(dataset)
    clip, labels = stage.inputs(batch)
    precision = resolve_precision(training.precision, stage.device)
    frozen = not any(p.requires_grad for p in model.encoder.parameters())
    with torch.no_grad(), autocast(precision, stage.device):
        represented = model.represent(clip) if frozen else None

    def logits() -> torch.Tensor:
        with autocast(precision, stage.device):
            if represented is None:
                return model(clip)
            return model.classify(model.normalise(represented))

    # A head that is all there is to learn takes larger steps.
    lr = training.optimiser.lr * (10 if frozen else 1)
    return memorise(logits, model.parameters(), labels, lr=lr)


def measure_cost(stage: PostPretrainingStage, run: Run) -> Cost:
    """Time one step on a few clips: second pass of forward and backward, and their decoding."""
    training, loader = run.training, stage.data.train[FIRST]
    few = min(_MEMORISED, training.batch_size)
    began = time.perf_counter()
    samples = [loader.dataset.sample(i % len(loader.dataset)) for i in range(few)]
    decoding_s = (time.perf_counter() - began) / few
    batch = _batch(samples)
    precision = resolve_precision(training.precision, stage.device)
    generator = torch.Generator(stage.device).manual_seed(0)
    stage.model.eval()
    for _ in range(2):
        began = time.perf_counter()
        with autocast(precision, stage.device):
            loss = stage.losses(batch, generator)["classification"]
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


def _from_scratch(
    videos: LabelledVideos, num_classes: int
) -> tuple[PostPretraining, Preprocessing, OptimiserConfig]:
    """The tiny classifier, whose clips span no more than the usual video has."""
    run = recognition_tiny_actions_a()
    stage = run.stage
    assert isinstance(stage, PostPretraining)
    frames = stage.clip_frames
    stride = run.data.stride_frames
    if videos.usual_frames is not None:
        stride = min(stride, max(1, videos.usual_frames // frames))
    model = replace(stage.model, num_classes=num_classes)
    return (
        replace(stage, model=model),
        Preprocessing(num_frames=frames, stride_frames=stride),
        run.training.optimiser,
    )


def _from_start(start: Start, preset: str, num_classes: int) -> PostPretraining:
    """The classifier on an encoder as it was trained: configuration, units, normalisation."""
    config, seen = start.found.config, start.found.preprocessing
    if isinstance(config, VideoClassifierConfig):
        model = replace(config, num_classes=num_classes)
    elif isinstance(config, MultimodalEncoderConfig | UniFormerConfig):
        video = config.video if isinstance(config, MultimodalEncoderConfig) else config
        model = VideoClassifierConfig(
            encoder=video, num_classes=num_classes, pooling="query", dropout=0.1
        )
    elif isinstance(config, MaskedEncoderConfig | AutoencoderConfig):
        encoder = config.encoder if isinstance(config, AutoencoderConfig) else config
        fixed = {} if seen.in_clip_units else {"pixel_mean": seen.mean, "pixel_std": seen.std}
        model = VideoClassifierConfig(
            encoder=replace(encoder, final_norm=False, drop_path=0.1, **fixed),
            num_classes=num_classes,
            # Tokens made for rebuilding pixels tell little in the mean (VideoMAE, table 2): a head
            # that is all there is to learn reads them with a query.
            pooling="attentive" if preset == "probe" else "mean",
            units="clip" if seen.in_clip_units else "fixed",
            dropout=0.1,
        )
    else:
        raise CheckpointError(
            f"{start.name}: holds a {start.found.kind} model, which finetune does not know; it "
            "starts from runs of masked-pretraining, multimodal-pretraining and post-pretraining, "
            "and from released encoders and classifiers of these kinds"
        )
    stage = PostPretraining(model=model, initial_weights=str(start.weights))
    if not isinstance(model.encoder, UniFormerConfig):
        return stage
    return replace(stage, num_frames=seen.num_frames, pixel_mean=seen.mean, pixel_std=seen.std)


def _few_clips(dataset: ClipDataset) -> ClipBatch:
    """Middle clips of a few training videos that can be decoded, of different classes in turn."""
    plain = copy.copy(dataset)
    plain.training, plain.num_views = False, 1
    turns: dict[int, int] = {}
    order = []
    for index, record in enumerate(dataset.records):
        label = record.labels[0]
        turns[label] = turns.get(label, 0) + 1
        order.append((turns[label], index))
    samples = []
    for _, index in sorted(order):
        sample = plain.sample(index)
        if len(sample.views):
            samples.append(sample)
        if len(samples) == _MEMORISED:
            break
    if not samples:
        raise ConfigError("no video to train on can be decoded; `internvideo data scan` names them")
    return _batch(samples)


def _batch(samples: list[Sample]) -> ClipBatch:
    return ClipBatch(
        frames=torch.cat([sample.views for sample in samples]),
        seeds=torch.cat([sample.seeds for sample in samples]),
        sources=tuple(s.source for s in samples for _ in s.views),
        labels=torch.tensor([s.label for s in samples for _ in s.views]),
    )
