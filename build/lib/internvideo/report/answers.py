"""Answers to look at: generated captions beside the truth, and multiple choice.

Shapes: options (b, y) are scores, minus infinity past the last option of a question and NaN where
its video could not be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.report.clip_strips import frames_to_show
from internvideo.report.images import picture_strip, png_bytes
from internvideo.report.page import Page
from internvideo.report.plots import bar_chart
from internvideo.values import Record


@runtime_checkable
class Captioned(Protocol):
    """Videos with what was said of them, None where nothing could be, and what people wrote."""

    @property
    def scores(self) -> dict[str, float]: ...
    @property
    def captions(self) -> tuple[str | None, ...]: ...
    @property
    def references(self) -> tuple[tuple[str, ...], ...]: ...
    @property
    def videos(self) -> tuple[Record, ...]: ...


@runtime_checkable
class Answered(Protocol):
    """Questions with the scores of their options; `answers` are the right ones."""

    @property
    def scores(self) -> dict[str, float]: ...
    @property
    def options(self) -> Float[Tensor, "b y"]: ...
    @property
    def answers(self) -> Int64[Tensor, " b"]: ...
    @property
    def questions(self) -> tuple[Record, ...]: ...


def add_captions(page: Page, result: Captioned, *, num_videos: int = 6) -> None:
    """Add the scores, and videos evenly over the set with their caption and its references."""
    page.facts({name: f"{value:.3f}" for name, value in result.scores.items()})
    for place in _evenly(len(result.videos), num_videos):
        said, video = result.captions[place], result.videos[place]
        written = " · ".join(dict.fromkeys(result.references[place]))
        if said is None:
            page.text(f"{video.video.name} could not be decoded; people wrote: {written}")
            continue
        page.text(f"“{said}”")
        page.picture(
            png_bytes(picture_strip({"": frames_to_show(video, num_frames=8)}, side_px=1)),
            alt=f"frames of {video.video.name}",
            caption=f"People wrote: {written}",
        )


def add_multiple_choice(
    page: Page,
    results: Mapping[str, Answered],
    *,
    shuffled: Mapping[str, Answered] | None = None,
    num_questions: int = 5,
) -> None:
    """Add the accuracies of each kind of question beside chance, and the hardest questions.

    Args:
        page: Where to.
        results: By the kind of question (which word the options differ in, say).
        shuffled: The same with the frames of each clip shuffled: what is lost was read from time.
        num_questions: How many questions of each kind are listed.
    """
    kinds = list(results)
    accuracies = {"accuracy": [results[kind].scores["accuracy"] for kind in kinds]}
    if shuffled:
        lost = [shuffled[k].scores["accuracy"] if k in shuffled else float("nan") for k in kinds]
        accuracies["frames shuffled"] = lost
    accuracies["chance"] = [results[kind].scores["chance"] for kind in kinds]
    page.chart(bar_chart(kinds, accuracies, title="Multiple choice"))
    rows = [row for kind in kinds for row in _hardest(kind, results[kind], num_questions)]
    page.text("The questions whose right answer got the smallest share of each kind:")
    page.table(["kind", "video", "right", "share", "chosen", "share"], rows)


def _hardest(kind: str, result: Answered, count: int) -> list[list[object]]:
    shares = result.options.softmax(1)
    own = shares.gather(1, result.answers[:, None])[:, 0]
    rows: list[list[object]] = []
    for place in own.nan_to_num(nan=-1.0).argsort(stable=True)[:count].tolist():
        question = result.questions[place]
        row: list[object] = [kind, question.video.name, question.answer]
        if own[place].isnan():
            rows.append([*row, "–", "the video could not be decoded", "–"])
            continue
        best = int(shares[place].argmax())
        chosen = "✓" if best == result.answers[place] else question.candidates[best]
        rows.append([*row, f"{own[place]:.2f}", chosen, f"{shares[place, best]:.2f}"])
    return rows


def _evenly(size: int, count: int) -> Sequence[int]:
    return torch.linspace(0, size - 1, min(size, count)).round().long().tolist()
