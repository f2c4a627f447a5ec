"""Boxes of one's own: a csv with a header, json of COCO with videos, and xml of CVAT.

Sources of the tools' formats: COCO's json with `videos` and `video_id`, as trackers' data sets and
CVAT write it, and with `movie` and `timestamp`, as AVA's is rewritten in the InternVideo release;
"CVAT for video 1.1".
The tools give boxes in pixels; they become fractions of the frame here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from internvideo.data.annotations import files
from internvideo.data.annotations.boxes import (
    XYXY,
    KeyFrames,
    VideoIndex,
    checked_box,
    seconds_of,
)
from internvideo.data.annotations.folders import SPLITS
from internvideo.data.annotations.gathering import rows_with, with_fields
from internvideo.errors import AnnotationError
from internvideo.values import Annotations
from internvideo.video import open_video
from internvideo.video.sampling import frames_on_screen
from internvideo.writing import replace_text


@files.reader
def read_coco_video(
    path: str | Path, *, root: str | Path | None = None, split: str | None = None
) -> Annotations:
    """Read COCO's json of frames of videos, one record a frame with boxes.

    A box has `action_ids`, `category_ids` or one `category_id`, and may have `track_id` or
    `instance_id`. A frame has the time `timestamp`, else `frame_id` (from 0) of a video with `fps`.

    Raises:
        AnnotationError: Something is missing or impossible; the message names the entry.
    """
    path = Path(path)
    document = files.read_json(path)
    document = with_fields(str(path), document, "images", "annotations", "categories")
    names = {}
    for place, entry in enumerate(document["categories"]):
        entry = with_fields(f"{path}, category {place}", entry, "id", "name")
        names[_whole(f"{path}, category {place}", entry["id"])] = str(entry["name"])
    frames = coco_frames(path, document)
    gathered = KeyFrames(path, VideoIndex(Path(root or path.parent)), dict(sorted(names.items())))
    for place, entry in enumerate(document["annotations"]):
        where = f"{path}, annotation {place}"
        entry = with_fields(where, entry, "image_id", "bbox")
        video, time_s, size = frame_of(where, entry, frames)
        labels = entry.get("action_ids") or entry.get("category_ids") or [entry.get("category_id")]
        actor = entry.get("track_id", entry.get("instance_id"))
        gathered.add(
            where,
            video,
            time_s,
            checked_box(where, in_fractions(where, entry["bbox"], size)),
            [_whole(where, label) for label in labels],
            None if actor is None else _whole(where, actor),
            split=split,
        )
    return gathered.done()


_COLUMNS = ("path", "time_s", "x1", "y1", "x2", "y2", "label")


@files.reader
def read_box_csv(
    path: str | Path,
    *,
    root: str | Path | None = None,
    classes: tuple[str, ...] | str = (),
    split: str | None = None,
) -> Annotations:
    """Read a csv with the columns `path,time_s,x1,y1,x2,y2,label`, a row for each label of a box.

    Boxes are fractions of the frame. A column `actor` numbers whoever is in the box, a column
    `split` has train, val or test.

    Args:
        path: The csv.
        root: Folder that paths are relative to; that of the file without it.
        classes: Class names in the order of their ids, or the file of them; sorted without it.
        split: For files without the column.
    """
    path = Path(path)
    rows = list(rows_with(path, *_COLUMNS))
    names = files.named_classes(path, classes)
    names = names or tuple(sorted({row["label"] for _, row in rows}))
    places = {name: place for place, name in enumerate(names)}
    gathered = KeyFrames(path, VideoIndex(Path(root or path.parent)), dict(enumerate(names)))
    for where, row in rows:
        part = row.get("split") or split or ""
        if part and part not in SPLITS:
            raise AnnotationError(f"{where}: split is {part!r}, expected train, val or test")
        if not row["path"] or row["label"] not in places:
            problem = f"label {row['label']!r} is in no list of classes"
            hint = files.nearest(row["label"], places)
            raise AnnotationError(f"{where}: {problem + hint if row['path'] else 'names no video'}")
        sides = [_number(where, row[side]) for side in ("x1", "y1", "x2", "y2")]
        actor = row.get("actor") or None
        gathered.add(
            where,
            row["path"],
            seconds_of(where, row["time_s"]),
            checked_box(where, sides),
            [places[row["label"]]],
            None if actor is None else _whole(where, actor),
            split=SPLITS.get(part),
        )
    return gathered.done()


def write_box_csv(annotations: Annotations, path: Path) -> None:
    """Write what `read_box_csv` reads, with whole paths."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, "actor", "split"])
    for record in annotations.records:
        for box in record.boxes:
            sides = [f"{side:.6f}" for side in box.xyxy]
            actor = "" if box.actor is None else box.actor
            for label in box.labels:
                writer.writerow(
                    [
                        *(record.video.absolute(), record.key_s, *sides),
                        *(annotations.classes[label], actor, record.split or ""),
                    ]
                )
    replace_text(path, text.getvalue())


Frame = tuple[str, float, tuple[float, float]]  # video, seconds, width and height


