"""Recognition to look at: confusion matrix, classes, what is confused, and where a model looks.

Shapes: confusion (y, y) counts by class (rows) and answer (columns); probabilities (b, y), NaN
where a video failed; heat (t, h, w) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from internvideo.report.clip_strips import frames_to_show
from internvideo.report.images import picture_strip, png_bytes
from internvideo.report.page import Page
from internvideo.report.plots import Svg, heat_map
from internvideo.values import Record

_LARGEST_MATRIX = 60  # above it only the classes confused most often are drawn
_CLIPS_OF_PAIR = 3
_HOT = (255, 96, 0)


@runtime_checkable
class ClassRow(Protocol):
    """How one class fared."""

    @property
    def name(self) -> str: ...
    @property
    def num_videos(self) -> int: ...
    @property
    def num_right(self) -> int: ...
    @property
    def mistaken_for(self) -> str | None: ...
    @property
    def num_mistaken(self) -> int: ...


@runtime_checkable
class Recognised(Protocol):
    """Which classes were seen in which videos; a protocol, so that a task knows no reports."""

    @property
    def scores(self) -> dict[str, float]: ...
    @property
    def num_evaluated(self) -> int: ...
    @property
    def num_total(self) -> int: ...
    @property
    def probabilities(self) -> Float[Tensor, "b y"]: ...
    @property
    def labels(self) -> Int64[Tensor, " b"]: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def videos(self) -> tuple[Record, ...]: ...
    @property
    def confusion(self) -> Int64[Tensor, "y y"]: ...
    @property
    def per_class(self) -> Sequence[ClassRow]: ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Look:
    """A clip as a model saw it, and where its score of a class came from."""

    name: str
    title: str
    frames: UInt8[Tensor, "t h w 3"]
    heat: Float[Tensor, "t h w"]


def add_recognition(page: Page, result: Recognised, *, num_pairs: int = 6) -> None:
    """Add scores, confusion matrix, the pairs confused most often with clips, and all classes."""
    titles = {"top1": "top-1", "top5": "top-5", "mean_class": "mean over classes"}
    shares = {titles.get(name, name): f"{100 * v:.1f} %" for name, v in result.scores.items()}
    page.headline({**shares, "videos seen": f"{result.num_evaluated} of {result.num_total}"})
    page.chart(confusion_chart(result), caption="Videos that could not be seen are left out.")
    pairs = confused_pairs(result.confusion)[:num_pairs]
    if pairs:
        page.section("Confused most often")
    for truth, answer, count in pairs:
        _add_pair(page, result, truth, answer, count)
    page.section("Classes")
    rows = [
        [
            row.name,
            row.num_videos,
            row.num_right,
            round(100 * row.num_right / row.num_videos, 1),
            f"{row.mistaken_for} ({row.num_mistaken})" if row.mistaken_for else "",
        ]
        for row in sorted(result.per_class, key=lambda row: row.num_right / row.num_videos)
    ]
    page.table(["class", "videos", "right", "%", "mostly mistaken for"], rows)


def confused_pairs(confusion: Int64[Tensor, "y y"]) -> list[tuple[int, int, int]]:
    """List (class, answer, how often) of wrong answers, the most frequent first."""
    wrong = confusion - torch.diag(confusion.diagonal())
    found = [(i, j, int(wrong[i, j])) for i, j in wrong.nonzero().tolist()]
    return sorted(found, key=lambda pair: -pair[2])


def confusion_chart(result: Recognised) -> Svg:
    """Draw answers in percent of each class; of very many classes the most confused ones."""
    confusion = result.confusion
    rows = confusion.sum(1).nonzero()[:, 0].tolist()
    columns = (confusion.sum(0) + confusion.sum(1)).nonzero()[:, 0].tolist()
    title = "What was answered (columns) for each class (rows), in %"
    if len(columns) > _LARGEST_MATRIX:
        pairs = confused_pairs(confusion)
        chosen: dict[int, None] = dict.fromkeys(i for pair in pairs for i in pair[:2])
        columns = sorted(list(chosen or dict.fromkeys(columns))[:_LARGEST_MATRIX])
        rows = [row for row in rows if row in columns]
        title = f"The {len(columns)} classes confused most often, in % of each class (rows)"
    shares = 100 * confusion / confusion.sum(1, keepdim=True).clamp(min=1)
    return heat_map(
        shares[rows][:, columns].round().tolist(),
        [result.classes[i] for i in rows],
        [result.classes[i] for i in columns],
        title=title,
        width=760,
    )


def add_looks(page: Page, looks: Iterable[Look]) -> None:
    """Add clips with what their score depends on laid over them in orange."""
    for look in looks:
        strips = {"seen": look.frames, "looked at": overlaid(look.frames, look.heat)}
        page.text(look.title)
        page.picture(
            png_bytes(picture_strip(strips, side_px=72)),
            alt=f"frames of {look.name} and where the model looks",
            caption=look.name,
        )


def overlaid(
    frames: UInt8[Tensor, "t h w 3"], heat: Float[Tensor, "t h w"]
) -> UInt8[Tensor, "t h w 3"]:
    """Lay the hotter half of the heat over darkened grey frames."""
    usual = heat.median()
    above = ((heat - usual) / (heat.max() - usual).clamp(min=1e-6)).clamp(0, 1)
    grey = 0.7 * frames.float().mean(-1, keepdim=True).expand(-1, -1, -1, 3)
    hot = torch.tensor(_HOT, dtype=torch.float32)
    return torch.lerp(grey, hot, 0.85 * above[..., None]).round().to(torch.uint8)


def _add_pair(page: Page, result: Recognised, truth: int, answer: int, count: int) -> None:
    own = result.labels == truth
    given = result.probabilities.nan_to_num(nan=-1.0).argmax(1)
    wrong = (own & (given == answer) & result.probabilities.isfinite().all(1)).nonzero()[:, 0]
    surest = wrong[result.probabilities[wrong, answer].argsort(descending=True)]
    strips = {}
    for place in surest[:_CLIPS_OF_PAIR].tolist():
        record = result.videos[place]
        share = result.probabilities[place, answer]
        strips[f"{share:.2f}  {_short(record.video.stem)}"] = frames_to_show(record, num_frames=6)
    asked, said = result.classes[truth], result.classes[answer]
    page.text(f"{asked} called {said}: {count} of {int(own.sum())} videos")
    page.picture(
        png_bytes(picture_strip(strips, side_px=1)),
        alt=f"videos of {asked} that were called {said}",
        caption=f"With the probability given to {said}, the surest first.",
    )


def _short(name: str, most: int = 24) -> str:
    return name if len(name) <= most else f"...{name[3 - most :]}"  # files differ in their ends
