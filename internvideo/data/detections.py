"""Boxes that a detector found, read from files: where the actors are whose actions are asked for.

Formats: csv (`video,second,x1,y1,x2,y2,action,score`, the action empty or any, or without it); the
json of AVA's person detections (a list of `image_id`, `bbox` as `x, y, width, height` in pixels,
`score`, with the COCO json of the images); that of Kinetics' (a list of `video_id`, `timestamp`,
`bbox` as `xyxy` in fractions, `score`). What reaches out of the frame is cut off.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from internvideo.data.annotations import files
from internvideo.data.annotations.boxes import XYXY, VideoIndex, checked_box, seconds_of
from internvideo.data.annotations.gathering import objects, with_fields
from internvideo.data.annotations.labelled_boxes import Frame, coco_frames, frame_of, in_fractions
from internvideo.errors import AnnotationError

Moment = tuple[Path, float]  # a video and the seconds of a key frame in it


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FoundBoxes:
    """Boxes of one frame, `xyxy` in fractions, and how sure each is, from 0 to 1."""

    xyxy: Float[Tensor, "s 4"]
    scores: Float[Tensor, " s"]


@files.reader
def read_detections(
    path: str | Path, index: VideoIndex, *, images: str | Path | None = None
) -> dict[Moment, FoundBoxes]:
    """Read the boxes of a file by key frame; those of one frame that are equal count once.

    Args:
        path: A csv or json file.
        index: What finds videos by their names.
        images: COCO json with the images that `image_id` counts, where they are not in the file.

    Raises:
        AnnotationError: A row cannot be read; the message names it.
    """
    path = Path(path)
    rows = _of_json(path, images) if path.suffix == ".json" else _of_csv(path)
    found: dict[Moment, dict[XYXY, float]] = {}
    for where, video, time_s, box, score in rows:
        if not 0 <= score <= 1:
            hint = "" if math.isnan(score) else "; is this a file of annotations?"
            raise AnnotationError(f"{where}: score is {score:g}, expected 0 to 1{hint}")
        file, key_s = index.find(video, time_s)
        found.setdefault((file, round(key_s, 3)), {}).setdefault(box, score)
    return {
        moment: FoundBoxes(
            xyxy=torch.tensor(list(boxes), dtype=torch.float64),
            scores=torch.tensor(list(boxes.values()), dtype=torch.float64),
        )
        for moment, boxes in found.items()
    }


def read_named_detections(
    path: str | Path,
) -> dict[tuple[str, float], tuple[FoundBoxes, tuple[str, ...]]]:
    """Read a csv of objects with names: `video,second,x1,y1,x2,y2,name,score`.

    Returns:
        By the name of a video without suffix and the second of a frame: boxes, and their names.

    Raises:
        AnnotationError: A row cannot be read; the message names it.
    """
    path = Path(path)
    rows: dict[tuple[str, float], list[tuple[XYXY, float, str]]] = {}
    for line, row in files.csv_rows(path):
        where = f"{path}, line {line}"
        if len(row) != 8 or not row[6]:
            raise AnnotationError(
                f"{where}: expected video,second,x1,y1,x2,y2,name,score; the name says what object "
                "is in the box"
            )
        sides = [files.number(path, line, "box", side) for side in row[2:6]]
        score = files.number(path, line, "score", row[7])
        if not 0 <= score <= 1:
            raise AnnotationError(f"{where}: score is {score:g}, expected 0 to 1")
        moment = (Path(row[0]).stem, round(seconds_of(where, row[1]), 3))
        rows.setdefault(moment, []).append((checked_box(where, sides, cut=True), score, row[6]))
    return {
        moment: (
            FoundBoxes(
                xyxy=torch.tensor([box for box, _, _ in found], dtype=torch.float64),
                scores=torch.tensor([score for _, score, _ in found], dtype=torch.float64),
            ),
            tuple(name for _, _, name in found),
        )
        for moment, found in rows.items()
    }


Row = tuple[str, str, float, XYXY, float]  # place, video, seconds, box, score


def _of_csv(path: Path) -> Iterator[Row]:
    rows = list(files.csv_rows(path))
    # Numbers of two actors pass for scores, but a detector is not so sure of everything.
    if all(len(row) == 8 and row[6] and row[7] in ("0", "1") for _, row in rows):
        raise AnnotationError(
            f"{path}, line {rows[0][0]}: the last field is 0 or 1 beside an action, as in all "
            "rows; is this a file of annotations? Those end with an actor, detections with a "
            "score (leave field 7 empty where all scores are 0 or 1)"
        )
    for line, row in rows:
        where = f"{path}, line {line}"
        if len(row) not in (7, 8):
            raise AnnotationError(
                f"{where}: has {len(row)} fields, expected video,second,x1,y1,x2,y2 and a score as "
                "field 7 or 8; is this a csv of another data set?"
            )
        sides = [files.number(path, line, "box", side) for side in row[2:6]]
        score = files.number(path, line, "score", row[-1])
        yield where, row[0], seconds_of(where, row[1]), checked_box(where, sides, cut=True), score


def _of_json(path: Path, images: str | Path | None) -> Iterator[Row]:
    document = files.read_json(path)
    frames: dict[int, Frame] | None = None
    if isinstance(document, dict):
        document = with_fields(str(path), document, "images", "annotations")
        frames, entries = coco_frames(path, document), document["annotations"]
        listed = [(f"{path}, annotation {i}", entry) for i, entry in enumerate(entries)]
    else:
        listed = list(objects(path))
    for where, entry in listed:
        entry = with_fields(where, entry, "bbox", "score")
        try:
            score = float(entry["score"])
        except (TypeError, ValueError):
            raise AnnotationError(f"{where}: score is {entry['score']!r:.40}") from None
        if "image_id" in entry:
            if frames is None:
                frames = _images(where, images)
            video, time_s, size = frame_of(where, entry, frames)
            sides = in_fractions(where, entry["bbox"], size)
        else:
            video, time_s, sides = _of_kinetics(where, entry)
        yield where, video, time_s, checked_box(where, sides, cut=True), score


def _images(where: str, images: str | Path | None) -> dict[int, Frame]:
    if images is None:
        raise AnnotationError(
            f"{where}: image_id counts the images of another file; name that json with --images"
        )
    path = Path(images)
    return coco_frames(path, with_fields(str(path), files.read_json(path), "images"))


def _of_kinetics(where: str, entry: Mapping[str, Any]) -> tuple[str, float, list[float]]:
    name = entry.get("video_id") or entry.get("video")
    time = entry.get("timestamp", entry.get("time"))
    if not name or time is None:
        raise AnnotationError(f"{where}: expected image_id, or video_id with timestamp")
    bbox = entry["bbox"]
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise AnnotationError(f"{where}: bbox is {bbox!r:.60}, expected x1, y1, x2, y2")
    try:
        sides = [float(side) for side in bbox]
    except (TypeError, ValueError):
        raise AnnotationError(f"{where}: bbox is {bbox!r:.60}, expected four numbers") from None
    return str(name), seconds_of(where, str(time)), sides
