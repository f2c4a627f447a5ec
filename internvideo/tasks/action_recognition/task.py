"""Action recognition: which of its classes a trained classifier sees in a video.

Source: the multi-view tests of VideoMAE (`merge` in `engine_for_finetuning.py`, `ensemble.py`) and
UniFormerV2 (`test_net.py`) in the InternVideo release. Each of `num_clips` x `num_crops` views is
scored, the softmax is taken and averaged over them.
Differs from the released code: a video that cannot be decoded counts as wrong, where theirs counts
as right when an error occurs while its views are averaged; views of one video cannot be confused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.data import ViewPlan
from internvideo.errors import ConfigError
from internvideo.metrics import confusion_matrix, mean_class_accuracy, top_k_accuracy
from internvideo.tasks.action_recognition.finetuning import RecognitionGuide
from internvideo.tasks.action_recognition.training import ActionRecognitionTraining
from internvideo.tasks.embedding import FailedVideo, Progress, Viewing
from internvideo.tasks.recogniser import Recogniser, classify_videos, labels_among
from internvideo.tasks.shared import FinetuningGuide
from internvideo.values import Annotations, Record


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
class ActionRecognitionResult:
    """Accuracies over all videos, and what was answered to each.

    `classes` are the model's and `labels` places among them. `probabilities` are NaN where a video
    failed; they are means over `num_views` views.
    """

    scores: dict[str, float]
    num_evaluated: int
    num_total: int
    failed: tuple[FailedVideo, ...]
    probabilities: Float[Tensor, "b y"]
    labels: Int64[Tensor, " b"]
    classes: tuple[str, ...]
    videos: tuple[Record, ...]
    num_views: int

    @property
    def confusion(self) -> Int64[Tensor, "y y"]:
        """How many videos of each class (rows) were called what (columns), without failed ones."""
        return confusion_matrix(self.probabilities, self.labels)

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


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionRecognition:
    """Names videos by several views; a single clip or crop is the middle one.

    Clips are dense or of segments as `viewing.sampling` says and lie as in `ViewPlan.protocol`.
    Crops are squares of `viewing.crop` of the short side, spread along the long side.
    """

    training: ClassVar[type] = ActionRecognitionTraining
    finetuning: ClassVar[FinetuningGuide] = RecognitionGuide()

    viewing: Viewing = field(default_factory=lambda: Viewing(sampling="dense", crop=1.0))
    num_clips: int = 1
    num_crops: int = 1
    averaging: Literal["probabilities", "logits"] = "probabilities"
    protocol: Literal["videomae", "uniformerv2"] | None = None

    def __post_init__(self) -> None:
        _ = self.plan

    @property
    def plan(self) -> ViewPlan:
        return ViewPlan(num_clips=self.num_clips, num_crops=self.num_crops, protocol=self.protocol)

    def evaluate(
        self, recogniser: Recogniser, annotations: Annotations, *, progress: Progress | None = None
    ) -> ActionRecognitionResult:
        """Name every record's video; the annotations' classes are found by name in the model's."""
        labels = labels_among(recogniser.classes, annotations)
        seen = classify_videos(
            recogniser,
            annotations.records,
            self.viewing,
            self.plan,
            self._merge,
            progress=progress,
        )
        return _result(
            seen.scores,
            labels,
            failed=seen.failed,
            classes=recogniser.classes,
            videos=annotations.records,
            num_views=self.plan.num_views,
        )

    def predict(self, recogniser: Recogniser, video: Path) -> list[tuple[str, float]]:
        """Give every class with its probability, the most likely first."""
        seen = classify_videos(
            recogniser, [Record(video=video)], self.viewing, self.plan, self._merge
        )
        values, order = seen.scores[0].sort(descending=True)
        names = (recogniser.classes[i] for i in order.tolist())
        return list(zip(names, values.tolist(), strict=True))

    def _merge(self, logits: Float[Tensor, "b v y"]) -> Float[Tensor, "b y"]:
        if self.averaging == "logits":
            return logits.mean(1).softmax(-1)
        return logits.softmax(-1).mean(1)


def ensemble(results: Sequence[ActionRecognitionResult]) -> ActionRecognitionResult:
    """Pool the softmaxed views of several models on the same videos.

    As released, all views weigh the same, so a model seen by more views weighs more. A video that
    failed for one model has failed.

    Raises:
        ConfigError: If the results are of other videos, labels or classes.
    """
    first = results[0]
    for other in results[1:]:
        if other.classes != first.classes:
            raise ConfigError("an ensemble needs models of the same classes in the same order")
        same_videos = [r.clip for r in other.videos] == [r.clip for r in first.videos]
        if not same_videos or not torch.equal(other.labels, first.labels):
            raise ConfigError("an ensemble needs results on the same videos in the same order")
    views = torch.tensor([result.num_views for result in results])
    shares = (views / views.sum())[:, None, None]
    failed = {video.path: video for result in results for video in result.failed}
    return _result(
        (shares * torch.stack([result.probabilities for result in results])).sum(0),
        first.labels,
        failed=tuple(failed.values()),
        classes=first.classes,
        videos=first.videos,
        num_views=int(views.sum()),
    )


def _result(
    probabilities: Float[Tensor, "b y"],
    labels: Int64[Tensor, " b"],
    *,
    failed: tuple[FailedVideo, ...],
    classes: tuple[str, ...],
    videos: tuple[Record, ...],
    num_views: int,
) -> ActionRecognitionResult:
    return ActionRecognitionResult(
        scores={
            "top1": top_k_accuracy(probabilities, labels),
            "top5": top_k_accuracy(probabilities, labels, k=5),
            "mean_class": mean_class_accuracy(probabilities, labels),
        },
        num_evaluated=int(probabilities.isfinite().all(1).sum()),
        num_total=len(labels),
        failed=failed,
        probabilities=probabilities,
        labels=labels,
        classes=classes,
        videos=videos,
        num_views=num_views,
    )
