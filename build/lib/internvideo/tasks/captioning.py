"""Captioning: describe videos in a sentence, and compare with what people wrote.

Scores are BLEU-4 and CIDEr-D over all references of a video and, where a function is given that
reads facts from a sentence, how often each fact is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from internvideo.errors import ConfigError
from internvideo.metrics import bleu, cider_d
from internvideo.tasks.embedding import Captioner, FailedVideo, Progress, Viewing, see_clips
from internvideo.values import Annotations, Record

# What a sentence says, by the name of the fact; None where it says nothing of it.
Slots = Callable[[str], Mapping[str, str | None]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CaptioningResult:
    """`bleu4`, `cider_d` and `slot/<fact>`; a failed video has no caption and nothing right."""

    scores: dict[str, float]
    num_evaluated: int
    num_total: int
    failed: tuple[FailedVideo, ...]
    captions: tuple[str | None, ...]
    references: tuple[tuple[str, ...], ...]
    videos: tuple[Record, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Captioning:
    """Describes each different clip once; the captions of all its records are its references."""

    viewing: Viewing = field(default_factory=Viewing)

    def evaluate(
        self,
        captioner: Captioner,
        annotations: Annotations,
        *,
        slots: Slots | None = None,
        progress: Progress | None = None,
    ) -> CaptioningResult:
        """Describe all videos; raises `ConfigError` where one has no caption to compare with."""
        gathered: dict[tuple[object, ...], list[str]] = {}
        for record in annotations.records:
            gathered.setdefault(record.clip, []).extend(record.captions)
        for record in annotations.records:
            if not gathered[record.clip]:
                raise ConfigError(f"{record.video}: has no caption to compare with")
        seen = see_clips(
            captioner.caption, annotations.records, captioner, self.viewing, progress=progress
        )
        references = tuple(tuple(gathered[clip.clip]) for clip in seen.clips)
        said = [caption or "" for caption in seen.answers]
        scores = {"bleu4": bleu(said, references), "cider_d": cider_d(said, references)}
        if slots is not None:
            shares = slot_accuracy(said, references, slots)
            scores |= {f"slot/{name}": share for name, share in shares.items()}
        return CaptioningResult(
            scores=scores,
            num_evaluated=len(seen.clips) - len(seen.failed),
            num_total=len(seen.clips),
            failed=seen.failed,
            captions=seen.answers,
            references=references,
            videos=seen.clips,
        )

    def predict(self, captioner: Captioner, video: Path) -> str:
        """Describe one video."""
        seen = see_clips(captioner.caption, [Record(video=video)], captioner, self.viewing)
        return str(seen.answers[0])


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
