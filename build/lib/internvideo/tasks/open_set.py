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

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from internvideo.data import ViewPlan
from internvideo.errors import ConfigError
from internvideo.metrics import (
    acceptance_threshold,
    negative_energy,
    open_set_metrics,
    top_k_accuracy,
)
from internvideo.objectives import Evidence, evidential_probabilities, evidential_uncertainty
from internvideo.tasks.embedding import FailedVideo, Progress, Viewing
from internvideo.tasks.recogniser import (
    ClassifiedVideos,
    Recogniser,
    classify_videos,
    labels_among,
)
from internvideo.values import Annotations, Record


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OpenSetResult:
    """Scores, and the novelty of every video by every rule, known ones first.

    `auroc`, `aupr` and `fpr95` in `scores` are those of the evidential uncertainty; those of the
    other rules stand under their names. `novelty` is NaN where a video failed.
    """

    scores: dict[str, float]
    num_evaluated: int
    num_total: int
    failed: tuple[FailedVideo, ...]
    novelty: dict[str, Float[Tensor, " b"]]
    unknown: Bool[Tensor, " b"]
    videos: tuple[Record, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenSetRecognition:
    """Judges known and unknown videos; the released test takes one clip and three crops."""

    viewing: Viewing = field(default_factory=lambda: Viewing(sampling="dense", crop=1.0))
    num_clips: int = 1
    num_crops: int = 1
    evidence: Evidence = "exp"
    accepted: float = 0.95

    def __post_init__(self) -> None:
        _ = self.plan
        if not 0 < self.accepted <= 1:
            raise ConfigError(f"accepted is {self.accepted}, expected above 0 and at most 1")

    @property
    def plan(self) -> ViewPlan:
        return ViewPlan(num_clips=self.num_clips, num_crops=self.num_crops)

    def evaluate(
        self,
        recogniser: Recogniser,
        known: Annotations,
        unknown: Sequence[Record],
        *,
        training: Sequence[Record] = (),
        progress: Progress | None = None,
    ) -> OpenSetResult:
        """Score videos of the model's classes against videos of no class of it.

        With `training` videos a threshold is set that accepts the wanted share of them, and
        `known_accepted`, `unknown_rejected` tell what it does to the others.
        """
        labels = labels_among(recogniser.classes, known)
        if not unknown:
            raise ConfigError("there are no unknown videos to tell from the known ones")
        of_known = self._logits(recogniser, known.records, progress)
        of_unknown = self._logits(recogniser, unknown, progress)
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
        if training:
            seen = self._logits(recogniser, training, progress)
            failed = (*failed, *seen.failed)
            threshold = acceptance_threshold(
                self._novelty(seen.scores[seen.present])["uncertainty"], accepted=self.accepted
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
            videos=(*known.records, *unknown),
        )

    def predict(self, recogniser: Recogniser, video: Path) -> tuple[list[tuple[str, float]], float]:
        """Give every class with its expected probability, the likeliest first, and uncertainty."""
        logits = self._logits(recogniser, [Record(video=video)], None).scores
        values, order = evidential_probabilities(logits, self.evidence)[0].sort(descending=True)
        names = (recogniser.classes[i] for i in order.tolist())
        uncertainty = float(evidential_uncertainty(logits, self.evidence)[0])
        return list(zip(names, values.tolist(), strict=True)), uncertainty

    def _logits(
        self, recogniser: Recogniser, records: Sequence[Record], progress: Progress | None
    ) -> ClassifiedVideos:
        def mean(logits: Float[Tensor, "b v y"]) -> Float[Tensor, "b y"]:
            return logits.mean(1)

        return classify_videos(
            recogniser, records, self.viewing, self.plan, mean, progress=progress
        )

    def _novelty(self, logits: Float[Tensor, "b y"]) -> dict[str, Float[Tensor, " b"]]:
        return {
            "uncertainty": evidential_uncertainty(logits, self.evidence),
            "max_probability": 1 - logits.softmax(1).amax(1),
            "energy": -negative_energy(logits),
        }
