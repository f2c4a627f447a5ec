"""Annotations of videos with sentences as fine-tuning takes them: a record a video, three splits.

Rows of one video become one record with all its sentences. What to choose a checkpoint on is a
split of its own, or a fixed share of the videos to train on; never the split to test on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from internvideo.data import VideoData, held_back_videos
from internvideo.errors import AnnotationError, ConfigError
from internvideo.values import Annotations, Record, View

Sentences = Literal["each", "joined"]


def arrange(
    annotations: Annotations,
    data: VideoData,
    *,
    test_split: str | None = None,
    sentences: Sentences = "each",
    choose_share: float = 0.05,
) -> Annotations:
    """Give each video one record, and hold a share of training back where nothing else is.

    Args:
        annotations: All splits.
        data: Which splits to train on and to choose on.
        test_split: That to test on; records of other splits are left out.
        sentences: Whether a video's sentences are one paragraph.
        choose_share: Of the videos to train on, where the split to choose on does not exist.

    Raises:
        ConfigError: A record has neither caption nor options.
        AnnotationError: A video is in two splits.
    """
    wanted = {data.train_split, data.eval_split, test_split, None}
    records = tuple(r for r in annotations.records if r.split in wanted or not data.train_split)
    records = merged(tuple(map(_stated, records)))
    if sentences == "joined":
        records = tuple(replace(r, captions=(" ".join(r.captions),)) for r in records)
    for record in records:
        if not (record.captions or record.candidates):
            raise ConfigError(f"{data.source}: {record.video} has no caption; give captions to all")
    splits = {record.split for record in records}
    if splits & {data.train_split} and data.eval_split not in splits and data.eval_split:
        train = tuple(record for record in records if record.split == data.train_split)
        chosen = held_back_videos(train, data.source_path, choose_share)
        records = tuple(
            replace(record, split=data.eval_split)
            if record.split == data.train_split and record.video in chosen
            else record
            for record in records
        )
    return replace(annotations, records=records)


def _stated(record: Record) -> Record:
    """A question with options as statements, of which one is true."""
    if record.question is None or record.answer not in record.candidates:
        return record
    said = record.statements
    right = said[record.candidates.index(record.answer)]
    return replace(record, question=None, candidates=said, answer=right)


def merged(records: tuple[Record, ...]) -> tuple[Record, ...]:
    """Join records of one clip; their sentences follow one another, equal ones once.

    Questions with options stay as they are.

    Raises:
        AnnotationError: A video is in two splits.
    """
    of_clip: dict[object, Record] = {}
    split_of: dict[Path, str | None] = {}
    for place, record in enumerate(records):
        if split_of.setdefault(record.video, record.split) != record.split:
            raise AnnotationError(
                f"{record.video}: is in the split {split_of[record.video]!r} and again in "
                f"{record.split!r}; what is tested on may not be trained on"
            )
        key = (record.clip, place if record.candidates else None)
        known = of_clip.get(key)
        if known is not None:
            said = tuple(dict.fromkeys((*known.captions, *record.captions)))
            record = replace(known, captions=said)
        of_clip[key] = record
    return tuple(of_clip.values())


def record_target(record: Record, view: View) -> Mapping[str, Tensor]:
    """By what a record is known in a batch, and whether its clip is mirrored."""
    return {
        "record": torch.tensor(digest(record)),
        "mirrored": torch.tensor(view.mirrored),
    }


def digest(record: Record) -> int:
    """A number for a record, the same in every process."""
    said = repr((record.clip, record.answer, record.candidates)).encode()
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest()) >> 1
