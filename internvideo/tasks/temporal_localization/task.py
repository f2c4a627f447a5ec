"""Temporal localization: when does what happen in a long video.

Source: ActionFormer's evaluation and ActivityNet's, as in Temporal-Action-Localization of the
InternVideo release: mAP at thresholds of temporal IoU, on features of whole videos.
Differs: a video whose features are missing or damaged is named, and its segments count as missed;
the released loaders leave it out.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch

from internvideo.errors import ConfigError, DecodeError, TrainingError, unknown_name
from internvideo.models.actionformer import SegmentPredictions
from internvideo.report import is_page
from internvideo.tasks.shared.classification import RecognitionModel
from internvideo.tasks.shared.evaluation_data import EvaluationData
from internvideo.tasks.shared.finetuning import FinetuningGuide
from internvideo.tasks.shared.requests import RankingRequest
from internvideo.tasks.shared.suppression import SUPPRESSIONS, fuse_video_scores
from internvideo.tasks.shared.task import FailedVideo, Progress, Task
from internvideo.tasks.temporal_localization.data import LocalizationData, LocalizationVideos
from internvideo.tasks.temporal_localization.detector import TemporalDetector
from internvideo.tasks.temporal_localization.features import video_id
from internvideo.tasks.temporal_localization.finetuning import LocalizationGuide
from internvideo.tasks.temporal_localization.result import (
    TemporalLocalizationResult,
    mean_average_precision_of,
    named_recall,
    named_scores,
)
from internvideo.tasks.temporal_localization.segments import (
    FoundInVideos,
    FoundSegments,
    is_activitynet,
    is_segments_csv,
    named_segments,
    write_activitynet,
    write_segments_csv,
)
from internvideo.tasks.temporal_localization.sliding import slide
from internvideo.tasks.temporal_localization.timelines import write_page
from internvideo.tasks.temporal_localization.training import TemporalLocalizationTraining
from internvideo.values import Annotations
from internvideo.video import find_videos

_log = logging.getLogger(__name__)

_KEPT_SEGMENTS = 200  # of each video, for the page


@dataclass(frozen=True, kw_only=True)
class LocalizationRequest(RankingRequest):
    """A video or a folder of videos, what is shown, and where it is written."""

    takes_folders: ClassVar[bool] = True

    top: int = 20
    """How many segments to show at most, the surest first."""
    min_score: float = 0.0
    """Least score of a segment that is shown, from 0 to 1."""
    encoder: tuple[str, ...] = ()
    """Encoder of the features, once for each feature set; default the one used in training."""
    page: Path | None = None
    """Write a page here: timeline, pictures, a player that jumps to a segment."""
    csv: Path | None = None
    """Write path, start_s, end_s, label and score here."""
    activitynet: Path | None = None
    """Write the json of ActivityNet's submissions here."""

    def __post_init__(self) -> None:
        super().__post_init__()
        written = ((self.page, is_page), (self.csv, is_segments_csv))
        for path, is_ours in (*written, (self.activitynet, is_activitynet)):
            if path is not None and path.exists() and not is_ours(path):
                raise ConfigError(
                    f"{path}: exists already and is none of our own files of this kind; choose "
                    "another name"
                )


@dataclass(frozen=True, kw_only=True)
class TemporalLocalization(Task):
    """Finds segments and their classes in features of whole videos."""

    name = "temporal-localization"
    summary = "when which of its classes happens in a long video"
    model_type = TemporalDetector
    metrics = ("map/*", "class_agnostic/map/*", "recall/*", "sliding/map/*")
    datasets = (
        "THUMOS14",
        "ActivityNet 1.3",
        "HACS Segments",
        "FineAction",
        "Ego4D moment queries",
    )
    formats = ("localization", "ego4d-moments", "segment-csv")
    data_type: ClassVar[type[EvaluationData]] = LocalizationData
    request_type = LocalizationRequest
    training = TemporalLocalizationTraining
    finetuning: ClassVar[FinetuningGuide] = LocalizationGuide()

    recall: bool = False
    """Also measure recall of the best predictions, as Ego4D moment queries do."""
    suppression: Literal["trained", "opentad", "voting"] = "trained"
    """How overlapping segments are thinned out: as the run says, or by a setting with a name."""

    def evaluate(
        self, model: TemporalDetector, data: LocalizationVideos, *, progress: Progress | None = None
    ) -> TemporalLocalizationResult:
        """Detect in every video; the annotations' classes are found by name in the model's."""
        model = self._as_asked(model)
        place = places_of_classes(model.classes, data.annotations)
        classifier = None if data.sliding is None else _classifier(model, data)
        records = data.annotations.records
        reader = model.reader(data.features)
        found: list[SegmentPredictions | None] = []
        failed = []
        for done, record in enumerate(records, 1):
            try:
                found.append(model.detect(reader.read(record)))
            except DecodeError as error:
                found.append(None)
                failed.append(FailedVideo(path=str(record.video), reason=str(error)))
            if progress is not None:
                progress(done, len(records))
        if len(failed) == len(records):
            first = f", first: {failed[0].reason}" if failed else ""
            raise TrainingError(f"none of {len(records)} videos has features{first}")

        thresholds, scores = model.config.thresholds, {}
        labels = model.labels
        if model.config.is_class_agnostic:
            agnostic = mean_average_precision_of(
                found, records, dict.fromkeys(place, 0), thresholds
            )
            scores |= named_scores(agnostic, "class_agnostic/")
            measured = agnostic
            if data.video_scores is not None:
                found = _fused(found, data, num_classes=len(model.classes))
                labels = model.classes
        if labels == model.classes:
            measured = mean_average_precision_of(found, records, place, thresholds)
            scores = named_scores(measured) | scores
            if self.recall:
                scores |= named_recall(found, records, place)
        if classifier is not None:
            scores |= _sliding_scores(classifier, data, thresholds, progress=progress)
        return TemporalLocalizationResult(
            scores=scores,
            num_evaluated=len(records) - len(failed),
            num_total=len(records),
            failed=tuple(failed),
            classes=tuple(labels[label] for label in measured.classes),
            thresholds=thresholds,
            average_precision=measured.average_precision.T,
            segments=tuple(
                () if one is None else named_segments(one, labels, most=_KEPT_SEGMENTS)
                for one in found
            ),
            videos=records,
            names=data.annotations.classes,
            listed=data.listed,
        )

    def predict(
        self,
        model: TemporalDetector,
        request: LocalizationRequest,
        *,
        progress: Progress | None = None,
    ) -> FoundSegments | FoundInVideos:
        """Detect in one video, or in all of a folder; broken ones of a folder are named."""
        model = self._as_asked(model)
        if request.video.is_file():
            answer = self._find(model, request, request.video, progress)
            _write(request, [answer])
            return answer
        files = find_videos(request.video)
        if not files:
            raise ConfigError(f"{request.video}: holds no video file")
        found, failed = [], []
        for done, file in enumerate(files, 1):
            try:
                found.append(self._find(model, request, file, None))
            except DecodeError as error:
                failed.append(FailedVideo(path=str(file), reason=str(error)))
            if progress is not None:
                progress(done, len(files))
        if not found:
            raise DecodeError(
                f"{request.video}: no video can be decoded, first: {failed[0].reason}"
            )
        _write(request, found)
        return FoundInVideos(videos=tuple(found), failed=tuple(failed))

    def _as_asked(self, model: TemporalDetector) -> TemporalDetector:
        """The detector with the suppression that was chosen by name."""
        if self.suppression == "trained":
            return model
        return model.suppressing(SUPPRESSIONS[self.suppression])

    def _find(
        self,
        model: TemporalDetector,
        request: LocalizationRequest,
        video: Path,
        progress: Progress | None,
    ) -> FoundSegments:
        found, duration_s = model.detect_video(video, request.encoder, progress=progress)
        segments = named_segments(
            found, model.labels, most=request.top, min_score=request.min_score
        )
        return FoundSegments(video=video, segments=segments, duration_s=duration_s)


