"""Forecasting hands: where both will be at five moments before and at a contact.

Source: the benchmark "future hand prediction" of Ego4D (Grauman et al. 2022, arXiv:2110.07058).
The network sees the video up to the first of the five moments, an annotated record ends there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from internvideo.data import ClipDataset, ClipLoader, Targets, sample_seed
from internvideo.data.annotations.ego4d import HAND_MOMENTS, HANDS
from internvideo.errors import CheckpointError, ConfigError, TrainingError
from internvideo.heads import VideoClassifier
from internvideo.metrics import hand_displacement
from internvideo.report import Page
from internvideo.tasks.hand_forecasting.training import (
    NUM_OUTPUTS,
    HandForecastingTraining,
    HandTargets,
    forecast,
    hands_of,
    in_frame,
)
from internvideo.tasks.shared.inference import ClipSampling, Inference
from internvideo.tasks.shared.requests import VideoRequest
from internvideo.tasks.shared.task import FailedVideo, Pretrained, Progress, Result, Task
from internvideo.values import Annotations, Preprocessing, Record
from internvideo.video.transforms import normalise


class HandForecaster:
    """A network that forecasts hands, and how it is used to seeing clips."""

    kind: ClassVar[str] = "hand-forecaster"

    def __init__(self, model: VideoClassifier, preprocessing: Preprocessing) -> None:
        self.model, self.preprocessing = model.eval(), preprocessing

    @classmethod
    def from_pretrained(cls, pretrained: Pretrained, *, source: str) -> HandForecaster:
        """Take up a network with twenty numbers for an answer.

        Raises:
            CheckpointError: It is a model of another kind.
        """
        model, seen = pretrained.model, pretrained.preprocessing
        is_one = isinstance(model, VideoClassifier) and model.config.num_classes == NUM_OUTPUTS
        if not is_one or pretrained.classes or not isinstance(seen, Preprocessing):
            raise CheckpointError(
                f"{source}: holds a {pretrained.kind} model, which forecasts no hands; take the "
                "run of a training for hand-forecasting"
            )
        return cls(model, seen)

    @property
    def num_frames(self) -> int:
        return self.preprocessing.num_frames

    @property
    def side_px(self) -> int:
        return self.preprocessing.side_px

    @property
    def clip_sampling(self) -> ClipSampling:
        """How clips are taken for it."""
        seen = self.preprocessing
        return ClipSampling(
            sampling=seen.sampling, stride_frames=seen.stride_frames, crop=seen.crop
        )

    @torch.no_grad()
    def forecast(self, frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b 5 2 2"]:
        """Hands to come, in fractions of the view."""
        device = next(self.model.parameters()).device
        seen = self.preprocessing
        return forecast(self.model, normalise(frames.to(device), mean=seen.mean, std=seen.std))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HandForecastingResult(Result):
    """What the scores were counted from: points (b, 5, 2, 2) in pixels, and which are annotated."""

    predicted: Float[Tensor, "b 5 2 2"]
    true: Float[Tensor, "b 5 2 2"]
    annotated: Bool[Tensor, "b 5 2"]

    def add_to(self, page: Page) -> None:
        """Add the distances, and how they grow from moment to moment."""
        named = {"middle/displacement": "middle of the frame"}
        tiles = {named.get(name, name): f"{value:.1f} px" for name, value in self.scores.items()}
        page.headline(tiles)
        distance = (self.predicted - self.true).norm(dim=-1)
        rows = []
        for place, moment in enumerate(HAND_MOMENTS):
            cells = []
            for hand in range(len(HANDS)):
                found = distance[self.annotated[:, place, hand], place, hand]
                cells.append(f"{float(found.mean()):.1f}" if len(found) else "-")
            rows.append([moment, *cells])
        page.table(["moment", *(name.replace("_", " ") for name in HANDS)], rows)


@dataclass(frozen=True, kw_only=True)
class ForecastHands:
    """Where the hands of one video will be, in fractions of the frame: (5, 2, 2)."""

    points: Float[Tensor, "5 2 2"]

    def lines(self) -> list[str]:
        return [
            f"{moment:<14} "
            + "   ".join(
                f"{hand.replace('_', ' ')} {x:.3f} {y:.3f}"
                for hand, (x, y) in zip(HANDS, of_moment, strict=True)
            )
            for moment, of_moment in zip(HAND_MOMENTS, self.points.tolist(), strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "hands": {
                moment: dict(zip(HANDS, of_moment, strict=True))
                for moment, of_moment in zip(HAND_MOMENTS, self.points.tolist(), strict=True)
            }
        }


@dataclass(frozen=True, kw_only=True)
class HandForecasting(Task):
    """Says where the hands will be; distances are counted in pixels of the annotated frames."""

    name = "hand-forecasting"
    summary = "where both hands will be at five moments before and at a contact"
    counted = "interactions"
    model_type = HandForecaster
    metrics = ("displacement", "left", "right", "contact/*", "middle/displacement")
    datasets = ("Ego4D",)
    formats = ("ego4d-hands",)
    training = HandForecastingTraining

    width_px: int = 1920
    """Width of the frames in whose pixels distances are counted."""
    height_px: int = 1440
    """Their height."""
    inference: Inference = field(default_factory=Inference)

    def __post_init__(self) -> None:
        if min(self.width_px, self.height_px) < 1:
            raise ConfigError(f"{self.width_px} x {self.height_px} px is no frame")

    def evaluate(
        self, model: HandForecaster, data: Annotations, *, progress: Progress | None = None
    ) -> HandForecastingResult:
        """Score forecasts; of a video that cannot be decoded they are the middle of the frame.

        `middle/displacement` is what the middle of the frame scores everywhere.
        """
        both = [hands_of(record) for record in data.records]
        true, annotated = (torch.stack(parts) for parts in zip(*both, strict=True))
        if not annotated.any():
            raise ConfigError("no hand is annotated; read the data with ego4d-hands")
        points, failed = self._forecast(model, data.records, progress)
        size = torch.tensor([float(self.width_px), float(self.height_px)])
        found = points.nan_to_num(0.5) * size
        scores = hand_displacement(found, true * size, annotated)
        middle = hand_displacement((size / 2).expand_as(true), true * size, annotated)
        return HandForecastingResult(
            scores={**scores, "middle/displacement": middle["displacement"]},
            num_evaluated=int(points.isfinite().flatten(1).all(1).sum()),
            num_total=len(points),
            failed=failed,
            predicted=found,
            true=true * size,
            annotated=annotated,
        )

    def predict(
        self, model: HandForecaster, request: VideoRequest, *, progress: Progress | None = None
    ) -> ForecastHands:
        """Say where the hands will be after what the video shows."""
        points, _ = self._forecast(model, [Record(video=request.video)], progress)
        return ForecastHands(points=points[0])

    def _forecast(
        self, model: HandForecaster, records: Sequence[Record], progress: Progress | None
    ) -> tuple[Float[Tensor, "b 5 2 2"], tuple[FailedVideo, ...]]:
        """Forecasts in fractions of the frame, NaN where a video cannot be decoded."""
        options = self.inference
        sampling = options.clip_sampling(model.clip_sampling)
        dataset = ClipDataset(
            Annotations(records=tuple(records)),
            replace(sampling.data(str(records[0].video.parent)), shuffled=options.shuffled),
            num_frames=model.num_frames,
            side_px=model.side_px,
            training=False,
            seed=options.seed,
            targets=Targets(make=HandTargets()),
        )
        loader = ClipLoader(dataset, batch_size=options.batch_size, num_workers=options.num_workers)
        place_of_seed = {sample_seed(options.seed, 0, i, 0): i for i in range(len(records))}
        points = torch.full((len(records), len(HAND_MOMENTS), len(HANDS), 2), torch.nan)
        for batch in loader.once():
            places = [place_of_seed[seed] for seed in batch.seeds.tolist()]
            found = model.forecast(batch.frames).cpu()
            points[places] = in_frame(found, batch.targets["crop"])
            if progress is not None:
                progress(max(places) + 1, len(records))
        reasons = {entry["path"]: entry["reason"] for entry in loader.broken.state()}
        failed = tuple(
            FailedVideo(path=str(record.video), reason=reasons[str(record.video)])
            for record, of_record in zip(records, points, strict=True)
            if not of_record.isfinite().all()
        )
        if len(failed) == len(records):
            raise TrainingError(
                f"none of {len(records)} videos can be decoded; the first: {failed[0].reason}"
            )
        return points, failed
