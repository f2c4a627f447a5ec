"""Short-term anticipation: of the objects in a frame, which is touched next, how, and when.

Source: Ego4D's short-term object interaction anticipation (top-5 mAP), as in the InternVideo
authors' entry, ego4d-eccv2022-solutions.
Differs: scores with true boxes stand beside those with detected ones; a frame that cannot be
decoded is named, and its objects count as missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from internvideo.data import FoundBoxes, VideoData, read_named_detections
from internvideo.errors import (
    AnnotationError,
    ConfigError,
    DecodeError,
    TrainingError,
    unknown_name,
)
from internvideo.metrics import NextObjects, anticipation_map
from internvideo.tasks.anticipation.model import AnticipationModel
from internvideo.tasks.anticipation.result import (
    AnticipationResult,
    at_annotated_frames,
    found_objects,
    true_objects,
)
from internvideo.tasks.anticipation.training import AnticipationTraining
from internvideo.tasks.shared.evaluation_data import EvaluationData
from internvideo.tasks.shared.requests import VideoRequest
from internvideo.tasks.shared.task import FailedVideo, Progress, Task
from internvideo.values import Annotations, Record

Moment = tuple[str, float]  # name of a video without suffix, and seconds
NamedBoxes = Mapping[Moment, tuple[FoundBoxes, tuple[str, ...]]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AnticipationFrames:
    """Annotated frames, and boxes that a detector found in them, each with the name of a noun."""

    annotations: Annotations
    detections: NamedBoxes | None = None


@dataclass(frozen=True, kw_only=True)
class AnticipationData(EvaluationData):
    """Annotated frames, and detected objects beside them."""

    format: str = "ego4d-anticipation"
    """Its format: ego4d-anticipation."""
    boxes: Path | None = None
    """Detected objects: csv rows of video,second,x1,y1,x2,y2,noun,score."""

    def read(self) -> AnticipationFrames:
        """Read annotations of a split (the one named, else test, else val), and detections."""
        read = VideoData(
            source=self.data, format=self.format, root=self.root, columns=self.columns
        ).read()
        splits = {record.split for record in read.records if record.split}
        if self.split is not None and self.split not in splits:
            raise unknown_name(f"split of {self.data}", self.split, sorted(splits) or ["(none)"])
        split = self.split or next((usual for usual in ("test", "val") if usual in splits), None)
        return AnticipationFrames(
            annotations=at_annotated_frames(read if split is None else read.of_split(split)),
            detections=None if self.boxes is None else read_named_detections(self.boxes),
        )


@dataclass(frozen=True, kw_only=True)
class AnticipationRequest(VideoRequest):
    """A frame of a video, and the objects in it."""

    boxes: Path
    """Objects of the video: csv rows of video,second,x1,y1,x2,y2,noun,score."""
    at_s: float | None = None
    """Only the frame at this second; default all that the file has boxes of."""
    top: int = 5
    """Objects shown of a frame at most, the surest first."""


@dataclass(frozen=True, kw_only=True)
class Anticipations:
    """What is expected of the objects of one video: rows of the JSON, the surest first."""

    objects: tuple[dict[str, Any], ...]

    def lines(self) -> list[str]:
        return [
            f"{one['time_s']:8.2f} s  {one['verb']} {one['noun']} in {one['contact_s']:.2f} s  "
            f"(box {one['score']:.3f}, verb {one['verb_probability']:.3f})"
            for one in self.objects
        ]

    def to_json(self) -> dict[str, Any]:
        return {"objects": list(self.objects)}


@dataclass(frozen=True, kw_only=True)
class Anticipation(Task):
    """Says of the objects in a frame what will be done to them, and when."""

    name = "anticipation"
    summary = "which object is touched next, how, and in how many seconds"
    counted = "frames"
    model_type = AnticipationModel
    metrics = ("true_boxes/map/*", "detected/map/*")
    datasets = ("Ego4D short-term anticipation",)
    formats = ("ego4d-anticipation",)
    data_type: ClassVar[type[EvaluationData]] = AnticipationData
    request_type = AnticipationRequest
    training = AnticipationTraining

    def evaluate(
        self,
        model: AnticipationModel,
        data: AnticipationFrames,
        *,
        progress: Progress | None = None,
    ) -> AnticipationResult:
        """Score true boxes, and detected ones where there are any."""
        annotations, records = data.annotations, data.annotations.records
        if (*model.nouns, *model.verbs) != annotations.classes:
            raise ConfigError(
                f"the data have {len(annotations.classes)} nouns and verbs that are not the "
                f"model's {len(model.nouns)} and {len(model.verbs)}; evaluate on what it learned"
            )
        rows: list[tuple[NextObjects, NextObjects, NextObjects]] = []
        failed = []
        for done, record in enumerate(records, 1):
            try:
                rows.append(_scored(model, record, data.detections))
            except DecodeError as error:
                failed.append(
                    FailedVideo(path=f"{record.video} at {record.key_s:g} s", reason=str(error))
                )
                missed = true_objects(record, (1, 1), num_nouns=len(model.nouns))
                rows.append((missed, _NOTHING, _NOTHING))
            if progress is not None:
                progress(done, len(records))
        if len(failed) == len(records):
            first = f", first: {failed[0].reason}" if failed else ""
            raise TrainingError(f"none of {len(records)} frames is seen{first}")
        truth, of_true, of_detected = zip(*rows, strict=True)
        has_detections = data.detections is not None
        parts = {"true_boxes": of_true} | ({"detected": of_detected} if has_detections else {})
        return AnticipationResult(
            scores={
                f"{part}/map/{name}": value
                for part, found in parts.items()
                for name, value in anticipation_map(truth, found).items()
            },
            num_evaluated=len(records) - len(failed),
            num_total=len(records),
            failed=tuple(failed),
            num_boxes=sum(len(record.boxes) for record in records),
            num_detected=sum(len(o.nouns) for o in of_detected) if has_detections else None,
        )

    def predict(
        self,
        model: AnticipationModel,
        request: AnticipationRequest,
        *,
        progress: Progress | None = None,
    ) -> Anticipations:
        """Say what is expected of the objects of a file."""
        every = read_named_detections(request.boxes)
        mine = {
            time_s: found
            for (name, time_s), found in every.items()
            if name == request.video.stem
            and (request.at_s is None or abs(time_s - request.at_s) < 1e-3)
        }
        if not mine:
            when = "" if request.at_s is None else f" at {request.at_s:g} s"
            raise AnnotationError(f"{request.boxes}: has no box of {request.video.stem}{when}")
        rows = []
        for done, (time_s, (boxes, names)) in enumerate(sorted(mine.items()), 1):
            said = model.anticipate(Record(video=request.video), time_s, boxes.xyxy)
            best = boxes.scores.argsort(descending=True)[: request.top].tolist()
            for place in best:
                probability, verb = said.verbs[place].max(0)
                rows.append(
                    {
                        "time_s": time_s,
                        "xyxy": boxes.xyxy[place].tolist(),
                        "noun": names[place],
                        "verb": model.verbs[int(verb)],
                        "verb_probability": float(probability),
                        "contact_s": float(said.contact_s[place]),
                        "score": float(boxes.scores[place]),
                    }
                )
            if progress is not None:
                progress(done, len(mine))
        return Anticipations(objects=tuple(rows))


_NOTHING = NextObjects(
    xyxy=np.zeros((0, 4)),
    nouns=np.zeros(0, np.int64),
    verbs=np.zeros(0, np.int64),
    contact_s=np.zeros(0),
    scores=np.zeros(0),
)


def _scored(
    model: AnticipationModel, record: Record, detections: NamedBoxes | None
) -> tuple[NextObjects, NextObjects, NextObjects]:
    """What is true of a frame, what is said of its true boxes, and of detected ones."""
    assert record.key_s is not None
    boxes = torch.tensor([box.xyxy for box in record.boxes], dtype=torch.float64).reshape(-1, 4)
    nothing = FoundBoxes(xyxy=torch.zeros(0, 4), scores=torch.zeros(0))
    moment = (record.video.stem, round(record.key_s, 3))
    detected, names = (detections or {}).get(moment, (nothing, ()))
    for name in names:
        if name not in model.nouns:
            raise unknown_name("noun of a detected object", name, model.nouns)
    said = model.anticipate(record, record.key_s, torch.cat([boxes, detected.xyxy]))
    count = len(boxes)
    true = replace(said, verbs=said.verbs[:count], contact_s=said.contact_s[:count])
    rest = replace(said, verbs=said.verbs[count:], contact_s=said.contact_s[count:])
    nouns = [box.labels[0] for box in record.boxes]
    return (
        true_objects(record, said.size_px, num_nouns=len(model.nouns)),
        found_objects(true, boxes, nouns, torch.ones(count)),
        found_objects(
            rest, detected.xyxy, [model.nouns.index(name) for name in names], detected.scores
        ),
    )
