"""Stand-ins for the five benchmarks of Ego4D that InternVideo reports.

Sources of the formats: see `internvideo.data.annotations.ego4d` and `localization`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from internvideo.playground.facts import XYXY, Facts
from internvideo.playground.language import caption
from internvideo.playground.stand_ins.contents import Contents, document, of_split
from internvideo.playground.stand_ins.recognition import CLASSES

_EGO4D_FPS = 30
_SPLITS = {"train": ("train",), "val": ("val", "test")}


def _contents(facts: Sequence[Facts], name: str, documents: dict[str, Any]) -> Contents:
    return Contents(
        videos={one.id: f"{one.id}.mp4" for one in facts},
        files={f"{name}_{split}.json": document(value) for split, value in documents.items()},
    )


def _chosen(facts: Sequence[Facts], split: str) -> list[Facts]:
    return [one for ours in _SPLITS[split] for one in of_split(facts, ours)]


def moment_queries(facts: Sequence[Facts]) -> Contents:
    def clip(one: Facts) -> dict[str, Any]:
        label = {
            "label": one.action,
            "start_time": 0.25,
            "end_time": one.duration_s - 0.25,
            "primary": True,
        }
        return {
            "clip_uid": one.id,
            "video_start_sec": 0.0,
            "video_end_sec": one.duration_s,
            "annotations": [{"annotator_uid": "a", "labels": [label]}],
        }

    def videos(split: str) -> dict[str, Any]:
        chosen = _chosen(facts, split)
        return {"videos": [{"video_uid": o.id, "split": split, "clips": [clip(o)]} for o in chosen]}

    contents = _contents(facts, "moments", {split: videos(split) for split in _SPLITS})
    return replace(contents, features={one.id: f"ego4d_mq_features/{one.id}.npy" for one in facts})


def queries(facts: Sequence[Facts]) -> Contents:
    def videos(split: str) -> dict[str, Any]:
        found = []
        for one in _chosen(facts, split):
            asked = {
                "clip_start_sec": 0.25,
                "clip_end_sec": one.duration_s - 0.25,
                "query": f"When is it that {caption(one)}?",
                "template": "Objects: When?",
            }
            clip = {"clip_uid": one.id, "annotations": [{"language_queries": [asked]}]}
            found.append({"video_uid": one.id, "split": split, "clips": [clip]})
        return {"split": split, "videos": found}

    return _contents(facts, "nlq", {split: videos(split) for split in _SPLITS})


def hands(facts: Sequence[Facts]) -> Contents:
    """The left hand is the middle of the subject, the right one opposite; first out of sight."""

    def clips(split: str) -> dict[str, Any]:
        found = []
        for one in _chosen(facts, split):
            action = {}
            moments = ("pre_45", "pre_30", "pre_15", "pre_frame", "contact_frame")
            for place, moment in enumerate(moments):
                frame = 10 + 10 * place
                x1, y1, x2, y2 = _box(one, frame)
                x, y = 960 * (x1 + x2), 720 * (y1 + y2)
                boxes = [{"left_hand": [x, y]}, {"right_hand": [1920 - x, y]}]
                action[moment] = {"frame": frame, "boxes": boxes[: 1 + (place > 0)]}
            found.append({"clip_uid": one.id, "video_uid": one.id, "frames": [action]})
        return {"split": split, "clips": found}

    return _contents(facts, "fho_hands", {split: clips(split) for split in _SPLITS})


def state_changes(facts: Sequence[Facts]) -> Contents:
    def frame(one: Facts, number: int) -> dict[str, Any]:
        x1, y1, x2, y2 = (value * one.side_px for value in _box(one, number))
        return {
            "frame_number": number,
            "clip_frame_number": number,
            "width": one.side_px,
            "height": one.side_px,
            "bbox": [
                {
                    "object_type": "object_of_change",
                    "structured_noun": one.subject.shape,
                    "bbox": {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1},
                }
            ],
        }

    def clips(split: str) -> dict[str, Any]:
        return {
            "split": split,
            "clips": [
                {
                    "clip_uid": one.id,
                    "video_uid": one.id,
                    "pre_frame": frame(one, 5),
                    "pnr_frame": frame(one, 30),
                    "post_frame": frame(one, 55),
                }
                for one in _chosen(facts, split)
            ],
        }

    return _contents(facts, "fho_scod", {split: clips(split) for split in _SPLITS})


def anticipation(facts: Sequence[Facts]) -> Contents:
    nouns = sorted({one.subject.shape for one in facts})

    def annotations(split: str) -> dict[str, Any]:
        chosen = _chosen(facts, split)
        return {
            "split": split,
            "info": {
                "video_metadata": {
                    o.id: {"fps": _EGO4D_FPS, "frame_width": o.side_px, "frame_height": o.side_px}
                    for o in chosen
                }
            },
            "noun_categories": [{"id": i, "name": name} for i, name in enumerate(nouns)],
            "verb_categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES)],
            "annotations": [
                {
                    "uid": one.id,
                    "video_uid": one.id,
                    "clip_uid": one.id,
                    "frame": 30,
                    "clip_frame": 30,
                    "objects": [
                        {
                            "box": [value * one.side_px for value in _box(one, 30)],
                            "noun_category_id": nouns.index(one.subject.shape),
                            "verb_category_id": CLASSES.index(one.action),
                            "time_to_contact": 0.5,
                        }
                    ],
                }
                for one in chosen
            ],
        }

    return _contents(facts, "fho_sta", {split: annotations(split) for split in _SPLITS})


def _box(one: Facts, frame: int) -> XYXY:
    """Box the subject at a frame of a video of 30 frames a second; the whole frame if hidden."""
    boxes = one.boxes(one.actors[one.events[0].actors[0]])
    place = min(frame * one.rate_fps // _EGO4D_FPS, len(boxes) - 1)
    return boxes[place] or (0.0, 0.0, 1.0, 1.0)
