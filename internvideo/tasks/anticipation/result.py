"""What anticipation measured: top-5 mAP with true boxes and with detected ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.metrics import NextObjects
from internvideo.report import Page
from internvideo.tasks.anticipation.model import Anticipated
from internvideo.tasks.shared.task import Result
from internvideo.values import Annotations, Record

NOT_MEASURED = "none given"


def at_annotated_frames(annotations: Annotations) -> Annotations:
    """The same records with the frame that they end at as key frame.

    Raises:
        ConfigError: A record ends nowhere, or has other objects than times to contact.
    """
    for record in annotations.records:
        if record.end_s is None or len(record.boxes) != len(record.segments):
            raise ConfigError(
                f"{record.video}: {len(record.boxes)} boxes and {len(record.segments)} times to "
                "contact; read annotations of anticipation, as of format ego4d-anticipation"
            )
    records = tuple(replace(record, key_s=record.end_s) for record in annotations.records)
    return replace(annotations, records=records)


def true_objects(record: Record, size_px: tuple[int, int], *, num_nouns: int) -> NextObjects:
    """The annotated objects of a frame of that size, which is (height, width)."""
    boxes = torch.tensor([box.xyxy for box in record.boxes]).reshape(-1, 4)
    return NextObjects(
        xyxy=_pixels(boxes, size_px),
        nouns=np.array([box.labels[0] for box in record.boxes], dtype=np.int64),
        verbs=np.array([(s.label or 0) - num_nouns for s in record.segments], dtype=np.int64),
        contact_s=np.array([s.end_s - s.start_s for s in record.segments], dtype=np.float64),
    )


def found_objects(
    said: Anticipated,
    boxes: Float[Tensor, "s 4"],
    nouns: Sequence[int],
    scores: Float[Tensor, " s"],
) -> NextObjects:
    """The surest verb and the time of each box, scored as the box is."""
    return NextObjects(
        xyxy=_pixels(boxes, said.size_px),
        nouns=np.array(nouns, dtype=np.int64),
        verbs=said.verbs.argmax(1).numpy(),
        contact_s=said.contact_s.double().numpy(),
        scores=scores.double().numpy(),
    )


def _pixels(boxes: Float[Tensor, "s 4"], size_px: tuple[int, int]) -> np.ndarray:
    height, width = size_px
    return boxes.double().numpy() * np.array([width, height, width, height], dtype=np.float64)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AnticipationResult(Result):
    """Scores with true boxes, and with detected ones where there are any."""

    num_boxes: int
    num_detected: int | None

    def lines(self) -> list[str]:
        detected = NOT_MEASURED if self.num_detected is None else f"{self.num_detected} boxes"
        return [
            *Result.lines(self),
            f"top-5 mAP at IoU 0.5 and 0.25 s, of {self.num_boxes} objects on "
            f"{self.num_evaluated} of {self.num_total} frames; detected: {detected}",
        ]

    def to_json(self) -> dict[str, Any]:
        counts = {"num_boxes": self.num_boxes, "num_detected": self.num_detected}
        return {**Result.to_json(self), **counts}

    def add_to(self, page: Page) -> None:
        """Add the scores, and which frames were not seen."""
        page.facts({name: f"{value:.3f}" for name, value in self.scores.items()})
        page.text(self.lines()[-1])
        for failed in self.failed:
            page.warning(f"Counts as missed: {failed.path}: {failed.reason}")