def coco_frames(path: Path, document: Mapping[str, Any]) -> dict[int, Frame]:
    """Videos, times and sizes of the frames of a COCO json, by their ids."""
    videos = {}
    for place, entry in enumerate(document.get("videos", ())):
        entry = with_fields(f"{path}, video {place}", entry, "id")
        videos[entry["id"]] = entry
    frames: dict[int, Frame] = {}
    for place, entry in enumerate(document["images"]):
        where = f"{path}, image {place}"
        entry = with_fields(where, entry, "id", "width", "height")
        video = videos.get(entry.get("video_id"), {})
        name = entry.get("movie") or video.get("file_name") or video.get("name")
        if not name:
            raise AnnotationError(f"{where}: names no video, by `movie` or `video_id`")
        time = entry.get("timestamp")
        if time is None:
            fps, number = video.get("fps"), entry.get("frame_id")
            if not fps or number is None:
                raise AnnotationError(
                    f"{where}: has no `timestamp`, nor `frame_id` with `fps` of its video"
                )
            time = number / fps
        size = float(entry["width"]), float(entry["height"])
        if min(size) <= 0:
            raise AnnotationError(f"{where}: a frame of {size[0]:g} x {size[1]:g} pixels")
        frames[_whole(where, entry["id"])] = str(name), seconds_of(where, str(time)), size
    return frames


def frame_of(where: str, entry: Mapping[str, Any], frames: Mapping[int, Frame]) -> Frame:
    """The frame that an entry is about."""
    number = _whole(where, entry["image_id"])
    if number not in frames:
        raise AnnotationError(f"{where}: image_id {number} is of no image")
    return frames[number]


def in_fractions(where: str, bbox: object, size: tuple[float, float]) -> list[float]:
    """Turn `x, y, width, height` in pixels into `xyxy` in fractions."""
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise AnnotationError(f"{where}: bbox is {bbox!r:.60}, expected x, y, width, height")
    try:
        x, y, width, height = (float(side) for side in bbox)
    except (TypeError, ValueError):
        raise AnnotationError(f"{where}: bbox is {bbox!r:.60}, expected four numbers") from None
    return [x / size[0], y / size[1], (x + width) / size[0], (y + height) / size[1]]


@files.reader
def read_cvat_video(
    path: str | Path,
    *,
    root: str | Path | None = None,
    classes: tuple[str, ...] | str = (),
    attribute: str = "action",
    every_s: float | int = 1,
    split: str | None = None,
) -> Annotations:
    """Read tracks of CVAT ("CVAT for video 1.1"), one record every `every_s` seconds.

    Args:
        path: An xml file, or a folder of them, each about one video.
        root: Folder of the videos, which have to be there: their frames tell the times.
        classes: Class names, or the file of them; sorted without it.
        attribute: Attribute of boxes that has the action, several with commas between; where a box
            has none, the label of its track is its action.
        every_s: Distance of key frames.
        split: For all of it.
    """
    path = Path(path)
    if every_s <= 0:
        raise AnnotationError(f"{path}: every_s is {every_s}, expected seconds above 0")
    tables = sorted(path.glob("*.xml")) if path.is_dir() else [path]
    if not tables:
        raise AnnotationError(f"{path}: holds no xml file")
    found = []
    for table in tables:
        home = Path(root or table.parent)
        found += list(_cvat_boxes(table, home, attribute, float(every_s)))
    names = files.named_classes(path, classes)
    names = names or tuple(sorted({name for *_, actions, _ in found for name in actions}))
    index = VideoIndex(Path(root or (path if path.is_dir() else path.parent)))
    gathered = KeyFrames(path, index, dict(enumerate(names)))
    places = {name: place for place, name in enumerate(names)}
    for where, video, time_s, box, actions, track in found:
        unknown = [name for name in actions if name not in places]
        if unknown:
            raise AnnotationError(
                f"{where}: action {unknown[0]!r} is in no list of classes"
                f"{files.nearest(unknown[0], places)}"
            )
        gathered.add(where, video, time_s, box, [places[a] for a in actions], track, split=split)
    return gathered.done()


def _cvat_boxes(
    table: Path, root: Path, attribute: str, every_s: float
) -> Iterator[tuple[str, str, float, XYXY, list[str], int]]:
    """Place, video, time, box, actions and track of each box at a key frame."""
    text = files.read_text(table)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise AnnotationError(f"{table}: defines entities, which files of CVAT do not")
    try:
        tree = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise AnnotationError(f"{table}: is not xml ({error})") from None
    source, size = tree.findtext(".//source"), tree.find(".//original_size")
    width, height = (None, None) if size is None else map(size.findtext, ("width", "height"))
    if tree.tag != "annotations" or not source or not width or not height:
        raise AnnotationError(
            f"{table}: names no source or original_size; export as 'CVAT for video 1.1'"
        )
    video, _ = VideoIndex(root).find(source, 0.0)
    with open_video(video) as opened:
        times = opened.timestamps_s
    keys = np.arange(0.0, float(times[-1]) + 1e-6, every_s)
    key_of_frame = dict(zip(frames_on_screen(times, keys).tolist(), keys.tolist(), strict=True))
    sides = float(width), float(height)
    for number, track in enumerate(tree.iter("track")):
        for box in track.iter("box"):
            where = f"{table}, track {track.get('id', number)}, frame {box.get('frame')}"
            frame = _whole(where, box.get("frame"))
            if frame >= len(times):
                raise AnnotationError(f"{where}: the video {source} has {len(times)} frames")
            if frame not in key_of_frame or box.get("outside") == "1":
                continue
            corners = [_number(where, box.get(side)) for side in ("xtl", "ytl", "xbr", "ybr")]
            xyxy = [corner / sides[i % 2] for i, corner in enumerate(corners)]
            said = [a.text or "" for a in box.iter("attribute") if a.get("name") == attribute]
            actions = [name.strip() for text in said for name in text.split(",") if name.strip()]
            actions = actions or [track.get("label") or "unnamed"]
            track_id = _whole(where, track.get("id", number))
            yield where, source, key_of_frame[frame], checked_box(where, xyxy), actions, track_id


def _whole(where: str, value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise AnnotationError(f"{where}: {value!r:.40} is no whole number") from None


def _number(where: str, value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        raise AnnotationError(f"{where}: {value!r:.40} is no number") from None
