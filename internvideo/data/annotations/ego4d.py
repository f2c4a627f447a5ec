"""Ego4D: queries in words, hands to come, objects whose state changes, the next touched object.

Sources: the annotation files of the benchmarks NLQ, FHP, SCOD and STA of Ego4D (Grauman et al.
2022), version 1, as the challenge solutions of InternVideo read them; moment queries are in
`localization`. Clips lie in `root` by their uid. Boxes and hands become fractions of the frame, so
that they move with the crop; in the published solution of hand prediction they stay behind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from internvideo.data.annotations import files
from internvideo.data.annotations.folders import SPLITS
from internvideo.data.annotations.gathering import find_videos, with_fields
from internvideo.errors import AnnotationError
from internvideo.values import Annotations, Box, Record, Segment

EGO4D_FPS = 30.0
# The five moments at which hands are predicted, in the order of the published outputs.
HAND_MOMENTS = ("pre_45", "pre_30", "pre_15", "pre_frame", "contact_frame")
HANDS = ("left_hand", "right_hand")


@files.reader
def read_ego4d_queries(
    path: str | Path, *, root: str | Path | None = None, part: str = "clip"
) -> Annotations:
    """Read `nlq_{train,val}.json`: a record a query, its segment what answers it.

    The query is both the record's caption and its segment's; times are those within the clip.

    Args:
        path: The file.
        root: Folder of the clips; that of the file without it.
        part: What a record shows: the whole "clip", or its "answer" alone, as training on pairs of
            clip and sentence wants.
    """
    if part not in ("clip", "answer"):
        raise AnnotationError(f"{path}: part is {part!r}, expected clip or answer")
    path = Path(path)
    items = []
    for where, video in _entries(path, "videos"):
        split = _split(where, video)
        for clip in with_fields(where, video, "clips")["clips"]:
            uid = str(with_fields(where, clip, "clip_uid")["clip_uid"])
            for group in clip.get("annotations", ()):
                for asked in group.get("language_queries", ()):
                    query = asked.get("query")
                    if not query:  # the published files have a few without words
                        continue
                    start_s, end_s = _span(f"{where}, clip {uid}", asked)
                    segment = Segment(start_s=start_s, end_s=end_s, caption=query)
                    fields = {"captions": (query,), "segments": (segment,), "split": split}
                    if part == "answer":
                        fields |= {"start_s": start_s, "end_s": end_s}
                    items.append((uid, fields))
    return _placed(path, root, items)


@files.reader
def read_ego4d_hands(
    path: str | Path,
    *,
    root: str | Path | None = None,
    width_px: int = 1920,
    height_px: int = 1440,
    seen_s: float = 2.0,
) -> Annotations:
    """Read `fho_hands_{train,val}.json`: a record an interaction, its boxes the hands to come.

    A hand is a point, so its box has no extent; `actor` is 0 for the left hand and 1 for the right,
    and its label says at which of the five moments it is there. Hands out of sight have no box. The
    record ends at the first of the five moments, which is where a prediction has seen the video up
    to, and starts `seen_s` seconds before.

    Args:
        path: The file.
        root: Folder of the clips; that of the file without it.
        width_px: Width of the frames in which the points were marked.
        height_px: Their height.
        seen_s: How many seconds of video belong to a record.
    """
    path = Path(path)
    items = []
    for where, clip in _entries(path, "clips"):
        uid = str(with_fields(where, clip, "clip_uid")["clip_uid"])
        split = _split(where, clip)
        for number, action in enumerate(clip.get("frames", ())):
            place = f"{where}, action {number}"
            boxes = []
            for label, moment in enumerate(HAND_MOMENTS):
                told = action.get(moment)
                if told is None:
                    continue
                frame = with_fields(place, told, "frame")["frame"]
                time_s = _number(f"{place}, {moment}", "frame", frame) / EGO4D_FPS
                for hands in told.get("boxes", ()):
                    found = _hands(f"{place}, {moment}", hands, time_s, width_px, height_px)
                    boxes += [replace(box, labels=(label,)) for box in found]
            if boxes:
                end_s = min(box.time_s for box in boxes)
                seen = {"start_s": max(0.0, end_s - float(seen_s)), "end_s": end_s}
                items.append((uid, {"boxes": tuple(boxes), **seen, "split": split}))
    return _placed(path, root, items)


def _hands(
    where: str, told: Mapping[str, Any], time_s: float, width_px: int, height_px: int
) -> Iterator[Box]:
    """The hands that one entry of "boxes" names: in the published files one, either will do."""
    names = [hand for hand in HANDS if hand in told] if isinstance(told, Mapping) else []
    if not names:
        raise AnnotationError(
            f"{where}: expected left_hand or right_hand with x and y, found {told!r:.80}"
        )
    for name in names:
        try:
            x, y = (float(value) for value in told[name])
        except (TypeError, ValueError):
            raise AnnotationError(
                f"{where}: {name} is {told[name]!r:.60}, expected x and y in pixels"
            ) from None
        x, y = x / width_px, y / height_px
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise AnnotationError(
                f"{where}: {name} lies outside {width_px} x {height_px} px; give width_px and "
                "height_px of the frames"
            )
        yield Box(time_s=time_s, xyxy=(x, y, x, y), actor=HANDS.index(name))


@files.reader
def read_ego4d_state_changes(
    path: str | Path,
    *,
    root: str | Path | None = None,
    classes: tuple[str, ...] | str = (),
) -> Annotations:
    """Read `fho_scod_{train,val}.json`: a record a frame, its boxes objects whose state changes.

    Frames are those before, at and after the point of no return, boxes those called
    `object_of_change`. Classes are the objects' nouns, where `classes` does not name them those of
    both files, sorted.
    """
    path = Path(path)
    found = _changed_objects(path)
    names = files.named_classes(path, classes)
    if not names:
        others = [one for part in files.other_part(path) for one in _changed_objects(part)]
        nouns = {noun for _, _, _, boxes in [*found, *others] for _, noun in boxes}
        names = tuple(sorted(nouns))
    number_of = {name: place for place, name in enumerate(names)}
    items = []
    for uid, split, time_s, marked in found:
        for _, noun in marked:
            if noun not in number_of:
                hint = files.nearest(noun, names)
                raise AnnotationError(
                    f"{path}, clip {uid}: {noun!r} is in no list of classes{hint}"
                )
        boxes = tuple(
            Box(time_s=time_s, xyxy=xyxy, labels=(number_of[noun],)) for xyxy, noun in marked
        )
        items.append((uid, {"boxes": boxes, "key_s": time_s, "split": split}))
    return _placed(path, root, items, names)


def _changed_objects(
    path: Path,
) -> list[tuple[str, str | None, float, list[tuple[tuple[float, ...], str]]]]:
    """Clip, split and time of every annotated frame, with the boxes and nouns of what changes."""
    found = []
    for where, clip in _entries(path, "clips"):
        uid = str(with_fields(where, clip, "clip_uid")["clip_uid"])
        for moment in ("pre_frame", "pnr_frame", "post_frame"):
            boxes = []
            frame = clip.get(moment)
            if frame is None:
                continue
            place = f"{where}, {moment}"
            frame = with_fields(place, frame, "frame_number", "width", "height", "bbox")
            number = frame.get("clip_frame_number", frame["frame_number"])
            time_s = _number(place, "frame_number", number) / EGO4D_FPS
            for one in frame["bbox"]:
                if one.get("object_type") != "object_of_change":
                    continue
                box = with_fields(place, one.get("bbox"), "x", "y", "width", "height")
                left, top, width, height = (
                    _number(place, name, box[name], least=None)
                    for name in ("x", "y", "width", "height")
                )
                noun = str(one.get("structured_noun") or "")
                corners = (left, top, left + width, top + height)
                xyxy = _fractions(place, corners, frame["width"], frame["height"])
                boxes.append((xyxy, noun))
            if boxes:
                found.append((uid, _split(where, clip), time_s, boxes))
    return found


@files.reader
def read_ego4d_anticipation(path: str | Path, *, root: str | Path | None = None) -> Annotations:
    """Read `fho_sta_{train,val}.json`: a record an annotated frame, its boxes the next objects.

    The record ends at the frame. A box is labelled with its noun; `segments` has, in the order of
    the boxes, the time from the frame to the contact, labelled with the verb. The class names are
    the nouns, then the verbs: a verb's label is its id plus the number of nouns.
    """
    path = Path(path)
    document = files.read_json(path)
    document = with_fields(
        str(path), document, "annotations", "noun_categories", "verb_categories", "info"
    )
    nouns = _categories(path, document["noun_categories"])
    verbs = _categories(path, document["verb_categories"])
    sizes = document["info"].get("video_metadata", {})
    items = []
    for number, entry in enumerate(document["annotations"]):
        where = f"{path}, annotation {number}"
        entry = with_fields(where, entry, "clip_uid", "clip_frame", "objects")
        video = entry.get("video_uid", entry.get("video_id"))
        size = with_fields(where, sizes.get(video), "frame_width", "frame_height")
        rate_fps = _number(where, "fps", size.get("fps", EGO4D_FPS), least=1.0)
        time_s = _number(where, "clip_frame", entry["clip_frame"]) / rate_fps
        boxes, segments = [], []
        for one in entry["objects"]:
            one = with_fields(
                where, one, "box", "noun_category_id", "verb_category_id", "time_to_contact"
            )
            noun, verb = int(one["noun_category_id"]), int(one["verb_category_id"])
            if not (0 <= noun < len(nouns) and 0 <= verb < len(verbs)):
                raise AnnotationError(f"{where}: noun {noun} or verb {verb} is in no list of names")
            if len(one["box"]) != 4:
                raise AnnotationError(f"{where}: box is {one['box']!r:.60}, expected four numbers")
            corners = tuple(_number(where, "box", value, least=None) for value in one["box"])
            xyxy = _fractions(where, corners, size["frame_width"], size["frame_height"])
            boxes.append(Box(time_s=time_s, xyxy=xyxy, labels=(noun,)))
            contact_s = time_s + _number(where, "time_to_contact", one["time_to_contact"])
            segments.append(Segment(start_s=time_s, end_s=contact_s, label=len(nouns) + verb))
        fields = {
            "boxes": tuple(boxes),
            "segments": tuple(segments),
            "end_s": time_s,
            "split": _split(where, document),
        }
        items.append((str(entry["clip_uid"]), fields))
    return _placed(path, root, items, (*nouns, *verbs))


def _categories(path: Path, entries: Any) -> tuple[str, ...]:
    names = {int(e["id"]): str(e["name"]) for e in entries}
    if sorted(names) != [*range(len(names))]:
        raise AnnotationError(f"{path}: categories are not numbered from 0 on")
    return tuple(names[number] for number in range(len(names)))


def _entries(path: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    document = files.read_json(path)
    entries = with_fields(str(path), document, name)[name]
    if not isinstance(entries, list) or not entries:
        raise AnnotationError(f'{path}: "{name}" is no list with something in it')
    split = document.get("split")
    for place, entry in enumerate(entries):
        where = f"{path}, {name} {place}"
        yield where, {"split": split, **with_fields(where, entry)}


def _split(where: str, entry: Mapping[str, Any]) -> str | None:
    said = entry.get("split")
    if said is None:
        return None
    if str(said).lower() not in SPLITS:
        raise AnnotationError(f"{where}: split is {said!r}, expected train, val or test")
    return SPLITS[str(said).lower()]


def _span(where: str, entry: Mapping[str, Any]) -> tuple[float, float]:
    names = ("clip_start_sec", "clip_end_sec")
    entry = with_fields(where, entry, *names)
    start_s, end_s = (_number(where, name, entry[name]) for name in names)
    if start_s > end_s:
        raise AnnotationError(f"{where}: a query's answer lasts from {start_s} s to {end_s} s")
    return start_s, end_s


def _number(where: str, name: str, value: Any, *, least: float | None = 0.0) -> float:
    """A finite number, of at least `least`."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or (least is not None and number < least):
        limit = "" if least is None else f" of {least:g} or more"
        raise AnnotationError(f"{where}: {name} is {value!r:.60}, expected a number{limit}")
    return number


