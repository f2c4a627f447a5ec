"""Configurations become the loaders of a run: what to train on, and what is held back."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from internvideo.data.cache import FrameCache
from internvideo.data.datasets import ClipDataset, VideoData
from internvideo.data.key_frames import KeyFrameDataset
from internvideo.data.loading import ClipLoader
from internvideo.data.mixture import MixedLoader
from internvideo.data.targets import Targets
from internvideo.errors import ConfigError
from internvideo.values import Annotations, ClipBatch, Preprocessing, Record, Share

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Further data of a run, which takes turns with its first: whole steps, in the given shares.

    Of annotations without splits nothing is held back. Without a `batch_size` or `num_frames` it
    has those of the run; images are clips of one frame. `weight` is how many steps it has for one
    step on the first.
    """

    data: VideoData
    weight: float = 1.0
    batch_size: int | None = None
    num_frames: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.weight < float("inf"):
            raise ConfigError(f"weight {self.weight} of a source is not positive; leave it out")
        for name in ("batch_size", "num_frames"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} {value} of a source is below 1")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClipRequest:
    """What a stage asks of its data: which videos, clips for which model, how many, with what.

    `batch_size` counts clips of one optimiser step over all ranks; each view of a training clip
    costs what one evaluation clip costs. `arrange` makes of the annotations as they were read those
    to use, of all splits.
    """

    videos: VideoData
    preprocessing: Preprocessing
    batch_size: int
    accumulation: int = 1
    targets: Targets | None = None
    arrange: Callable[[Annotations], Annotations] | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RunContext:
    """What all parts of one run share: its seed, this process's place in it, its folder.

    `others` are the further sources of clips, by name.
    """

    seed: int
    share: Share
    device: torch.device
    folder: Path
    others: Mapping[str, Source] = field(default_factory=dict)


FIRST = "first"  # name of what a run's `data` describes, beside its other sources


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedData:
    """Loaders of a run, those to train on by name; `facts` say what they hold, for provenance."""

    train: dict[str, ClipLoader]
    weights: dict[str, float]
    held_out: ClipLoader
    facts: dict[str, Any]
    classes: tuple[str, ...]

    def batches(self, first_step: int) -> Iterator[Sequence[ClipBatch]]:
        """This rank's micro-batches of every step, each step's from one source."""
        if len(self.train) == 1:
            return self.train[FIRST].batches(first_step)
        return MixedLoader(self.train, self.weights).batches(first_step)

    def state(self) -> dict[str, Any]:
        """Which videos were found broken, as a JSON value."""
        return {name: loader.broken.state() for name, loader in self.train.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        for name, loader in self.train.items():
            loader.broken.restore(state.get(name, []))


def open_data(request: ClipRequest, context: RunContext) -> OpenedData:
    """Read the annotations, fill the caches where asked for, and make the loaders.

    Raises:
        ConfigError, AnnotationError: If a split is empty, or no video is where it should be.
    """
    config, seen = request.videos, request.preprocessing
    first = Source(data=config)

    def loader(source: Source, part: Annotations, *, training: bool) -> ClipLoader:
        if not part.records:
            what = "train on" if training else "evaluate on"
            raise ConfigError(f"{source.data.source}: no videos to {what}; check data.*_split")
        has_key_frames = any(record.key_s is not None for record in part.records)
        dataset = (KeyFrameDataset if has_key_frames else ClipDataset)(
            part,
            source.data,
            num_frames=source.num_frames or seen.num_frames,
            side_px=seen.side_px,
            training=training,
            seed=context.seed,
            targets=request.targets,
        )
        dataset.cache = _filled_cache(source.data, dataset, context.share)
        return ClipLoader(
            dataset,
            batch_size=source.batch_size or request.batch_size,
            share=context.share,
            accumulation=request.accumulation,
            num_workers=source.data.num_workers,
            broken_file=context.folder / "broken.jsonl",
            pin_memory=context.device.type == "cuda",
        )

    annotations = config.read()
    if request.arrange is not None:
        annotations = request.arrange(annotations)
    held_out = config.select(annotations, training=False)
    train = {FIRST: loader(first, config.select(annotations, training=True), training=True)}
    for name, source in context.others.items():
        whole = replace(source, data=replace(source.data, held_back_share=0.0))
        part = whole.data.select(whole.data.read(), training=True)
        train[name] = loader(whole, part, training=True)
    return OpenedData(
        train=train,
        weights={FIRST: 1.0} | {name: source.weight for name, source in context.others.items()},
        held_out=loader(first, held_out, training=False),
        facts=_facts(train, held_out),
        classes=annotations.classes,
    )


def _filled_cache(config: VideoData, dataset: ClipDataset, share: Share) -> FrameCache | None:
    if not config.cache_mb:
        return None

    def tell(done: int, total: int) -> None:
        if done == total or done % 500 == 0:
            _log.info("frames in memory: %d of %d videos", done, total)

    return FrameCache.fill(
        dataset.records,
        short_side_px=dataset.short_side_px,
        budget_mb=config.cache_mb,
        num_threads=max(1, (os.cpu_count() or 1) // share.count),
        shared=config.num_workers > 0,
        progress=tell,
    )


def _facts(train: Mapping[str, ClipLoader], held_out: Annotations) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "held_back_videos": len(held_out.records),
        "held_back_sha256": _digest(held_out.records),
    }
    for name, loader in train.items():
        records, prefix = loader.dataset.records, "" if name == FIRST else f"{name}_"
        facts[f"{prefix}source"] = loader.dataset.config.source
        facts[f"{prefix}train_videos"] = len(records)
        facts[f"{prefix}train_sha256"] = _digest(records)
    return facts


def _digest(records: Sequence[Record]) -> str:
    """Hash of what the annotations say, so that two runs can be known to share their data."""
    rows: list[list[object]] = [
        [r.video.name, r.labels, r.captions, r.start_s, r.end_s] for r in records
    ]
    for row, r in zip(rows, records, strict=True):
        if r.key_s is not None:
            row += [r.key_s, [[box.xyxy, box.labels] for box in r.boxes]]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()
