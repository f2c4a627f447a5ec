"""A configuration becomes the two loaders of a run: one to train on, one held back."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from internvideo.data.cache import FrameCache
from internvideo.data.datasets import ClipDataset, VideoData
from internvideo.data.loading import ClipLoader
from internvideo.errors import ConfigError
from internvideo.values import Annotations, Record, Share

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedData:
    """Loaders of both splits; `facts` say what they hold, for a checkpoint's provenance."""

    train: ClipLoader
    held_back: ClipLoader
    facts: dict[str, Any]
    classes: tuple[str, ...]


def open_data(
    config: VideoData,
    *,
    num_frames: int,
    side_px: int,
    batch_size: int,
    share: Share,
    accumulation: int = 1,
    seed: int = 0,
    broken_file: Path | None = None,
    pin_memory: bool = False,
) -> OpenedData:
    """Read the annotations, fill the caches where asked for, and make the loaders.

    Raises:
        ConfigError, AnnotationError: If a split is empty, or no video is where it should be.
    """
    annotations = config.read()
    chosen = {training: config.select(annotations, training=training) for training in (True, False)}
    loaders = {}
    for training, part in chosen.items():
        if not part.records:
            what = "train on" if training else "evaluate on"
            raise ConfigError(f"{config.source}: no videos to {what}; check data.*_split")
        dataset = ClipDataset(
            part, config, num_frames=num_frames, side_px=side_px, training=training, seed=seed
        )
        dataset.cache = _filled_cache(config, dataset, share)
        loaders[training] = ClipLoader(
            dataset,
            # Each view of a training clip costs what one evaluation clip costs.
            batch_size=batch_size,
            share=share,
            accumulation=accumulation,
            num_workers=config.num_workers,
            broken_file=broken_file,
            pin_memory=pin_memory,
        )
    return OpenedData(
        train=loaders[True],
        held_back=loaders[False],
        facts=_facts(config, chosen[True], chosen[False]),
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


def _facts(config: VideoData, train: Annotations, held_back: Annotations) -> dict[str, Any]:
    return {
        "source": config.source,
        "train_videos": len(train.records),
        "held_back_videos": len(held_back.records),
        "train_sha256": _digest(train.records),
        "held_back_sha256": _digest(held_back.records),
    }


def _digest(records: Sequence[Record]) -> str:
    """Hash of what the annotations say, so that two runs can be known to share their data."""
    rows = [[r.video.name, r.labels, r.captions, r.start_s, r.end_s] for r in records]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()
