"""Stand-ins for data sets of labelled videos, in the formats of Kinetics and its kin.

Sources of the formats: see `internvideo.data.annotations.recognition`, `something`, `untrimmed`.
"""

from __future__ import annotations

from collections.abc import Sequence

from internvideo.playground.actions import ACTIONS
from internvideo.playground.facts import Facts
from internvideo.playground.stand_ins.contents import (
    STAND_IN_ACTIONS,
    Contents,
    document,
    lines,
    of_split,
    table,
)

CLASSES = tuple(sorted(STAND_IN_ACTIONS))
_KINETICS_HEADER = ("label", "youtube_id", "time_start", "time_end", "split")


def kinetics(facts: Sequence[Facts], version: int) -> Contents:
    files = {
        f"{split}.csv": table(
            [
                _KINETICS_HEADER[split == "test" :],
                *(_kinetics_row(one)[split == "test" :] for one in of_split(facts, split)),
            ]
        )
        for split in ("train", "val", "test")
    }
    files[f"label_map_k{version}.txt"] = lines([[name] for name in CLASSES])
    return Contents(videos={one.id: _kinetics_clip(one) for one in facts}, files=files)


def kinetics_zero_shot(facts: Sequence[Facts]) -> Contents:
    tested = of_split(facts, "test")
    return Contents(
        videos={one.id: _kinetics_clip(one) for one in tested},
        files={
            "test.csv": table([_KINETICS_HEADER, *map(_kinetics_row, tested)]),
            "label_map_k400.txt": lines([[name] for name in CLASSES]),
        },
    )


def kinetics710(facts: Sequence[Facts]) -> Contents:
    files = {
        f"{split}.csv": table(
            [[_kinetics_clip(one), CLASSES.index(one.action)] for one in of_split(facts, split)]
        )
        for split in ("train", "val")
    }
    files["label_map_k710.txt"] = lines([[name] for name in CLASSES])
    return Contents(
        videos={one.id: _kinetics_clip(one) for one in facts if one.split != "test"}, files=files
    )


def _kinetics_row(one: Facts) -> list[object]:
    return [one.action, one.id, 0, one.whole_seconds, one.split]


def _kinetics_clip(one: Facts) -> str:
    return f"{one.split}/{one.id}_{0:06d}_{one.whole_seconds:06d}.mp4"


def something_v1(facts: Sequence[Facts]) -> Contents:
    def rows(split: str, ours: str) -> str:
        return lines(
            [
                [one.id, _template(one)][: 1 if split == "test" else 2]
                for one in of_split(facts, ours)
            ],
            ";",
        )

    start = "something-something-v1-"
    return Contents(
        videos={one.id: f"{one.id}/" for one in facts},
        files={
            f"{start}labels.csv": lines([[_bare(ACTIONS[name].template)] for name in CLASSES]),
            f"{start}train.csv": rows("train", "train"),
            f"{start}validation.csv": rows("validation", "val"),
            f"{start}test.csv": rows("test", "test"),
        },
    )


def something_v2(facts: Sequence[Facts]) -> Contents:
    def entries(split: str) -> str:
        found = []
        for one in of_split(facts, split):
            named = f"a {one.subject.colour} {one.subject.shape}"
            sentence = ACTIONS[one.action].template.lower().replace("[something]", named, 1)
            entry = {
                "id": one.id,
                "label": sentence,
                "template": ACTIONS[one.action].template,
                "placeholders": [named],
            }
            found.append({"id": one.id} if split == "test" else entry)
        return document(found)

    labels = {_bare(ACTIONS[name].template): str(place) for place, name in enumerate(CLASSES)}
    return Contents(
        videos={one.id: f"{one.id}.mp4" for one in facts},
        files={
            "labels.json": document(labels),
            "train.json": entries("train"),
            "validation.json": entries("val"),
            "test.json": entries("test"),
        },
    )


def _bare(template: str) -> str:
    return template.replace("[", "").replace("]", "")


def _template(one: Facts) -> str:
    return _bare(ACTIONS[one.action].template)


def activitynet(facts: Sequence[Facts], file: str) -> Contents:
    """Videos with one instance each; `file` is the json's name."""
    subsets = {"train": "training", "val": "validation", "test": "testing"}
    database = {
        one.id: {
            "duration": one.duration_s,
            "subset": subsets[one.split],
            "annotations": []
            if one.split == "test"
            else [{"segment": [0.25, one.duration_s - 0.25], "label": one.action}],
        }
        for one in facts
    }
    return Contents(
        videos={one.id: f"v_{one.id}.mp4" for one in facts},
        files={file: document({"version": "VERSION 1.3", "database": database})},
    )


def hmdb51(facts: Sequence[Facts]) -> Contents:
    files = {
        f"{name}_test_split1.txt": lines(
            [
                [f"{one.id}.avi", 2 if one.split == "test" else 1]
                for one in facts
                if one.action == name
            ]
        )
        for name in CLASSES
    }
    return Contents(videos={one.id: f"{one.action}/{one.id}.avi" for one in facts}, files=files)


def ucf101(facts: Sequence[Facts]) -> Contents:
    def listed(one: Facts) -> str:
        return f"{one.action}/{one.id}.avi"

    trained = [one for one in facts if one.split != "test"]
    return Contents(
        videos={one.id: listed(one) for one in facts},
        files={
            "classInd.txt": lines([[place + 1, name] for place, name in enumerate(CLASSES)]),
            "trainlist01.txt": lines(
                [[listed(one), CLASSES.index(one.action) + 1] for one in trained]
            ),
            "testlist01.txt": lines([[listed(one)] for one in of_split(facts, "test")]),
        },
    )
