"""Open-set recognition: name what is known, and tell that the rest is unknown.

Source: Open-Set-Action-Recognition of the InternVideo release, after DEAR (Bao et al. 2021,
arXiv:2107.10161): logits are averaged over views, the evidence of the average gives the
uncertainty. Maximum probability and energy of the same logits stand beside it.
Differs from the released code: the threshold accepts 95 % of training videos, not 5 %; a video
that cannot be decoded counts as judged wrongly, whichever way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from internvideo.data import ANNOTATIONS, ViewPlan
from internvideo.errors import ConfigError
from internvideo.metrics import (
    acceptance_threshold,
    negative_energy,
    open_set_metrics,
    top_k_accuracy,
)
from internvideo.objectives import Evidence, evidential_probabilities, evidential_uncertainty
from internvideo.tasks.shared.answers import RankedTexts
from internvideo.tasks.shared.classification import (
    ClassifiedVideos,
    Classifier,
    RecognitionModel,
    classify_videos,
    labels_among,
)
from internvideo.tasks.shared.evaluation_data import EvaluationData
from internvideo.tasks.shared.inference import Inference
from internvideo.tasks.shared.requests import RankingRequest
from internvideo.tasks.shared.task import Progress, Result, Task
from internvideo.values import Annotations, Record


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OpenSetResult(Result):
    """Scores, and the novelty of every video by every rule, known ones first.

    `auroc`, `aupr` and `fpr95` in `scores` are those of the evidential uncertainty; those of the
    other rules stand under their names. `novelty` is NaN where a video failed.
    """

    novelty: dict[str, Float[Tensor, " b"]]
    unknown: Bool[Tensor, " b"]
    videos: tuple[Record, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenSetVideos:
    """Videos of the model's classes, and of no class of it.

    With `training` videos a threshold is set that accepts the wanted share of them.
    """

    known: Annotations
    unknown: tuple[Record, ...]
    training: tuple[Record, ...] = ()

    def __post_init__(self) -> None:
        if not self.unknown:
            raise ConfigError("there are no unknown videos to tell from the known ones")


@dataclass(frozen=True, kw_only=True)
class OpenSetData(EvaluationData):
    """Annotations of known videos, with unknown ones beside them."""

    unknown: str
    """Videos of no known class: a folder, or annotations of the same format."""
    training: str | None = None
    """Training videos, of which a threshold shall accept the wanted share."""

    def read(self) -> OpenSetVideos:
        unknown = (
            ANNOTATIONS["videos"](self.unknown)
            if Path(self.unknown).is_dir()
            else self.annotations(self.unknown)
        )
        training = (
            self.annotations(self.training, usual_split="train").records if self.training else ()
        )
        return OpenSetVideos(known=super().read(), unknown=unknown.records, training=training)


@dataclass(frozen=True, kw_only=True)
class RankedClasses(RankedTexts):
    """The likeliest classes, and the uncertainty in [0, 1] that the video shows any of them."""

    uncertainty: float

    def lines(self) -> list[str]:
        return [*super().lines(), f"uncertainty {self.uncertainty:.3f}"]

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "uncertainty": self.uncertainty}


@dataclass(frozen=True, kw_only=True)
class OpenSetRecognition(Task):
    """Judges known and unknown videos; the released test takes one clip and three crops."""

    name = "open-set"
    summary = "the class of a video, and whether it shows any class of the model"
    model_type = RecognitionModel
    metrics = (
        "closed_set_accuracy",
        "auroc",
        "aupr",
        "fpr95",
        "max_probability/*",
        "energy/*",
        "threshold",
        "known_accepted",
        "unknown_rejected",
    )
    datasets = ("UCF101 with HMDB51 or Moments in Time as unknown",)
    formats = ("manifest", "folder", "list", "ucf101", "hmdb51", "moments-in-time")
    data_type = OpenSetData
    request_type = RankingRequest

    views: ViewPlan = field(default_factory=ViewPlan)
    evidence: Evidence = "exp"
    """What makes evidence of logits, as in training."""
    accepted: float = 0.95
    """Share of the training videos that the threshold accepts."""
    inference: Inference = field(default_factory=Inference)

    def __post_init__(self) -> None:
        if not 0 < self.accepted <= 1:
            raise ConfigError(f"accepted is {self.accepted}, expected above 0 and at most 1")

    def evaluate(
        self, model: Classifier, data: OpenSetVideos, *, progress: Progress | None = None
    ) -> OpenSetResult:
        """Score videos of the model's classes against videos of no class of it.

        With training videos `known_accepted`, `unknown_rejected` say what the threshold that they
        set does to the others.
        """
        labels = labels_among(model.classes, data.known)
        of_known = self._logits(model, data.known.records, progress)
        of_unknown = self._logits(model, data.unknown, progress)
        logits = torch.cat([of_known.scores, of_unknown.scores])
        is_unknown = torch.arange(len(logits)) >= len(labels)
        novelty = self._novelty(logits)
        # A failed video is judged wrongly: a known one is rejected, an unknown one accepted.
        judged = {
            rule: values.where(values.isfinite(), torch.where(is_unknown, -torch.inf, torch.inf))
            for rule, values in novelty.items()
        }
        scores = {"closed_set_accuracy": top_k_accuracy(of_known.scores, labels)}
        for rule, values in judged.items():
            prefix = "" if rule == "uncertainty" else f"{rule}/"
            metrics = open_set_metrics(values, is_unknown)
            scores |= {f"{prefix}{name}": value for name, value in metrics.items()}
        failed = (*of_known.failed, *of_unknown.failed)
        if data.training:
            training = self._logits(model, data.training, progress)
            failed = (*failed, *training.failed)
            threshold = acceptance_threshold(
                self._novelty(training.scores[training.present])["uncertainty"],
                accepted=self.accepted,
            )
            rejected = judged["uncertainty"] > threshold
            scores |= {
                "threshold": threshold,
                "known_accepted": float((~rejected[~is_unknown]).double().mean()),
                "unknown_rejected": float(rejected[is_unknown].double().mean()),
            }
        return OpenSetResult(
            scores=scores,
            num_evaluated=int(logits.isfinite().all(1).sum()),
            num_total=len(logits),
            failed=failed,
            novelty=novelty,
            unknown=is_unknown,
            videos=(*data.known.records, *data.unknown),
        )

    def predict(
        self, model: Classifier, request: RankingRequest, *, progress: Progress | None = None
    ) -> RankedClasses:
        """Give the likeliest classes with their expected probabilities, and the uncertainty."""
        logits = self._logits(model, [Record(video=request.video)], progress).scores
        probabilities = evidential_probabilities(logits, self.evidence)[0]
        best = RankedTexts.best(model.classes, probabilities, top=request.top)
        uncertainty = float(evidential_uncertainty(logits, self.evidence)[0])
        return RankedClasses(ranked=best.ranked, uncertainty=uncertainty)

    def _logits(
        self, model: Classifier, records: Sequence[Record], progress: Progress | None
    ) -> ClassifiedVideos:
        if model.multi_label:
            raise ConfigError(
                "the model was trained with several labels a clip, and open-set recognition is of "
                "one; take a model of one label a clip"
            )

        def mean(logits: Float[Tensor, "b v y"]) -> Float[Tensor, "b y"]:
            return logits.mean(1)

        return classify_videos(model, records, self.inference, self.views, mean, progress=progress)

    def _novelty(self, logits: Float[Tensor, "b y"]) -> dict[str, Float[Tensor, " b"]]:
        return {
            "uncertainty": evidential_uncertainty(logits, self.evidence),
            "max_probability": 1 - logits.softmax(1).amax(1),
            "energy": -negative_energy(logits),
        }
