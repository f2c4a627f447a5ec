"""What spatiotemporal localization measured: frame mAP with true boxes and with detected ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from internvideo.data import FoundBoxes
from internvideo.metrics import BoxRows, frame_average_precision, mean_over_classes
from internvideo.report import Page
from internvideo.tasks.shared.task import Result
from internvideo.tasks.spatiotemporal_localization.detectors import Detector
from internvideo.values import Annotations, Record

Moment = tuple[str, float]  # a video and a key frame of it

NOT_MEASURED = "not measured: no detections"


def truth_rows(records: Sequence[Record]) -> BoxRows:
    """A row for each label of each box of the key frames."""
    rows = [
        ((str(record.video), record.key_s), box.xyxy, label)
        for record in records
        for box in record.boxes
        for label in box.labels
    ]
    return BoxRows(
        frames=[frame for frame, *_ in rows],
        xyxy=np.array([xyxy for _, xyxy, _ in rows], dtype=np.float64).reshape(-1, 4),
        classes=np.array([label for *_, label in rows], dtype=np.int64),
    )


def scored_rows(
    found: Mapping[Moment, tuple[FoundBoxes, Float[Tensor, "_ y"]]], places: Sequence[int]
) -> BoxRows:
    """A row for each class of each box, scored by how sure both the classifier and the box are.

    Args:
        found: Boxes of key frames, and the probability of every class of the model.
        places: Row of the model's head for each class that is scored, in the classes' order.
    """
    frames: list[Moment] = []
    boxes, scores = [np.zeros((0, 4))], [np.zeros(0)]
    for moment, (at, probabilities) in found.items():
        frames += [moment] * (len(at.xyxy) * len(places))
        boxes.append(np.repeat(at.xyxy.double().numpy(), len(places), axis=0))
        product = probabilities.double()[:, list(places)] * at.scores.double()[:, None]
        scores.append(product.flatten().numpy())
    count = len(frames) // len(places)
    return BoxRows(
        frames=frames,
        xyxy=np.concatenate(boxes),
        classes=np.tile(np.arange(len(places), dtype=np.int64), count),
        scores=np.concatenate(scores),
    )


def any_class(rows: BoxRows) -> BoxRows:
    """The same boxes, each once, as if there were one class: how good the detector is."""
    keys = [(frame, *box) for frame, box in zip(rows.frames, rows.xyxy.tolist(), strict=True)]
    first = np.array(sorted({key: i for i, key in reversed(list(enumerate(keys)))}.values()))
    kept = rows.keep(first.astype(np.int64))
    return BoxRows(
        frames=kept.frames,
        xyxy=kept.xyxy,
        classes=np.zeros(len(kept.frames), dtype=np.int64),
        scores=kept.scores,
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BoxVideos:
    """Annotated key frames, and where else the boxes come from.

    `detections` are those of a file, `detector` finds them; with `scored` only these classes count.
    """

    annotations: Annotations
    detections: dict[tuple[Path, float], FoundBoxes] | None = None
    detector: Detector | None = None
    scored: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SpatiotemporalLocalizationResult(Result):
    """What the scores were counted from.

    `true_boxes` and `detected` are the average precision of each of `classes`, NaN where there is
    no ground truth; `detected` is None without detections. `num_boxes` are annotated ones.
    """

    classes: tuple[str, ...]
    true_boxes: dict[int, float]
    detected: dict[int, float] | None
    num_boxes: int
    num_detected: int = 0

    def lines(self) -> list[str]:
        missing = [f"{'map/detected':<24} {NOT_MEASURED}"] if self.detected is None else []
        scored = sum(not np.isnan(value) for value in self.true_boxes.values())
        return [
            *missing,
            *Result.lines(self),
            f"frame mAP at IoU 0.5 over {scored} of {len(self.classes)} classes, those that are "
            f"annotated; {self.num_boxes} true boxes, {self.num_detected} detected ones, on "
            f"{self.num_evaluated} of {self.num_total} key frames"
            + "; the others count as missed"
            * bool(self.failed),
        ]

    def to_json(self) -> dict[str, Any]:
        def named(found: dict[int, float] | None) -> Any:
            values = None if found is None else found.items()
            return values and {
                self.classes[label]: None if np.isnan(value) else value for label, value in values
            }

        unmeasured = {"map/detected": None} if self.detected is None else {}
        return {
            **unmeasured,
            **Result.to_json(self),
            "average_precision": {
                "true_boxes": named(self.true_boxes),
                "detected": named(self.detected),
            },
        }

    def add_to(self, page: Page) -> None:
        """Add both mAPs side by side, and all classes."""
        tiles = {"mAP, true boxes": f"{self.scores['map/true_boxes']:.3f}"}
        detected = self.scores.get("map/detected")
        tiles["mAP, detected boxes"] = NOT_MEASURED if detected is None else f"{detected:.3f}"
        if "detector/ap" in self.scores:
            tiles["AP of the boxes alone"] = f"{self.scores['detector/ap']:.3f}"
        page.headline(tiles)
        page.text(self.lines()[-1])
        for failed in self.failed:
            page.warning(f"Counts as missed: {failed.path}: {failed.reason}")
        page.section("Average precision of each class")
        rows = []
        for label, value in sorted(self.true_boxes.items(), key=lambda item: -item[1]):
            if not np.isnan(value):
                both = [value] if self.detected is None else [value, self.detected[label]]
                rows.append([self.classes[label], *(round(one, 3) for one in both)])
        page.table(["class", "true boxes", *(["detected"] * (self.detected is not None))], rows)


def precision_of(
    truth: BoxRows, rows: BoxRows, classes: Sequence[int]
) -> tuple[float, dict[int, float]]:
    """Mean over the annotated classes, and the average precision of each."""
    found = frame_average_precision(truth, rows, classes)
    return mean_over_classes(found), found
