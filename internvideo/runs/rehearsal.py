"""A rehearsal: the same run with networks of a few thousand parameters, for two steps.

Before a cluster is asked for, it shows that annotations, videos, labels and settings fit together:
data, losses, evaluation and checkpoints are the recipe's own, only widths, depths, frames and
steps are small, and nothing is started from. What it learns is nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

from internvideo.heads import AnticipatorConfig, NavigatorConfig
from internvideo.models import (
    CaptionDecoderConfig,
    DecoderConfig,
    MaskedEncoderConfig,
    MultimodalEncoderConfig,
    TextEncoderConfig,
    UniFormerConfig,
)
from internvideo.models.actionformer import ActionFormerConfig
from internvideo.models.navigation import BertConfig, HamtConfig, WaypointPredictorConfig
from internvideo.runs.run import Run
from internvideo.tasks import HandForecastingTraining, NavigationTraining
from internvideo.tiny import TinyPanoramaConfig
from internvideo.values import Annotations

_log = logging.getLogger(__name__)

_WIDTH = 32
_VOCABULARY = 1000
_NUM_STEPS = 2
_BATCH_SIZE = 2


def _masked(config: MaskedEncoderConfig) -> MaskedEncoderConfig:
    size = config.tubelet
    return replace(
        config,
        num_frames=2 * size.time,
        side_px=2 * max(size.height, size.width),
        width=_WIDTH,
        depth=2,
        num_heads=2,
        drop_path=0.0,
    )


def _uniformer(config: UniFormerConfig) -> UniFormerConfig:
    return replace(
        config,
        side_px=2 * config.patch_px,
        width=_WIDTH,
        depth=2,
        num_heads=2,
        num_global_heads=2,
        global_layers=(1,) if config.global_layers else (),
    )


def _multimodal(config: MultimodalEncoderConfig) -> MultimodalEncoderConfig:
    return replace(_within(config), embed_dim=_WIDTH)


def _captioner(config: CaptionDecoderConfig) -> CaptionDecoderConfig:
    return replace(config, width=_WIDTH, context_width=_WIDTH, num_heads=2, depth=1)


def _actionformer(config: ActionFormerConfig) -> ActionFormerConfig:
    return replace(
        config, width=_WIDTH, num_heads=2, pyramid_width=_WIDTH, head_width=_WIDTH, drop_path=0.0
    )


def _navigator(config: NavigatorConfig) -> NavigatorConfig:
    """An agent that sees and reads by itself: frozen encoders are no part of a rehearsal."""
    tiny = TinyPanoramaConfig(side_px=16, image_width=_WIDTH)
    text = BertConfig(
        vocabulary_size=_VOCABULARY,
        context_length=config.context_length,
        width=_WIDTH,
        depth=1,
        num_heads=2,
        hidden=_WIDTH,
        dropout=0.0,
    )
    return replace(
        config,
        policy=HamtConfig(
            text=text,
            num_cross_layers=1,
            num_panorama_layers=1,
            image_width=_WIDTH,
            depth_width=tiny.depth_channels,
            max_steps=4,
            trains_text=True,
            trains_history=True,
        ),
        waypoints=WaypointPredictorConfig(
            features=16 * tiny.depth_channels, width=_WIDTH, depth=1, num_heads=2, hidden=_WIDTH
        ),
        depth=None,
        tiny=tiny,
        video_encoder=None,
        image_encoder=None,
        text_encoder=None,
        max_decisions=4,
    )


_SMALL: dict[type, Callable[[Any], Any]] = {
    MaskedEncoderConfig: _masked,
    UniFormerConfig: _uniformer,
    MultimodalEncoderConfig: _multimodal,
    CaptionDecoderConfig: _captioner,
    ActionFormerConfig: _actionformer,
    NavigatorConfig: _navigator,
    DecoderConfig: lambda config: replace(config, width=_WIDTH, depth=1, num_heads=2),
    TextEncoderConfig: lambda config: replace(config, width=_WIDTH, depth=2, num_heads=2),
}
# What a run would start from, and what belongs to that start.
_STARTS = ("initial_weights", "head_rows", "merge_clip")


def rehearsal(run: Run) -> Run:
    """The same run, small: see above. Classes and answers are counted in the run's data.

    Episodes of navigation are walked in generated houses where the run would ask a Habitat server.

    Raises:
        AnnotationError: The data cannot be read.
    """
    stage = _within(run.stage)
    present = {field.name for field in fields(stage)}
    # Without a start nothing learned is there to be kept.
    without = {**dict.fromkeys(_STARTS), "freeze_text": False}
    stage = replace(stage, **{name: value for name, value in without.items() if name in present})
    if "num_frames" in present and getattr(stage, "num_frames", None):
        stage = replace(stage, num_frames=4)
    if isinstance(stage, NavigationTraining):
        stage = replace(
            stage,
            bert=None,
            waypoint_weights=None,
            depth_weights=None,
            policy_weights=None,
            vocabulary_size=_VOCABULARY,
            world=replace(stage.world, habitat=None),
            num_eval_episodes=_BATCH_SIZE,
        )
    elif not isinstance(stage, HandForecastingTraining):
        stage = _with_classes(stage, run.data.read(with_videos=False))
    training = replace(
        run.training,
        num_steps=_NUM_STEPS,
        batch_size=_BATCH_SIZE,
        accumulation=1,
        cpu_processes=1,
        optimiser=replace(run.training.optimiser, warmup_steps=0),
        log_every=1,
        evaluate_every=_NUM_STEPS,
        checkpoint_every=_NUM_STEPS,
        parallel="ddp",
        compile=False,
    )
    data = replace(run.data, num_workers=0, views_per_video=1)
    _log.warning("a rehearsal of %s: two steps of a tiny network, which learns nothing", run.name)
    return replace(run, stage=stage, data=data, training=training)


def _within(config: Any) -> Any:
    """Make every network in a configuration small."""
    changed = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if type(value) in _SMALL:
            changed[field.name] = _SMALL[type(value)](value)
        elif is_dataclass(value) and not isinstance(value, type):
            changed[field.name] = _within(value)
    return replace(config, **changed) if changed else config


def _with_classes(stage: Any, data: Annotations) -> Any:
    """Give heads over classes as many outputs as the data have classes."""
    count, model = len(data.classes), getattr(stage, "model", None)
    if not count or model is None or not is_dataclass(model) or isinstance(model, type):
        return stage
    if isinstance(model, AnticipatorConfig):  # whose classes are nouns, then verbs
        num_nouns = 1 + max(box.labels[0] for record in data.records for box in record.boxes)
        detector = replace(model.detector, num_classes=count - num_nouns)
        return replace(stage, model=replace(model, num_nouns=num_nouns, detector=detector))
    if "num_classes" not in {field.name for field in fields(model)} or model.num_classes <= 1:
        return stage  # no classes, or one output for all of them
    return replace(stage, model=replace(model, num_classes=count))
