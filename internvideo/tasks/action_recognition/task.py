"""Action recognition with multi-view testing: the class of a video by a trained classifier.

Source: the multi-view tests of VideoMAE (`merge` in `engine_for_finetuning.py`, `ensemble.py`) and
UniFormerV2 (`test_net.py`) in the InternVideo release. Each of `num_clips` x `num_crops` views is
scored, the softmax is taken and averaged over them.
Differs from the released code: a video that cannot be decoded counts as wrong, where theirs counts
as right when an error occurs while its views are averaged; views of one video cannot be confused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.data import ViewPlan
from internvideo.errors import ConfigError
from internvideo.metrics import average_precisions, mean_class_accuracy, top_k_accuracy
from internvideo.report import Page
from internvideo.tasks.action_recognition.finetuning import RecognitionGuide
from internvideo.tasks.action_recognition.result import (
    ActionRecognitionResult,
    MultiLabelResult,
    add_saliency,
)
from internvideo.tasks.action_recognition.training import ActionRecognitionTraining
from internvideo.tasks.shared.answers import RankedTexts
from internvideo.tasks.shared.classification import (
    ClassifiedVideos,
    Classifier,
    RecognitionModel,
    class_probabilities,
    classify_videos,
    label_sets_among,
    labels_among,
)
from internvideo.tasks.shared.finetuning import FinetuningGuide
from internvideo.tasks.shared.inference import Inference
from internvideo.tasks.shared.requests import RankingRequest
from internvideo.tasks.shared.task import FailedVideo, Progress, Task
from internvideo.values import Annotations, Record


@dataclass(frozen=True, kw_only=True)
class RankedOrUnknown(RankedTexts):
    """The likeliest classes, or that none is likely enough."""

    unknown_below: float

    @property
    def is_unknown(self) -> bool:
        return self.ranked[0][1] < self.unknown_below

    def lines(self) -> list[str]:
        if not self.is_unknown:
            return super().lines()
        return [
            f"unknown: no class reaches {self.unknown_below:g}; the likeliest",
            *super().lines(),
        ]

    def to_json(self) -> dict[str, Any]:
        return {"unknown": self.is_unknown, **super().to_json()}


@dataclass(frozen=True, kw_only=True)
class ActionRecognition(Task):
    """Names videos by several views; a single clip or crop is the middle one.

    A model that was trained with several labels a clip is scored by mean average precision.
    Crops are squares of `inference.crop` of the short side, spread along the long side.
    """

    name = "action-recognition"
    summary = "the class of the action in a video"
    model_type = RecognitionModel
    metrics = ("top1", "top5", "mean_class", "map")
    datasets = (
        "Kinetics-400/600/700/710",
        "Something-Something V1/V2",
        "UCF101",
        "HMDB51",
        "Moments in Time",
        "ActivityNet",
    )
    formats = (
        "manifest",
        "folder",
        "list",
        "frame-list",
        "kinetics",
        "kinetics710",
        "something-something",
        "something-something-v1",
        "ucf101",
        "hmdb51",
        "moments-in-time",
    )
    request_type = RankingRequest
    training = ActionRecognitionTraining
    finetuning: ClassVar[FinetuningGuide] = RecognitionGuide()

    views: ViewPlan = field(default_factory=ViewPlan)
    averaging: Literal["probabilities", "logits"] = "probabilities"
    """What is averaged over the views of a video."""
    unknown_below: float | Literal["auto"] = 0.0
    """Predict unknown where the likeliest class has less than this probability; auto is what 95 %
    of held-back videos reached in finetune, and evaluate says it for other videos."""
    inference: Inference = field(default_factory=Inference)

    def __post_init__(self) -> None:
        if self.unknown_below != "auto" and not 0 <= self.unknown_below < 1:
            raise ConfigError(
                f"unknown_below is {self.unknown_below}; give a probability from 0 to below 1, or "
                "auto"
            )

    def evaluate(
        self, model: Classifier, data: Annotations, *, progress: Progress | None = None
    ) -> ActionRecognitionResult | MultiLabelResult:
        """Name every record's video; the annotations' classes are found by name in the model's."""
        if model.multi_label:
            return self._evaluate_multi_label(model, data, progress)
        labels = labels_among(model.classes, data)
        found = self._classified(model, data.records, progress)
        return _result(
            found.scores,
            labels,
            failed=found.failed,
            classes=model.classes,
            videos=data.records,
            num_views=self.views.num_views,
        )

    def predict(
        self, model: Classifier, request: RankingRequest, *, progress: Progress | None = None
    ) -> RankedTexts:
        """Give the likeliest classes with their probabilities.

        Raises:
            ConfigError: The threshold of unknown videos is auto, and the model keeps none.
        """
        below = self._threshold(model)
        found = self._classified(model, [Record(video=request.video)], progress)
        best = RankedTexts.best(model.classes, found.scores[0], top=request.top)
        return RankedOrUnknown(ranked=best.ranked, unknown_below=below) if below else best

    def _threshold(self, model: Classifier) -> float:
        if self.unknown_below != "auto":
            return self.unknown_below
        kept = getattr(model, "unknown_below", None)
        if kept is None:
            raise ConfigError(
                "the model keeps no threshold of unknown videos (finetune keeps one); give "
                "--unknown-below a number, as evaluate says it for held-back videos"
            )
        return kept

    def report(
        self,
        page: Page,
        result: ActionRecognitionResult | MultiLabelResult,
        model: RecognitionModel,
    ) -> None:
        """Add the result, and where the model looks in some of the videos."""
        result.add_to(page)
        if isinstance(result, ActionRecognitionResult) and model.has_gradients:
            add_saliency(page, result, model, self.inference.clip_sampling(model.clip_sampling))

    def _evaluate_multi_label(
        self, model: Classifier, data: Annotations, progress: Progress | None
    ) -> MultiLabelResult:
        shown = label_sets_among(model.classes, data)
        found = self._classified(model, data.records, progress)
        precisions = average_precisions(found.scores, shown)
        return MultiLabelResult(
            scores={"map": float(precisions.nanmean())},
            num_evaluated=int(found.present.sum()),
            num_total=len(shown),
            failed=found.failed,
            probabilities=found.scores,
            shown=shown,
            classes=model.classes,
            precisions=precisions,
            videos=data.records,
            num_views=self.views.num_views,
        )

    def _classified(
        self, model: Classifier, records: Sequence[Record], progress: Progress | None
    ) -> ClassifiedVideos:
        def merge(logits: Float[Tensor, "b v y"]) -> Float[Tensor, "b y"]:
            if self.averaging == "logits":
                return class_probabilities(model, logits.mean(1))
            return class_probabilities(model, logits).mean(1)

        return classify_videos(model, records, self.inference, self.views, merge, progress=progress)


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
