"""Asking about one video: boxes from a file or a detector, scored, linked, written and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from internvideo.data import FoundBoxes, read_detections
from internvideo.data.annotations.boxes import VideoIndex
from internvideo.errors import AnnotationError, ConfigError, DecodeError
from internvideo.tasks.shared.requests import VideoRequest
from internvideo.tasks.shared.task import Progress
from internvideo.tasks.spatiotemporal_localization.answer import FoundActions, FoundBox
from internvideo.tasks.spatiotemporal_localization.detectors import (
    HOW_TO_GET_BOXES,
    Layout,
    open_detector,
)
from internvideo.tasks.spatiotemporal_localization.drawing import draw_video
from internvideo.tasks.spatiotemporal_localization.model import BoxClassifier, score_moments
from internvideo.tasks.spatiotemporal_localization.tracks import link_boxes
from internvideo.values import Record
from internvideo.video import check_moment, open_video
from internvideo.video.sampling import frames_on_screen

_MOMENTS_AT_A_TIME = 32  # for which the video is opened once


@dataclass(frozen=True, kw_only=True)
class BoxRequest(VideoRequest):
    """A video, where its boxes come from, and what is written about them."""

    boxes: Path | None = None
    """Boxes of this video: csv (video,second,x1,y1,x2,y2,action,score) or json."""
    images: Path | None = None
    """Json of the images that `image_id` of a json of boxes counts."""
    detector: str | None = None
    """What finds boxes instead: an ONNX file, or a folder or hub name of any
    AutoModelForObjectDetection of transformers."""
    detector_layout: Layout = "auto"
    """How to read an ONNX file's output: fastestdet or yolox; auto tells by its shape."""
    detector_class: str = "person"
    """What the detector looks for."""
    every_s: float = 1.0
    """Seconds from one key frame to the next, for a detector."""
    min_box_score: float = 0.4
    """Boxes that the detector is less sure of are scored but not shown, from 0 to 1."""
    top: int = 3
    """Classes shown of a box at most, the surest first."""
    min_score: float = 0.1
    """Least score of a class that is shown, from 0 to 1."""
    max_gap_s: float = 2.0
    """How long a track may go unseen."""
    csv: Path | None = None
    """Write all classes of all boxes shown here, as AVA csv."""
    drawn: Path | None = None
    """Write an mp4 with boxes, names and scores drawn on the video here."""
    page: Path | None = None
    """Write a page with a row for each track over time here."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.boxes is None) == (self.detector is None):
            if self.boxes is not None:
                raise ConfigError("boxes come from --boxes or from --detector; leave one out")
            raise ConfigError(f"where are the actors? {HOW_TO_GET_BOXES}")
        if self.every_s <= 0 or self.top < 1 or self.max_gap_s < 0:
            raise ConfigError(
                f"every_s is {self.every_s}, top {self.top}, max_gap_s {self.max_gap_s}; expected "
                "seconds above 0, 1 or more classes, and seconds from 0 on"
            )

    @property
    def written(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.csv, self.drawn, self.page) if path is not None)


def find_actions(
    model: BoxClassifier, request: BoxRequest, *, progress: Progress | None = None
) -> FoundActions:
    """Score the boxes of a video, link them, and write what the request asks for.

    Raises:
        AnnotationError: The file of boxes is about another video, or cannot be read.
        DecodeError: The video cannot be decoded, or has no frame at a time that is asked for.
    """
    with open_video(request.video) as video:
        duration_s = video.info.duration_s
    moments = _of_file(request) if request.detector is None else _of_detector(request)
    record, scores = Record(video=request.video), []
    for start in range(0, len(moments), _MOMENTS_AT_A_TIME):
        some = moments[start : start + _MOMENTS_AT_A_TIME]
        for scored in score_moments(model, record, [(time_s, one.xyxy) for time_s, one in some]):
            if scored.failure is not None:
                raise DecodeError(scored.failure)
            scores.append(scored.scores)
        if progress is not None:
            progress(len(scores), len(moments))
    times = [time_s for time_s, _ in moments]
    every_s = request.every_s
    if request.detector is None and len(times) > 1:
        every_s = float(np.median(np.diff(times)))
    answer = _linked(model, request, moments, scores, duration_s=duration_s, every_s=every_s)
    for path in (request.csv, request.page):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    if request.csv is not None:
        _replace(request.csv, answer.to_csv(request.video.stem))
    if request.page is not None:
        answer.page(request.video).write(request.page)
    if request.drawn is not None:
        draw_video(request.video, answer, request.drawn, max_gap_s=request.max_gap_s)
    return answer


def _linked(
    model: BoxClassifier,
    request: BoxRequest,
    moments: list[tuple[float, FoundBoxes]],
    scores: list[torch.Tensor],
    *,
    duration_s: float,
    every_s: float,
) -> FoundActions:
    """Leave unlikely boxes out, now that all are scored, and number the others by track."""
    shown = [boxes.scores >= request.min_box_score for _, boxes in moments]
    kept = [boxes.xyxy[chosen] for (_, boxes), chosen in zip(moments, shown, strict=True)]
    tracks = link_boxes([time_s for time_s, _ in moments], kept, max_gap_s=request.max_gap_s)
    found = []
    for place, (time_s, boxes) in enumerate(moments):
        chosen = shown[place]
        rows = zip(
            kept[place].tolist(),
            boxes.scores[chosen].tolist(),
            (scores[place].double() * boxes.scores[:, None])[chosen],
            tracks[place],
            strict=True,
        )
        for xyxy, score, of_classes, track in rows:
            best = of_classes.argsort(descending=True)[: request.top].tolist()
            best = [label for label in best if of_classes[label] >= request.min_score]
            x1, y1, x2, y2 = xyxy
            found.append(
                FoundBox(
                    time_s=time_s,
                    xyxy=(x1, y1, x2, y2),
                    track=track,
                    score=score,
                    labels=tuple(model.classes[label] for label in best),
                    scores=tuple(float(of_classes[label]) for label in best),
                    all_scores=tuple(of_classes.tolist()),
                )
            )
    return FoundActions(
        boxes=tuple(found),
        classes=model.classes,
        duration_s=duration_s,
        every_s=every_s,
        num_left_out=sum(int((~chosen).sum()) for chosen in shown),
    )


def _of_file(request: BoxRequest) -> list[tuple[float, FoundBoxes]]:
    """Boxes of the video by time, of a file that may be about others too."""
    assert request.boxes is not None
    found = read_detections(
        request.boxes, VideoIndex(request.video.absolute().parent), images=request.images
    )
    here = request.video.absolute()
    mine = {time_s: boxes for (path, time_s), boxes in found.items() if path.absolute() == here}
    if not mine:
        others = ", ".join(sorted({path.stem for path, _ in found})[:3]) or "no video"
        raise AnnotationError(
            f"{request.boxes}: has no box of {request.video.name}, but of {others}; videos go by "
            f"their file name, here {request.video.stem}"
        )
    with open_video(request.video) as video:
        for time_s in mine:
            check_moment(video, time_s)
    return sorted(mine.items(), key=lambda item: item[0])


def _of_detector(request: BoxRequest) -> list[tuple[float, FoundBoxes]]:
    """Boxes that a detector finds in the frame on screen at each key frame."""
    assert request.detector is not None
    detector = open_detector(
        request.detector, layout=request.detector_layout, wanted=request.detector_class
    )
    found = []
    with open_video(request.video) as video:
        last_s = float(video.timestamps_s[-1])
        for time_s in np.arange(0.0, last_s + 1e-6, request.every_s).round(3).tolist():
            number = frames_on_screen(video.timestamps_s, np.array([time_s]))
            found.append((time_s, detector(video.frames(number.tolist()).frames[0])))
    return found


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".writing-{path.name}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
