"""What action recognition measured, and its page: confusion matrix, confused pairs, saliency.

Shapes: confusion (y, y) counts by class (rows) and answer (columns); probabilities (b, y), NaN
where a video failed; heat (t, h, w) in [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from internvideo.metrics import acceptance_threshold, confusion_matrix
from internvideo.report import (
    Page,
    Svg,
    frames_to_show,
    heat_map,
    overlaid,
    picture_strip,
    png_bytes,
)
from internvideo.tasks.shared.classification import RecognitionModel
from internvideo.tasks.shared.inference import ClipSampling
from internvideo.tasks.shared.saliency import middle_view, saliency
from internvideo.tasks.shared.task import Result
from internvideo.values import Record

_ACCEPTED = 0.95  # share of evaluated videos that the threshold of unknown ones accepts
_LARGEST_MATRIX = 60  # above it only the classes confused most often are drawn
_CLIPS_OF_PAIR = 3
_SALIENCY_CLIPS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassResult:
    """How one class fared; failed videos count among `num_videos`, not among `num_right`.

    `mistaken_for` is the most frequent wrong answer, given `num_mistaken` times.
    """

    name: str
    num_videos: int
    num_right: int
    mistaken_for: str | None
    num_mistaken: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ActionRecognitionResult(Result):
    """Accuracies over all videos, and what was answered to each.

    `classes` are the model's and `labels` places among them. `probabilities` are NaN where a video
    failed; they are means over `num_views` views.
    """

    probabilities: Float[Tensor, "b y"]
    labels: Int64[Tensor, " b"]
    classes: tuple[str, ...]
    videos: tuple[Record, ...]
    num_views: int

    @property
    def confusion(self) -> Int64[Tensor, "y y"]:
        """How many videos of each class (rows) were called what (columns), without failed ones."""
        return confusion_matrix(self.probabilities, self.labels)

    def add_to(self, page: Page) -> None:
        """Add scores, confusion matrix, the pairs confused most often, and all classes."""
        page.text(f"Views of each video: {self.num_views}.")
        add_recognition(page, self)

    @property
    def unknown_below(self) -> float:
        """The probability that the likeliest class of 95 % of the videos reaches; below it a video
        shows no class of the model more often than these do."""
        likeliest = self.probabilities[self.probabilities.isfinite().all(1)].amax(1)
        if not len(likeliest):
            return math.nan
        return 1 - acceptance_threshold(1 - likeliest, accepted=_ACCEPTED)

    def lines(self) -> list[str]:
        return [*Result.lines(self), self.about_unknown("--unknown-below")]

    def about_unknown(self, option: str) -> str:
        """What `unknown_below` is good for, in a line; `option` of `predict` takes it."""
        return (
            f"{_ACCEPTED:.0%} of these videos have a class of probability {self.unknown_below:.3f} "
            f"or more: with predict {option} others are answered unknown"
        )

    def to_json(self) -> dict[str, Any]:
        return {**Result.to_json(self), "unknown_below": self.unknown_below}

    @property
    def confused_pairs(self) -> list[tuple[int, int, int]]:
        """Wrong answers as (class, answer, how often), the most frequent first."""
        return confused_pairs(self.confusion)

    @property
    def per_class(self) -> tuple[ClassResult, ...]:
        """The classes that occur, in the model's order."""
        confusion = self.confusion
        right = confusion.diagonal()
        wrong = confusion - torch.diag(right)
        times, answer = wrong.max(1)
        counts = torch.bincount(self.labels, minlength=len(self.classes))
        return tuple(
            ClassResult(
                name=self.classes[i],
                num_videos=int(counts[i]),
                num_right=int(right[i]),
                mistaken_for=self.classes[int(answer[i])] if times[i] else None,
                num_mistaken=int(times[i]),
            )
            for i in counts.nonzero()[:, 0].tolist()
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MultiLabelResult(Result):
    """Average precision of each class over videos that show any number of them.

    `precisions` are NaN for classes that no video shows; `probabilities` as above, each class by
    itself.
    """

    probabilities: Float[Tensor, "b y"]
    shown: Bool[Tensor, "b y"]
    classes: tuple[str, ...]
    precisions: Float[Tensor, " y"]
    videos: tuple[Record, ...]
    num_views: int

    def to_json(self) -> dict[str, Any]:
        return {**Result.to_json(self), "average_precision": dict(self._rows)}

    def add_to(self, page: Page) -> None:
        """Add mAP, and the classes with their average precision, the worst first."""
        page.text(f"Views of each video: {self.num_views}.")
        seen = f"{self.num_evaluated} of {self.num_total}"
        page.headline({"mAP": f"{100 * self.scores['map']:.1f} %", "videos seen": seen})
        page.section("Classes")
        counts = dict(zip(self.classes, self.shown.sum(0).tolist(), strict=True))
        rows = [[name, counts[name], round(100 * value, 1)] for name, value in self._rows]
        page.table(["class", "videos", "average precision, %"], sorted(rows, key=lambda r: r[2]))

    @property
    def _rows(self) -> list[tuple[str, float]]:
        pairs = zip(self.classes, self.precisions.tolist(), strict=True)
        return [(name, value) for name, value in pairs if not math.isnan(value)]


def add_recognition(page: Page, result: ActionRecognitionResult, *, num_pairs: int = 6) -> None:
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


def confusion_chart(result: ActionRecognitionResult) -> Svg:
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


def add_saliency(
    page: Page, result: ActionRecognitionResult, model: RecognitionModel, sampling: ClipSampling
) -> None:
    """Add clips evenly over those that were seen, with what their score depends on in orange."""
    seen = result.probabilities.isfinite().all(1).nonzero()[:, 0]
    places = torch.linspace(0, len(seen) - 1, min(_SALIENCY_CLIPS, len(seen))).round().long()
    page.section("Where it looks")
    page.text("Orange: the half of all places on which the score of the given answer depends most.")
    for place in seen[places].tolist():
        record = result.videos[place]
        frames = middle_view(model, record, sampling)
        if frames is None:
            continue
        answer = int(result.probabilities[place].argmax())
        said, truth = result.classes[answer], result.classes[int(result.labels[place])]
        right = "right" if said == truth else f"it is {truth}"
        page.text(f"{said}, {result.probabilities[place, answer]:.2f}: {right}")
        heat = overlaid(frames, saliency(model, frames, answer))
        page.picture(
            png_bytes(picture_strip({"seen": frames, "looked at": heat}, side_px=72)),
            alt=f"frames of {record.video.name} and where the model looks",
            caption=record.video.name,
        )


def _add_pair(
    page: Page, result: ActionRecognitionResult, truth: int, answer: int, count: int
) -> None:
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
