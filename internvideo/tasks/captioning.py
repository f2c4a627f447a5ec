"""Captioning: describe videos in a sentence, and compare with what people wrote.

Scores are BLEU-4 and CIDEr-D over all references of a video and, where a function is given that
reads facts from a sentence, how often each fact is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.metrics import bleu, cider_d
from internvideo.report import Page, frames_to_show, picture_strip, png_bytes
from internvideo.tasks.shared.inference import Captioner, Inference, predict_clips
from internvideo.tasks.shared.requests import VideoRequest
from internvideo.tasks.shared.task import Progress, Result, Task
from internvideo.tasks.shared.video_text import VideoTextModel
from internvideo.values import Annotations, Record

# What a sentence says, by the name of the fact; None where it says nothing of it.
Slots = Callable[[str], Mapping[str, str | None]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CaptioningResult(Result):
    """`bleu4`, `cider_d` and `slot/<fact>`; a failed video has no caption and nothing right."""

    captions: tuple[str | None, ...]
    references: tuple[tuple[str, ...], ...]
    videos: tuple[Record, ...]

    def add_to(self, page: Page, *, num_videos: int = 6) -> None:
        """Add the scores, and videos evenly over the set with their caption and its references."""
        page.facts({name: f"{value:.3f}" for name, value in self.scores.items()})
        places = torch.linspace(0, len(self.videos) - 1, min(len(self.videos), num_videos))
        for place in places.round().long().tolist():
            said, video = self.captions[place], self.videos[place]
            written = " · ".join(dict.fromkeys(self.references[place]))
            if said is None:
                page.text(f"{video.video.name} could not be decoded; references: {written}")
                continue
            page.text(f"“{said}”")
            page.picture(
                png_bytes(picture_strip({"": frames_to_show(video, num_frames=8)}, side_px=1)),
                alt=f"frames of {video.video.name}",
                caption=f"References: {written}",
            )


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A sentence about a video."""

    text: str

    def lines(self) -> list[str]:
        return [self.text]

    def to_json(self) -> dict[str, Any]:
        return {"caption": self.text}


@dataclass(frozen=True, kw_only=True)
class Captioning(Task):
    """Describes each different clip once; the captions of all its records are its references."""

    name = "captioning"
    summary = "what happens in a video, in a sentence"
    model_type = VideoTextModel
    metrics = ("bleu4", "cider_d", "slot/*")
    datasets = ("MSR-VTT", "MSVD", "VATEX")
    formats = ("manifest", "msr-vtt", "msvd", "vatex", "webvid")

    num_beams: int = 1
    """Captions considered at a time; 1 takes the likeliest word each time."""
    inference: Inference = field(default_factory=Inference)

    def __post_init__(self) -> None:
        if self.num_beams < 1:
            raise ConfigError(f"num_beams is {self.num_beams}, expected 1 or more")

    def evaluate(
        self,
        model: Captioner,
        data: Annotations,
        *,
        slots: Slots | None = None,
        progress: Progress | None = None,
    ) -> CaptioningResult:
        """Describe all videos; raises `ConfigError` where one has no caption to compare with."""
        gathered: dict[tuple[object, ...], list[str]] = {}
        for record in data.records:
            gathered.setdefault(record.clip, []).extend(record.captions)
        for record in data.records:
            if not gathered[record.clip]:
                raise ConfigError(f"{record.video}: has no caption to compare with")
        described = predict_clips(
            self._caption(model), data.records, model, self.inference, progress=progress
        )
        references = tuple(tuple(gathered[clip.clip]) for clip in described.clips)
        said = [caption or "" for caption in described.values]
        scores = {"bleu4": bleu(said, references), "cider_d": cider_d(said, references)}
        if slots is not None:
            shares = slot_accuracy(said, references, slots)
            scores |= {f"slot/{name}": share for name, share in shares.items()}
        return CaptioningResult(
            scores=scores,
            num_evaluated=len(described.clips) - len(described.failed),
            num_total=len(described.clips),
            failed=described.failed,
            captions=described.values,
            references=references,
            videos=described.clips,
        )

    def predict(
        self, model: Captioner, request: VideoRequest, *, progress: Progress | None = None
    ) -> Caption:
        """Describe one video."""
        records = [Record(video=request.video)]
        described = predict_clips(
            self._caption(model), records, model, self.inference, progress=progress
        )
        return Caption(text=str(described.values[0]))

    def _caption(self, model: Captioner) -> Callable[[UInt8[Tensor, "b t h w 3"]], list[str]]:
        return partial(model.caption, num_beams=self.num_beams)


def slot_accuracy(
    captions: Sequence[str], references: Sequence[Sequence[str]], slots: Slots
) -> dict[str, float]:
    """Give, fact by fact, the share of captions that say what the first reference to say it does.

    Facts that no reference of a video tells are left out for it; a caption silent on one is wrong.
    """
    right: dict[str, list[bool]] = {}
    for caption, group in zip(captions, references, strict=True):
        truth: dict[str, str] = {}
        for reference in group:
            told = slots(reference)
            truth |= {k: v for k, v in told.items() if v is not None and k not in truth}
        said = slots(caption)
        for name, value in truth.items():
            right.setdefault(name, []).append(said.get(name) == value)
    return {name: sum(hits) / len(hits) for name, hits in sorted(right.items())}
