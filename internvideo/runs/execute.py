"""A run becomes a trained model: stage and data are built, then the one loop trains them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from internvideo.data import RunContext
from internvideo.errors import ConfigError
from internvideo.heads import VideoClassifier
from internvideo.hub.open import load_pretrained, load_recogniser
from internvideo.runs.description import checkpoint_documents
from internvideo.runs.run import STAGES, Run, to_document
from internvideo.stages import (
    CoordinationStage,
    CoordinationTraining,
    EpisodeStage,
    FeatureSequenceStage,
    FinetuneStage,
    MaskedPretrainingStage,
    MultimodalPretrainingStage,
    TrainedClassifier,
)
from internvideo.tasks import RecognitionModel
from internvideo.training import Outcome, Process, Progress, train

Stage = (
    MaskedPretrainingStage
    | MultimodalPretrainingStage
    | FinetuneStage
    | FeatureSequenceStage
    | EpisodeStage
    | CoordinationStage
)


def execute(
    run: Run,
    folder: Path,
    *,
    process: Process,
    resume: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> tuple[Outcome, Stage]:
    """Train `run` into `folder`; the stage comes back with its trained model."""
    run, stage = build_stage(run, folder, process)
    outcome = train(
        stage,
        run.training,
        folder=folder,
        run=to_document(run),
        documents=checkpoint_documents(run),
        seed=run.seed,
        process=process,
        resume=resume,
        on_progress=on_progress,
    )
    return outcome, stage


def build_stage(run: Run, folder: Path, process: Process) -> tuple[Run, Stage]:
    """Build the stage; the run comes back with what only other files could tell."""
    context = RunContext(
        seed=run.seed,
        share=process.share,
        device=process.device,
        folder=folder,
        others=run.other_sources,
    )
    more: dict[str, Any] = {}
    if isinstance(run.stage, CoordinationTraining):
        config, classifiers = _with_classifiers(run.stage)
        run, more = replace(run, stage=config), {"classifiers": classifiers}
    kind = STAGES[type(run.stage)]
    if kind is not FeatureSequenceStage:  # whose network depends on its features
        _check_fits(run, process)
    if kind is EpisodeStage:
        more = {"open_model": load_pretrained}
    stage = kind(run.stage, run.data, run.training, context, **more)
    if isinstance(stage, FeatureSequenceStage):
        run = replace(run, stage=stage.config)
    return run, stage


def _check_fits(run: Run, process: Process) -> None:
    """Refuse sizes that no memory here holds, before anything of them is made."""
    device, count = process.device, process.share.count
    if device.type == "cuda":
        held = count * torch.cuda.get_device_properties(device).total_memory
    else:
        held = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    seen = run.stage.preprocessing(run.data)
    clips = run.training.batch_size // (count * run.training.accumulation)
    for what, needed in (
        ("the weights of its network", 4 * run.stage.num_parameters),
        (f"the {clips} clips of a step", clips * seen.num_frames * 3 * seen.side_px**2),
    ):
        if needed > held:
            raise ConfigError(
                f"{run.name}: {what} take {needed / 1e9:.3g} GB, and there are {held / 1e9:.3g}; "
                "choose smaller sizes, or more accumulation"
            )


def _with_classifiers(
    stage: CoordinationTraining,
) -> tuple[CoordinationTraining, tuple[TrainedClassifier, TrainedClassifier]]:
    """Read the two classifiers, and write down what they are."""
    found: dict[str, RecognitionModel] = {}
    for name, encoder in (("masked", "A"), ("multimodal", "B")):
        folder = getattr(stage, name)
        if folder is None:
            raise ConfigError(
                f"stage.{name} is none; name a run of post-pretraining of encoder {encoder}, as in "
                f"--set stage.{name}=runs/NAME"
            )
        found[name] = load_recogniser(folder)
        if not isinstance(found[name].model, VideoClassifier):
            raise ConfigError(f"stage.{name}={folder}: is no classifier on one encoder")
    a, b = found["masked"], found["multimodal"]
    pair = replace(
        stage.pair,
        masked=a.model.config,
        multimodal=b.model.config,
        masked_mean=a.mean,
        masked_std=a.std,
        multimodal_mean=b.mean,
        multimodal_std=b.std,
    )
    starts = [
        TrainedClassifier(
            weights=model.model.state_dict(), classes=model.classes, source=getattr(stage, name)
        )
        for name, model in found.items()
    ]
    return replace(stage, pair=pair), (starts[0], starts[1])