def _fractions(
    where: str, corners: tuple[float, ...], width_px: Any, height_px: Any
) -> tuple[float, float, float, float]:
    """Corners as fractions of the frame; what lies beyond its edges is cut off."""
    width_px = _number(where, "width of the frame", width_px, least=1.0)
    height_px = _number(where, "height of the frame", height_px, least=1.0)
    left, top, right, bottom = corners
    if not (left < right and top < bottom):
        raise AnnotationError(f"{where}: box {corners} has no area")
    xyxy = (left / width_px, top / height_px, right / width_px, bottom / height_px)
    x1, y1, x2, y2 = (min(1.0, max(0.0, value)) for value in xyxy)
    if not (x1 < x2 and y1 < y2):
        raise AnnotationError(
            f"{where}: box {corners} lies outside the frame of {width_px:g} x {height_px:g} px"
        )
    return x1, y1, x2, y2


def _placed(
    path: Path,
    root: str | Path | None,
    items: list[tuple[str, dict[str, Any]]],
    classes: tuple[str, ...] = (),
) -> Annotations:
    if not items:
        raise AnnotationError(f"{path}: annotates nothing")
    videos = find_videos(Path(root or path.parent), [(uid,) for uid, _ in items])
    records = [Record(video=v, **fields) for v, (_, fields) in zip(videos, items, strict=True)]
    return Annotations(records=tuple(records), classes=classes)