def _write(request: LocalizationRequest, found: list[FoundSegments]) -> None:
    """Write what was asked for; each file is whole or as it was."""
    if request.csv is not None:
        write_segments_csv(request.csv, found)
    if request.activitynet is not None:
        write_activitynet(request.activitynet, found)
    if request.page is not None:
        write_page(request.page, found)


def _classifier(model: TemporalDetector, data: LocalizationVideos) -> RecognitionModel:
    """Open the classifier of the baseline, which has to know all classes that are annotated."""
    if model.open_recogniser is None:
        raise ConfigError(f"{data.sliding}: there is no way to open it; set `open_recogniser`")
    classifier = model.open_recogniser(str(data.sliding))
    places_of_classes(classifier.classes, data.annotations, of="the sliding classifier")
    return classifier


def _sliding_scores(
    classifier: RecognitionModel,
    data: LocalizationVideos,
    thresholds: tuple[float, ...],
    *,
    progress: Progress | None,
) -> dict[str, float]:
    """mAP of a classifier that slides over the videos; one that cannot be decoded is missed."""
    records = data.annotations.records
    found: list[SegmentPredictions | None] = []
    for done, record in enumerate(records, 1):
        try:
            found.append(slide(classifier, record.video, data.sliding_config))
        except DecodeError as error:
            _log.warning("sliding: counts as missed: %s", error)
            found.append(None)
        if progress is not None:
            progress(done, len(records))
    place = places_of_classes(classifier.classes, data.annotations)
    return named_scores(mean_average_precision_of(found, records, place, thresholds), "sliding/")


def places_of_classes(
    classes: tuple[str, ...], annotations: Annotations, *, of: str = "the detector"
) -> dict[int, int]:
    """Place among a model's classes of every label that is annotated, matched by name.

    Raises:
        ConfigError: If the model does not know a class.
    """
    known = {name: place for place, name in enumerate(classes)}
    used = {one.label for record in annotations.records for one in record.segments}
    found = {}
    for label in sorted(label for label in used if label is not None):
        name = annotations.classes[label]
        if name not in known:
            raise unknown_name(f"class of {of}", name, classes)
        found[label] = known[name]
    return found


def _fused(
    found: list[SegmentPredictions | None], data: LocalizationVideos, *, num_classes: int
) -> list[SegmentPredictions | None]:
    """Give class-agnostic segments the best classes of their video."""
    assert data.video_scores is not None
    fused: list[SegmentPredictions | None] = []
    for one, record in zip(found, data.annotations.records, strict=True):
        name = video_id(record)
        of_video = data.video_scores.get(name, data.video_scores.get(name.removeprefix("v_")))
        if one is None:
            fused.append(None)
            continue
        if of_video is None or len(of_video) != num_classes:
            has = "no" if of_video is None else len(of_video)
            raise ConfigError(
                f"video scores: {name} has {has} scores, expected {num_classes}, one for each class"
            )
        index, labels, scores = fuse_video_scores(one.scores.double().numpy(), of_video)
        fused.append(
            SegmentPredictions(
                segments=one.segments[torch.from_numpy(index.copy())],
                scores=torch.from_numpy(scores),
                labels=torch.from_numpy(labels.copy()),
            )
        )
    return fused
