"""Spatiotemporal localization: who does what, where, at every key frame.

Source: AVA's evaluation (frame mAP at IoU 0.5) as in Spatial-Temporal-Action-Localization of the
InternVideo release.
Differs: every score with detected boxes stands beside the one with true boxes, which shows what
the detector costs; detections have no threshold; a key frame that cannot be decoded is named, and
its boxes count as missed.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from internvideo.data import FoundBoxes, VideoData, read_detections
from internvideo.data.annotations import read_label_map
from internvideo.data.annotations.boxes import VideoIndex, excluded_moments
from internvideo.errors import (
    AnnotationError,
    ConfigError,
    DecodeError,
    TrainingError,
    unknown_name,
)
from internvideo.tasks.shared.evaluation_data import EvaluationData
from internvideo.tasks.shared.finetuning import FinetuningGuide
from internvideo.tasks.shared.task import FailedVideo, Progress, Task
from internvideo.tasks.spatiotemporal_localization.answer import FoundActions
from internvideo.tasks.spatiotemporal_localization.detectors import (
    Layout,
    open_detector,
)
from internvideo.tasks.spatiotemporal_localization.finding import BoxRequest, find_actions
from internvideo.tasks.spatiotemporal_localization.finetuning import BoxGuide
from internvideo.tasks.spatiotemporal_localization.model import BoxClassifier, score_moments
from internvideo.tasks.spatiotemporal_localization.result import (
    BoxVideos,
    Moment,
    SpatiotemporalLocalizationResult,
    any_class,
    precision_of,
    scored_rows,
    truth_rows,
)
from internvideo.tasks.spatiotemporal_localization.training import (
    SpatiotemporalLocalizationTraining,
)
from internvideo.values import Annotations, Record
from internvideo.video import check_moment, open_video
from internvideo.video.sampling import frames_on_screen

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BoxData(EvaluationData):
    """Annotated boxes, and detected ones beside them."""

    format: str = "ava"
    """Its format: ava (also AVA-Kinetics), box-csv, coco-video or cvat-video."""
    label_map: str = ""
    """List of actions of an ava csv (pbtxt, or lines of `id: name`)."""
    excluded: str = ""
    """Csv of key frames that do not count, of an ava csv; several with commas between."""
    scored: Path | None = None
    """List of the actions that are scored, where not all are (60 of AVA's 80)."""
    boxes: Path | None = None
    """Detected boxes: csv (video,second,x1,y1,x2,y2,action,score) or json."""
    images: Path | None = None
    """Json of the images that `image_id` of a json of boxes counts."""
    detector: str | None = None
    """What finds boxes where there is no file: an ONNX file, or a folder or hub name of any
    AutoModelForObjectDetection of transformers."""
    detector_layout: Layout = "auto"
    """How to read an ONNX file's output: fastestdet or yolox; auto tells by its shape."""
    detector_class: str = "person"
    """What the detector looks for."""

    def read(self) -> BoxVideos:
        """Read annotations of a split (the one named, else test, else val) and detections."""
        given = {"label_map": self.label_map, "excluded": self.excluded}
        data = VideoData(
            source=self.data,
            format=self.format,
            root=self.root,
            columns=self.columns,
            options={name: value for name, value in given.items() if value},
        )
        annotations = data.read()
        splits = {record.split for record in annotations.records if record.split}
        split = self.split
        if split is not None and split not in splits:
            raise unknown_name(f"split of {self.data}", split, sorted(splits) or ["(none)"])
        split = split or next((usual for usual in ("test", "val") if usual in splits), None)
        annotations = annotations if split is None else annotations.of_split(split)
        scored = None if self.scored is None else tuple(read_label_map(self.scored).values())
        if self.boxes is not None and self.detector is not None:
            raise ConfigError("boxes come from --boxes or from --detector; leave one out")
        detections = None
        if self.boxes is not None:
            source = data.source_path
            home = Path(self.root or (source if source.is_dir() else source.parent))
            index = VideoIndex(home)
            detections = _annotated_ones(
                self.boxes, read_detections(self.boxes, index, images=self.images), annotations
            )
            for moment in excluded_moments(source, self.excluded, index):
                detections.pop(moment, None)
        detector = None
        if self.detector is not None:
            detector = open_detector(
                self.detector, layout=self.detector_layout, wanted=self.detector_class
            )
        return BoxVideos(
            annotations=annotations, detections=detections, detector=detector, scored=scored
        )


@dataclass(frozen=True, kw_only=True)
class SpatiotemporalLocalization(Task):
    """Says of boxes at key frames what is done in them."""

    name = "spatiotemporal-localization"
    summary = "who does what, where, at every second of a video"
    counted = "key frames"
    model_type = BoxClassifier
    metrics = ("map/true_boxes", "map/detected", "detector/ap")
    datasets = ("AVA 2.2", "AVA-Kinetics")
    formats = ("ava", "box-csv", "coco-video", "cvat-video")
    data_type: ClassVar[type[EvaluationData]] = BoxData
    request_type = BoxRequest
    training = SpatiotemporalLocalizationTraining
    finetuning: ClassVar[FinetuningGuide] = BoxGuide()

    def evaluate(
        self, model: BoxClassifier, data: BoxVideos, *, progress: Progress | None = None
    ) -> SpatiotemporalLocalizationResult:
        """Score true boxes, and detected ones; the annotations' classes are found by name."""
        annotations = data.annotations
        places = places_of_classes(model.classes, annotations)
        classes = _scored_classes(annotations.classes, data.scored)
        detected, videos = _detected(data), _by_video(annotations.records)
        true: dict[Moment, tuple[FoundBoxes, torch.Tensor]] = {}
        found: dict[Moment, tuple[FoundBoxes, torch.Tensor]] = {}
        failed = []
        for done, (video, records) in enumerate(videos.items(), 1):
            moments = {record.key_s or 0.0: _true_boxes(record) for record in records}
            extra = {time_s: boxes for (path, time_s), boxes in detected.items() if path == video}
            both = [
                (
                    time_s,
                    torch.cat(
                        [boxes.xyxy for boxes in (moments.get(time_s), extra.get(time_s)) if boxes]
                    ),
                )
                for time_s in sorted({*moments, *extra})
            ]
            for scored in score_moments(model, records[0], both):
                moment = (str(video), scored.key_s)
                if scored.failure is not None:
                    failed.append(
                        FailedVideo(path=f"{video} at {scored.key_s:g} s", reason=scored.failure)
                    )
                    continue
                at, count = moments.get(scored.key_s), 0
                if at is not None:
                    count = len(at.xyxy)
                    true[moment] = (at, scored.scores[:count])
                if scored.key_s in extra:
                    found[moment] = (extra[scored.key_s], scored.scores[count:])
            if progress is not None:
                progress(done, len(videos))
        if not true:
            first = f", first: {failed[0].reason}" if failed else ""
            raise TrainingError(f"none of {len(annotations.records)} key frames is seen{first}")
        return _result(data, places, classes, true, found, tuple(failed))

    def predict(
        self, model: BoxClassifier, request: BoxRequest, *, progress: Progress | None = None
    ) -> FoundActions:
        """Say what is done in boxes of a file, or in those that a detector finds every second."""
        return find_actions(model, request, progress=progress)


def _result(
    data: BoxVideos,
    places: list[int],
    classes: list[int],
    true: dict[Moment, tuple[FoundBoxes, torch.Tensor]],
    found: dict[Moment, tuple[FoundBoxes, torch.Tensor]],
    failed: tuple[FailedVideo, ...],
) -> SpatiotemporalLocalizationResult:
    annotations = data.annotations
    truth = truth_rows(annotations.records)
    score, of_true = precision_of(truth, scored_rows(true, places), classes)
    scores, of_detected = {"map/true_boxes": score}, None
    if data.detections is not None or data.detector is not None:
        scores["map/detected"], of_detected = precision_of(
            truth, scored_rows(found, places), classes
        )
        certain = {m: (boxes, torch.ones(len(boxes.xyxy), 1)) for m, (boxes, _) in found.items()}
        scores["detector/ap"], _ = precision_of(any_class(truth), scored_rows(certain, [0]), [0])
    total = len({*true, *found}) + len(failed)
    return SpatiotemporalLocalizationResult(
        scores=scores,
        num_evaluated=total - len(failed),
        num_total=total,
        failed=failed,
        classes=annotations.classes,
        true_boxes=of_true,
        detected=of_detected,
        num_boxes=sum(len(record.boxes) for record in annotations.records),
        num_detected=sum(len(boxes.xyxy) for boxes, _ in found.values()),
    )


def places_of_classes(classes: tuple[str, ...], annotations: Annotations) -> list[int]:
    """Row of a model's head for every class of the annotations, matched by name.

    Raises:
        ConfigError: If the model does not know a class that is annotated.
    """
    known = {name: place for place, name in enumerate(classes)}
    used = {label for r in annotations.records for box in r.boxes for label in box.labels}
    for label in sorted(used):
        if annotations.classes[label] not in known:
            raise unknown_name("class of the detector", annotations.classes[label], classes)
    # A class that nobody knows or annotates is not scored; any row stands for it.
    return [known.get(name, 0) for name in annotations.classes]


def _scored_classes(classes: tuple[str, ...], scored: tuple[str, ...] | None) -> list[int]:
    if scored is None:
        return list(range(len(classes)))
    for name in scored:
        if name not in classes:
            raise unknown_name("scored class", name, classes)
    return [place for place, name in enumerate(classes) if name in set(scored)]


def _by_video(records: tuple[Record, ...]) -> dict[Path, list[Record]]:
    videos: dict[Path, list[Record]] = defaultdict(list)
    for record in records:
        if record.key_s is None:
            raise ConfigError(f"{record.video}: has no key frame; read boxes, as of format ava")
        videos[record.video].append(record)
    return videos


def _true_boxes(record: Record) -> FoundBoxes:
    boxes = torch.tensor([box.xyxy for box in record.boxes], dtype=torch.float64).reshape(-1, 4)
    return FoundBoxes(xyxy=boxes, scores=torch.ones(len(boxes), dtype=torch.float64))


def _annotated_ones(
    path: Path, found: dict[tuple[Path, float], FoundBoxes], annotations: Annotations
) -> dict[tuple[Path, float], FoundBoxes]:
    """Leave out the boxes of videos that are not evaluated, and say so.

    Raises:
        AnnotationError: If no video of the file is.
    """
    videos = {record.video for record in annotations.records}
    kept = {moment: boxes for moment, boxes in found.items() if moment[0] in videos}
    others = sorted({video.stem for video, _ in found} - {video.stem for video in videos})
    if found and not kept:
        raise AnnotationError(
            f"{path}: is about no video that is evaluated, but about {others[0]}, say; are these "
            "the boxes of another split or data set?"
        )
    if others:
        _log.warning(
            "%s: left out the boxes of %d videos that are not evaluated, such as %s",
            *(path, len(others), others[0]),
        )
    return kept


def _detected(data: BoxVideos) -> dict[tuple[Path, float], FoundBoxes]:
    """Detected boxes of key frames; a detector is run where there are annotations."""
    if data.detector is None:
        return data.detections or {}
    found = {}
    for video, records in _by_video(data.annotations.records).items():
        try:
            with open_video(records[0]) as opened:
                for record in records:
                    assert record.key_s is not None
                    check_moment(opened, record.key_s)
                    number = frames_on_screen(opened.timestamps_s, np.array([record.key_s]))
                    frame = opened.frames(number.tolist()).frames[0]
                    found[video, record.key_s] = data.detector(frame)
        except DecodeError as error:  # named again, and counted, where its boxes are scored
            _log.warning("nothing is detected in the rest of it: %s", error)
    return found
