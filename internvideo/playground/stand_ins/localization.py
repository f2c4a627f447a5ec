"""Stand-ins for data sets with segments and boxes: THUMOS14 and its kin, AVA.

Sources of the formats: the json that ActionFormer keeps; the csv files of AVA.
"""

from __future__ import annotations

from collections.abc import Sequence

from internvideo.playground.facts import Facts
from internvideo.playground.stand_ins.contents import Contents, document, of_split, table
from internvideo.playground.stand_ins.recognition import CLASSES

_AVA_FIRST_S = 0


def temporal(
    facts: Sequence[Facts], file: str, features: str, *, prefix: str = "", is_thumos: bool = False
) -> Contents:
    """Videos with one segment each and a feature file for each, in a folder beside the json."""
    subsets = {"train": "validation", "val": "validation", "test": "test"}
    if not is_thumos:
        subsets = {"train": "training", "val": "validation", "test": "validation"}
    database = {
        one.id: {
            "subset": subsets[one.split],
            "duration": one.duration_s,
            "fps": float(one.rate_fps),
            "annotations": [
                {
                    "label": one.action,
                    "label_id": CLASSES.index(one.action),
                    "segment": [0.25, one.duration_s - 0.25],
                }
            ],
        }
        for one in facts
    }
    return Contents(
        videos={one.id: f"{one.id}.mp4" for one in facts},
        files={file: document({"version": "1", "database": database})},
        features={one.id: f"{features}/{prefix}{one.id}.npy" for one in facts},
    )


def ava(facts: Sequence[Facts], *, with_kinetics: bool = False) -> Contents:
    """Boxes of the subject each second, labelled with what it does; ids of classes from 1 on."""
    kinetics = facts[::2] if with_kinetics else ()
    films = [one for one in facts if one not in kinetics]
    files = {
        f"ava_{split}_v2.2.csv": table(
            [row for ours in splits for one in of_split(films, ours) for row in _boxes(one)]
        )
        for split, splits in (("train", ("train",)), ("val", ("val", "test")))
    }
    for split, splits in (("train", ("train",)), ("val", ("val", "test"))):
        if with_kinetics:
            files[f"kinetics_{split}_v1.0.csv"] = table(
                [_boxes(one)[0] for ours in splits for one in of_split(kinetics, ours)]
            )
    files["ava_val_excluded_timestamps_v2.2.csv"] = ""
    files["ava_action_list_v2.2_for_activitynet_2019.pbtxt"] = "".join(
        f'item {{\n  name: "{name}"\n  id: {place + 1}\n}}\n' for place, name in enumerate(CLASSES)
    )
    return Contents(videos={one.id: f"{one.id}.mp4" for one in facts}, files=files)


def _boxes(one: Facts) -> list[list[object]]:
    actor = one.events[0].actors[0]
    boxes = one.boxes(one.actors[actor])
    rows: list[list[object]] = []
    for second in range(_AVA_FIRST_S, int(one.duration_s) + 1):
        box = boxes[min(second * one.rate_fps, len(boxes) - 1)]
        if box is not None:
            corners = [f"{value:.3f}" for value in box]
            rows.append([one.id, f"{second:04d}", *corners, CLASSES.index(one.action) + 1, actor])
    return rows
