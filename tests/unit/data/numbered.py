"""A data set without videos: the pixels of a view tell its sample, epoch and view."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch

from internvideo.data import ClipDataset, Targets, VideoData, label_target
from internvideo.data.stateless_rng import sample_seed
from internvideo.errors import DecodeError
from internvideo.values import Annotations, Record

LABELS = Targets(make=label_target)


class Numbered(ClipDataset):
    """`size` samples; `broken` are never decoded, and `trouble` happens at the second one."""

    def __init__(
        self,
        size,
        *,
        num_views=1,
        seed=0,
        training=True,
        broken=(),
        trouble=None,
        says=(),
        asks=(),
        targets=LABELS,
        **data,
    ):
        records = tuple(
            Record(
                video=Path(f"{i}.mp4"),
                labels=(i % 2,),
                captions=tuple(f"{caption} {i}" for caption in says),
                candidates=tuple(f"{option} {i}" for option in asks),
                answer=f"{asks[0]} {i}" if asks else None,
            )
            for i in range(size)
        )
        config = VideoData(source="videos.csv", views_per_video=num_views, **data)
        super().__init__(
            Annotations(records=records, classes=("even", "odd")),
            config,
            num_frames=1,
            side_px=2,
            training=training,
            seed=seed,
            targets=targets,
        )
        self.broken = frozenset(broken)
        self.trouble = trouble

    def _window(self, index, rng):
        if index in self.broken:
            raise DecodeError(f"{index}.mp4: is broken")
        if index == 1 and self.trouble == "bug":
            raise KeyError("a bug")
        if index == 1 and self.trouble == "death":
            os.kill(os.getpid(), signal.SIGKILL)
        if index == 1 and self.trouble == "hang":
            time.sleep(60)
        return torch.full((1, 2, 2, 3), index, dtype=torch.uint8), torch.zeros(1).double()


def keys(batches):
    """What is in batches: (source, seed) of every clip, in order."""
    return [
        key for batch in batches for key in zip(batch.sources, batch.seeds.tolist(), strict=True)
    ]


def expected_seed(index, epoch, view=0, seed=0):
    return sample_seed(seed, epoch, index, view)


__all__ = ["Numbered", "expected_seed", "keys"]
